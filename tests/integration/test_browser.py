"""The pages for people in Chromium: what a person sees and does."""

import pytest

from support.timing import eventually

pytestmark = pytest.mark.once

ROWS = 8  # of a page
WIDTHS = [1280, 390]
# Runs before the page's own script: every list is empty.
EMPTY = """
  const meta = { total: 0, page: 1, limit: 8, totalPages: 0 };
  const headers = { 'Cache-Status': 'faststock; hit; detail=catalog', Age: '0' };
  const body = JSON.stringify({ data: [], meta });
  window.fetch = () => Promise.resolve(new Response(body, { headers }));
"""


@pytest.fixture(scope="module")
def chromium():
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs ./dev packages browser")
    options = webdriver.ChromeOptions()
    # as root Chromium refuses to run with its sandbox
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.chrome.service.Service("/usr/bin/chromedriver")
    driver = webdriver.Chrome(service=service, options=options)
    driver.set_page_load_timeout(30)
    yield driver
    driver.quit()


class Page:
    """The page in a browser, as wide as `width`."""

    def __init__(self, chromium, url):
        self.chromium, self.url, self.log = chromium, url, []

    def open(self, width=1280, number=1, script=None, path="/"):
        self.command(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=900, deviceScaleFactor=1, mobile=width < 600,
        )
        added = self.command("Page.addScriptToEvaluateOnNewDocument", source=script or "")
        self.chromium.get("about:blank")  # else another number is no new document
        self.chromium.get(f"{self.url}{path}#{number}")
        self.command("Page.removeScriptToEvaluateOnNewDocument", **added)

    def command(self, name, **parameters):
        return self.chromium.execute_cdp_cmd(name, parameters)

    def run(self, script, *arguments):
        return self.chromium.execute_script("return " + script, *arguments)

    def text(self, selector):
        return self.run("document.querySelector(arguments[0])?.innerText ?? ''", selector)

    def button(self, id, text):
        for button in self.chromium.find_elements("css selector", f"[data-id='{id}'] button"):
            if button.text.startswith(text):
                return button
        raise AssertionError(f"no button {text} of product {id}")

    def numbers(self, id):
        """Stock, reserved, version of a product, as they are shown."""
        return self.run(
            """[...document.querySelectorAll(arguments[0])]
               .map((node) => Number(node.textContent.replace(/,/g, '')))""",
            f"[data-id='{id}'] td.n b",
        )

    def wait_for_numbers(self, id, *numbers):
        eventually(lambda: self.numbers(id) == list(numbers), f"{id} is {numbers}", timeout=20)

    def complaints(self):
        """What the browser has logged that no failed request explains."""
        return [
            entry
            for entry in self.chromium.get_log("browser")
            if "Failed to load resource" not in entry["message"]
        ]


@pytest.fixture
def page(chromium, stack):
    page = Page(chromium, stack.env["EDGE_URL"])
    page.complaints()
    yield page
    assert page.complaints() == []
    chromium.get("about:blank")


def number_of_last_page(stack, id):
    """When each reader shows the product there, because an answer may come from any of them."""

    def number():
        found = set()
        for reader in stack.reads:
            last = reader.get(f"/api/products?limit={ROWS}").json()["meta"]["totalPages"]
            shown = reader.get(f"/api/products?limit={ROWS}&page={last}").json()["data"]
            found.add(last if id in [product["id"] for product in shown] else None)
        return found.pop() if len(found) == 1 else None

    return eventually(number, "each reader's last page shows the product")


@pytest.fixture
def own_product(stack, database):
    """A new product, and the number of the page that shows it: the last."""
    id = database.create_product(stock=20)
    return id, number_of_last_page(stack, id)


@pytest.mark.parametrize("width", WIDTHS)
def test_buttons_change_the_stock_before_the_eyes(page, database, own_product, width):
    id, number = own_product
    page.open(width, number)
    page.wait_for_numbers(id, 20, 0, 1)
    page.button(id, "Sell").click()
    page.wait_for_numbers(id, 19, 0, 2)
    page.button(id, "Restock").click()
    page.wait_for_numbers(id, 29, 0, 3)
    page.button(id, "Reserve").click()
    page.wait_for_numbers(id, 28, 1, 4)
    page.button(id, "Reserve").click()
    page.wait_for_numbers(id, 27, 2, 5)
    held = "#held li button"
    eventually(lambda: len(page.chromium.find_elements("css selector", held)) == 4, "two are held")
    confirm, release = page.chromium.find_elements("css selector", "#held li:first-child button")
    confirm.click()
    page.wait_for_numbers(id, 27, 1, 6)
    eventually(lambda: len(page.chromium.find_elements("css selector", held)) == 2, "one is held")
    page.chromium.find_elements("css selector", held)[1].click()
    page.wait_for_numbers(id, 28, 0, 7)
    assert database.product(id)["stock"] == 28
    eventually(lambda: "Release of reservation" in page.text("#done li"), "it is told")
    assert "28 left, version 7" in page.text("#done li")


