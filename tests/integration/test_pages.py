"""Lists of products: numbered pages, walking with after=, and new products in the catalogue."""

import re

import pytest

from support.http_client import PLAIN, PRODUCT_FIELDS
from support.metrics_text import Change, scrape
from support.problems import assert_problem
from support.raw_http import RawConnection, request_bytes
from support.service_process import ServiceProcess
from support.timing import eventually

pytestmark = pytest.mark.quick


def ids_of(reply):
    assert reply.status == 200, reply
    return [product["id"] for product in reply.json()["data"]]


def all_ids(database):
    return [
        row["id"]
        for row in database.rows("SELECT id FROM products WHERE deleted_at IS NULL ORDER BY id")
    ]


def wait_until_listed(client, id):
    eventually(
        lambda: ids_of(client.get(f"/api/products?after={id - 1}&limit=1")) == [id],
        f"product {id} is listed",
        timeout=15,
    )


def wait_for_total(client, count):
    eventually(
        lambda: client.get("/api/products?limit=1").json()["meta"]["total"] == count,
        f"the total is {count}",
    )


@pytest.fixture(scope="module")
def products(database):
    return database.create_products(30, stock=9)


@pytest.fixture
def shelf(stack, database, products):
    """30 products of these tests; every reader knows all creations and deletions up to now."""
    everything = all_ids(database)
    for client in stack.reads:
        wait_until_listed(client, everything[-1])
        wait_for_total(client, len(everything))
    return products


def test_first_page_by_default(read, shelf, database):
    reply = read.get("/api/products")
    assert reply.header("Content-Type") == "application/json"
    assert reply.header("Cache-Control") == "no-cache"
    assert reply.header("Cache-Status").startswith("faststock; ")
    everything = all_ids(database)
    body = reply.json()
    assert list(body) == ["data", "meta"]
    assert ids_of(reply) == everything[:20]
    assert body["meta"] == {
        "total": len(everything),
        "page": 1,
        "limit": 20,
        "totalPages": -(-len(everything) // 20),
    }


@pytest.mark.parametrize("limit", [1, 7, 100])
def test_every_page_is_its_slice(read, shelf, database, limit):
    everything = all_ids(database)
    pages = -(-len(everything) // limit)
    for page in {1, 2, pages - 1, pages} - {0}:
        reply = read.get(f"/api/products?page={page}&limit={limit}")
        assert ids_of(reply) == everything[(page - 1) * limit : page * limit]
        assert reply.json()["meta"] == {
            "total": len(everything),
            "page": page,
            "limit": limit,
            "totalPages": pages,
        }


@pytest.mark.parametrize("page", [10**6, 2**31, 10**15])
def test_past_the_end(read, shelf, page):
    body = read.get(f"/api/products?page={page}&limit=100").json()
    assert body["data"] == []
    assert body["meta"]["page"] == page and body["meta"]["total"] >= 30


def test_a_listed_product_is_the_product(read, shelf):
    listed = read.get(f"/api/products?after={shelf[0] - 1}&limit=3").json()["data"]
    assert listed == [read.product(id).json() for id in shelf[:3]]
    assert list(listed[0]) == PRODUCT_FIELDS


def test_after_walks_the_whole_catalogue(read, shelf, database):
    everything = all_ids(database)
    walked, after = [], 0
    for _ in range(len(everything) // 100 + 2):
        reply = read.get(f"/api/products?after={after}&limit=100")
        walked += ids_of(reply)
        assert (
            set(reply.json()["meta"]) == {"limit", "next"} and reply.json()["meta"]["limit"] == 100
        )
        after = reply.json()["meta"]["next"]
        if after is None:
            break
        assert after == walked[-1]
    assert after is None
    assert walked == everything


def test_after_in_the_middle(read, shelf):
    reply = read.get(f"/api/products?after={shelf[4]}&limit=5")
    assert ids_of(reply) == shelf[5:10]
    assert reply.json()["meta"] == {"limit": 5, "next": shelf[9]}


def test_after_an_id_that_is_not_there(read, shelf):
    assert ids_of(read.get("/api/products?after=9223372036854775807")) == []
    assert read.get("/api/products?after=9223372036854775807").json()["meta"]["next"] is None


def test_next_is_null_at_the_very_end(read, shelf, database):
    last = all_ids(database)[-1]
    reply = read.get(f"/api/products?after={last - 1}&limit=1")
    assert ids_of(reply) == [last] and reply.json()["meta"]["next"] is None


def test_after_walks_past_deleted_products(stack, database, read):
    ids = database.create_products(12)
    for id in ids[3:9]:
        database.rows("SELECT delete_product(%s)", id)

    def walk():
        walked, after = [], ids[0] - 1
        while after is not None:
            reply = read.get(f"/api/products?after={after}&limit=2")
            assert ids_of(reply) or reply.json()["meta"]["next"] is None
            walked += ids_of(reply)
            after = reply.json()["meta"]["next"]
        return walked == ids[:3] + ids[9:]

    eventually(walk, "the walk shows what is left and nothing else")


@pytest.mark.parametrize(
    "path, known",
    [
        ("/api/products", "page, limit, after, sku"),
        ("/api/stock", "ids, skus"),
        ("/api/orders", "after, limit"),
        ("/api/changes", "after, limit"),
        ("/api/products/1/movements", "after, limit"),
    ],
)
def test_a_list_refuses_unknown_parameters(stack, path, known):
    for client in stack.reads:
        reply = client.get(f"{path}?name=mug")
        assert_problem(reply, 400, field="name")
        assert reply.json()["errors"][0]["detail"] == f"unknown parameter; known are {known}"


def test_a_page_shows_a_new_product_soon(stack, database):
    id = database.create_product()
    count = len(all_ids(database))
    for client in stack.reads:
        wait_until_listed(client, id)
        wait_for_total(client, count)


def test_a_page_forgets_a_deleted_product_soon(stack, database):
    id = database.create_product()
    for client in stack.reads:
        wait_until_listed(client, id)
    database.rows("SELECT delete_product(%s)", id)
    for client in stack.reads:
        eventually(
            lambda: id not in ids_of(client.get(f"/api/products?after={id - 1}&limit=5")),
            "the deleted one is gone",
        )


def test_a_page_is_one_batch(stack, database, cache):
    """A cold page costs one statement for all its products, a warm one none."""
    ids = database.create_products(50)
    reader = stack.reads[0]
    wait_until_listed(reader, ids[-1])
    cache.make_cold(*ids)
    with Change(reader) as change:
        reply = reader.get(f"/api/products?after={ids[0] - 1}&limit=50")
        assert ids_of(reply) == ids
        assert reply.header("Cache-Status") == "faststock; fwd=miss; detail=db"
    assert change("faststock_load_batch_size_count", tier="db") == 1
    assert change("faststock_load_batch_size_sum", tier="db") == 50
    # Redis may have refused a product, whose guard the relay raised meanwhile.
    eventually(
        lambda: reader.get(f"/api/products?after={ids[0] - 1}&limit=50").header("Cache-Status")
        == "faststock; hit; detail=redis",
        "the page is warm",
    )
    with Change(reader) as change:
        reply = reader.get(f"/api/products?after={ids[0] - 1}&limit=50")
        assert reply.header("Cache-Status") == "faststock; hit; detail=redis"
    assert change("faststock_load_batch_size_count", tier="db") == 0
    assert change("faststock_load_batch_size_count", tier="redis") == 1


def test_many_changes_at_once(stack, database):
    """More than are applied one by one, created and deleted in the same rounds."""
    old = database.create_products(40)
    for client in stack.reads:
        wait_until_listed(client, old[-1])
    new = database.create_products(60)
    database.rows("SELECT delete_product(id) FROM unnest(%s::bigint[]) AS id", old[:15] + new[::2])
    for client in stack.reads:
        listed = lambda: ids_of(client.get(f"/api/products?after={old[0] - 1}&limit=100"))
        eventually(lambda: listed() == old[15:] + new[1::2], "all changes are there")


def test_a_catalogue_that_outgrows_memory_and_shrinks_again(stack, database, tmp_path):
    old = database.create_products(len(all_ids(database)) // 5)
    settings = {
        "database": {"url": stack.env["DATABASE_URL"]},
        "redis": {"url": stack.env["REDIS_URL"]},
        "catalog": {"products_max": len(all_ids(database)) + 5},
    }
    with ServiceProcess("read-svc", tmp_path, settings) as service:
        eventually(
            lambda: scrape(service.ops).value("faststock_catalog_products") > 0, "it is in memory"
        )
        ids = database.create_products(20)
        eventually(
            lambda: scrape(service.ops).value("faststock_catalog_products") == 0,
            "it is not any more",
        )
        assert ids_of(service.client.get(f"/api/products?after={ids[0] - 1}&limit=20")) == ids
        database.rows("SELECT delete_product(id) FROM unnest(%s::bigint[]) AS id", old + ids)
        pages = lambda: service.client.get("/api/products?page=1&limit=1").status == 200
        eventually(
            lambda: pages() and scrape(service.ops).value("faststock_catalog_products") > 0,
            "it is in memory again",
            timeout=20,
        )
        new = database.create_products(3)
        eventually(
            lambda: ids_of(service.client.get(f"/api/products?after={old[0] - 1}")) == new,
            "and is followed",
        )


@pytest.fixture(scope="module")
def large(stack, tmp_path_factory):
    """A read-svc for which every catalogue is too large to be kept in memory."""
    settings = {
        "database": {"url": stack.env["DATABASE_URL"]},
        "redis": {"url": stack.env["REDIS_URL"]},
        "catalog": {"products_max": 0},
    }
    with ServiceProcess("read-svc", tmp_path_factory.mktemp("large"), settings) as service:
        assert scrape(service.ops).value("faststock_catalog_products") == 0
        yield service.client


@pytest.mark.parametrize(
    "query",
    [
        "page=1&limit=3",
        "page=2&limit=100",
        "page=1000000&limit=100",
        "after=0&limit=5",
        "after={first}&limit=7",
        "after={last}&limit=2",
    ],
)
def test_a_catalogue_too_large_for_memory_is_paged_in_postgresql(stack, shelf, large, query):
    path = f"/api/products?{query.format(first=shelf[0], last=shelf[-1])}"
    assert large.get(path).json() == stack.reads[0].get(path).json()


# -- out of memory

# A refusal has none.
OUT_OF_MEMORY = ["faststock; hit; detail=l1", "faststock; hit; detail=catalog", None]


def lists_of(ids):
    first = ids[0]
    return {
        "page": "/api/products?page=1&limit=1",
        "after": f"/api/products?after={first - 1}&limit=20",
        "last": f"/api/products?after={ids[-1] - 1}&limit=20",
        "nothing": "/api/products?after=9223372036854775807",
        "ids": f"/api/stock?ids={','.join(map(str, ids))}",
        "refused": "/api/products?after=1&page=1",
        "refused ids": "/api/stock?ids=1,",
        "no ids": "/api/stock",
    }


def comparable(reply):
    headers = [pair for pair in reply.headers if pair[0] not in ("Date", "X-Request-Id", "Age")]
    return reply.status, headers, re.sub(rb"urn:request:\w+", b"", reply.body)


@pytest.mark.parametrize("name", lists_of([1]))
def test_a_list_out_of_memory_is_the_same_as_any(stack, shelf, name):
    """A watcher answers it on a connection that is parked (common/http/parked.h); a request that
    tells the length of its body is left to the connection's thread."""
    path = lists_of(shelf)[name]
    reader = stack.reads[0]
    eventually(
        lambda: reader.get(path, PLAIN).header("Cache-Status") in OUT_OF_MEMORY,
        f"{path} is in memory",
    )
    with RawConnection(reader.base_url) as connection:

        def ask(headers=()):  # the last answer, and how many of them a watcher gave
            with Change(reader) as change:
                for _ in range(30):
                    connection.send(request_bytes("GET", path, headers))
                    reply = connection.read_reply()
            return comparable(reply), change("http_requests_watched_total")

        for _ in range(20):  # on a busy machine it is parked rarely
            by_watcher, watched = ask()
            if watched > 0:
                break
        by_thread, not_watched = ask([("Content-Length", "0")])
    assert by_watcher == by_thread
    assert watched > 0 and not_watched == 0


def test_a_list_that_is_not_all_in_memory_is_loaded(stack, shelf, database):
    """Then a watcher leaves it to the connection's thread."""
    id = database.create_product(stock=3)
    reader = stack.reads[0]
    eventually(
        lambda: reader.get(
            f"/api/products?after={id - 1}&limit=1", {"Cache-Control": "only-if-cached"}
        ).status
        == 504,
        f"product {id} is listed, and not in memory",
    )
    ids = [*shelf[:5], id]
    with RawConnection(reader.base_url) as connection:
        for path in [f"/api/products/{shelf[0]}/stock"] * 10 + [
            f"/api/stock?ids={','.join(map(str, ids))}"
        ]:
            connection.send(request_bytes("GET", path))
            reply = connection.read_reply()
    assert [product["id"] for product in reply.json()["data"]] == ids