def test_changes_of_others_are_seen(page, stack, own_product):
    id, number = own_product
    page.open(1280, number)
    page.wait_for_numbers(id, 20, 0, 1)
    assert stack.writes[0].update_stock(id, {"delta": -3}).status == 200
    page.wait_for_numbers(id, 17, 0, 2)


def test_a_refusal_is_told(page, database, stack, own_product):
    id, number = own_product
    assert stack.writes[0].update_stock(id, {"stock": 0}).status == 200
    page.open(390, number)
    page.wait_for_numbers(id, 0, 0, 2)
    page.button(id, "Sell").click()
    eventually(lambda: "was refused. Insufficient stock" in page.text("#done li.bad"), "it is told")
    assert database.product(id)["stock"] == 0


def test_the_keyboard_keeps_its_place(page, own_product):
    id, number = own_product
    page.open(1280, number)
    page.wait_for_numbers(id, 20, 0, 1)
    focused = (
        "document.activeElement.getAttribute('aria-label') || document.activeElement.id"
        " || document.activeElement.getAttribute('href') || ''"
    )
    seen = []
    while "Sell 1" not in page.run(focused) or page.run(
        "document.activeElement.closest('tr').dataset.id"
    ) != str(id):
        page.chromium.switch_to.active_element.send_keys("\ue004")  # Tab
        seen.append(page.run(focused))
        assert len(seen) < 60, seen
    assert seen[:4] == ["/docs", "kind", "rate", "pause"]
    for sold in range(1, 4):
        page.chromium.switch_to.active_element.send_keys("\ue007")  # Enter
        page.wait_for_numbers(id, 20 - sold, 0, 1 + sold)
    assert "Sell 1" in page.run(focused)


def test_the_focus_stays_when_products_come_and_go(page, stack, database):
    id = database.create_product(stock=20)
    count = "SELECT count(*) AS count FROM products WHERE deleted_at IS NULL"
    while database.row(count)["count"] % ROWS != 1:  # the others find room on its page
        id = database.create_product(stock=20)
    page.open(1280, number_of_last_page(stack, id))
    page.wait_for_numbers(id, 20, 0, 1)
    page.run(f"document.querySelector(`[data-id='{id}'] button`).focus()")
    focused = "document.activeElement.closest('tr')?.dataset.id"
    rows = "[...document.querySelectorAll('#products tbody tr')].map((row) => +row.dataset.id)"
    others = [database.create_product() for _ in range(3)]
    eventually(lambda: page.run(rows) == [id, *others], "they have come")
    assert page.run(focused) == str(id)
    for other in others:
        database.rows("SELECT delete_product(%s)", other)
    eventually(lambda: page.run(rows) == [id], "they are gone")
    assert page.run(focused) == str(id)


@pytest.mark.parametrize("width", WIDTHS)
def test_what_a_screen_reader_is_told(page, own_product, width):
    id, number = own_product
    page.open(width, number)
    page.wait_for_numbers(id, 20, 0, 1)
    nodes = [
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in page.command("Accessibility.getFullAXTree")["nodes"]
        if not node.get("ignored") and "role" in node
    ]
    assert all(name for role, name in nodes if role in ("button", "combobox", "heading", "image"))
    sales = [name for role, name in nodes if role == "button" and name.startswith("Sell 1 of ")]
    assert 1 <= len(sales) <= ROWS
    roles = [role for role, _ in nodes]
    assert {"main", "banner", "status", "log", "table", "row", "cell", "columnheader"} <= set(roles)
    assert ("heading", "FastStock") in nodes and ("table", "Products") in nodes


@pytest.mark.parametrize("width", WIDTHS)
def test_everything_has_room(page, own_product, width):
    id, number = own_product
    page.open(width, max(1, number - 1))
    shown = "document.querySelectorAll('#products tbody tr').length"
    eventually(lambda: page.run(shown) == ROWS, "a full page")
    assert page.run("document.documentElement.scrollWidth") == width
    outside = page.run(
        """[...document.querySelectorAll('section *')].filter((node) => {
             const box = node.getBoundingClientRect();
             const room = node.closest('section').getBoundingClientRect();
             return box.width > 1 && (box.right > room.right - 8 || box.left < room.left - 1);
           }).map((node) => node.outerHTML.slice(0, 80))"""
    )
    assert outside == []
    if width < 600:
        low = "[...document.querySelectorAll('#products .do button')].map((b) => b.offsetHeight)"
        assert min(page.run(low)) >= 44


def test_tiers_and_instances(page, stack, own_product):
    page.open(1280, own_product[1])
    tiers = """Object.fromEntries([...document.querySelectorAll('#tiers tbody tr')].map((row) =>
        [row.dataset.name, Number(row.cells[1].textContent.replace(/,/g, ''))]))"""
    page.run("document.getElementById('rate').value = '20'")

    def all_seen():
        counts = page.run(tiers)
        return all(counts[tier] > 0 for tier in ("l1", "redis", "db")) and counts["error"] == 0

    eventually(all_seen, "answers from each tier", timeout=20)
    names = {reader.get("/health").header("X-Instance") for reader in stack.reads}
    shown = "[...document.querySelectorAll('[data-instance]')].map((row) => row.dataset.instance)"
    eventually(lambda: names <= set(page.run(shown)), "both instances answered", timeout=20)
    drawn = page.run(
        "[...document.getElementById('plot').getContext('2d').getImageData(60, 0, 2000, 200).data]"
        ".some((value) => value !== 0)"
    )
    assert drawn


def test_a_pause_asks_for_nothing(page, own_product):
    page.open(1280, own_product[1])
    page.wait_for_numbers(own_product[0], 20, 0, 1)
    page.chromium.find_element("id", "pause").click()
    assert page.text("#state") == "Paused"
    eventually(lambda: page.run("inFlight") == 0, "none is under way")
    count = page.run("performance.getEntriesByType('resource').length")
    page.chromium.execute_async_script("setTimeout(arguments[0], 2500)")
    assert page.run("performance.getEntriesByType('resource').length") == count
    page.chromium.find_element("id", "pause").click()
    eventually(lambda: page.text("#state") == "Live", "it goes on")


@pytest.mark.parametrize("width", WIDTHS)
def test_without_products(page, width):
    page.open(width, script=EMPTY)
    eventually(lambda: "There are no products yet" in page.text("#empty"), "it is told")
    assert page.run("document.getElementById('products').hidden")
    assert "Add a blue mug" in page.text("#empty") and page.text("#banner") == ""
    assert page.run("document.documentElement.scrollWidth") == width


def test_redis_is_away(page, stack, own_product):
    id, number = own_product
    page.open(1280, number)
    page.wait_for_numbers(id, 20, 0, 1)
    page.run("document.getElementById('kind').value = 'published'")
    from_tier = f"document.querySelector(`[data-id='{id}'] .from strong`).textContent"
    eventually(lambda: page.run(from_tier) == "Redis", "it comes from Redis", timeout=20)
    with stack.stopped("redis"):
        eventually(lambda: "Redis does not answer" in page.text("#banner"), "it is told", 30)
        assert page.text("#state") == "Live"
        page.button(id, "Sell").click()
        page.wait_for_numbers(id, 19, 0, 2)
    eventually(lambda: page.text("#banner") == "", "it is over", timeout=30)


def test_postgres_is_away(page, stack, own_product):
    id, number = own_product
    page.open(390, number)
    page.wait_for_numbers(id, 20, 0, 1)
    page.run("document.getElementById('kind').value = 'memory'")
    with stack.stopped("postgres"):
        eventually(lambda: page.text("#state") == "Stale", "it is told", timeout=30)
        assert "PostgreSQL does not answer" in page.text("#banner")
        page.button(id, "Sell").click()
        eventually(lambda: "was refused" in page.text("#done li.bad"), "it is told", timeout=30)
        assert page.numbers(id) == [20, 0, 1]
    eventually(lambda: page.text("#state") == "Live", "it is over", timeout=30)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_leads_to_the_api(page, width):
    page.open(width)
    page.chromium.find_element("link text", "The API").click()  # which is seen, else it fails
    eventually(lambda: page.text("h1") == "FastStock: the API", "its page")


@pytest.mark.parametrize("width", WIDTHS)
def test_a_page_of_a_problem_in_a_browser(page, width):
    page.open(width, path="/problems/insufficient-stock")
    assert page.text("h2") == "Insufficient stock"
    assert page.run("getComputedStyle(document.querySelector('article')).borderRadius") == "10px"
    page.chromium.find_element("css selector", "header a").click()
    eventually(lambda: page.run("document.querySelectorAll('article').length") > 25, "all types")
    assert page.run("document.documentElement.scrollWidth") <= width  # less a scrollbar


@pytest.mark.parametrize("width", WIDTHS)
def test_the_api_in_a_browser(page, stack, width):
    page.open(width, path="/docs")
    assert page.text("#getStock .base") == stack.edge.base_url
    page.run(
        """(() => {
          const form = document.querySelector('#getStock form')
          form.querySelector('input').value = '/api/products/1/stock'
          form.querySelector('button').click()
        })()"""
    )
    eventually(lambda: "etag: " in page.text("#getStock .answer"), "it is answered")
    answer = page.text("#getStock .answer")
    assert answer.startswith("200 after ") and '"stock": ' in answer and "x-instance: " in answer
    page.run("document.querySelector('#getStock input').value = '//elsewhere.example/'")
    page.run("document.querySelector('#getStock button').click()")
    eventually(lambda: "A path begins with one /" in page.text("#getStock .answer"), "it is told")
    assert page.run("document.documentElement.scrollWidth") <= width  # less a scrollbar
    assert page.run("[...document.querySelectorAll('.try')].every((form) => !form.hidden)")
