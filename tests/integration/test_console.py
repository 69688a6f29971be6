"""The pages for people, over HTTP: their headers, and that all is in them."""

import base64
import hashlib
import html
import re
import subprocess

import pytest

from support.openapi import Document
from support.problems import assert_problem
from support.raw_http import exchange, request_bytes
from support.service_process import ServiceProcess
from support.stack import ROOT

# -- headers


@pytest.mark.quick
@pytest.mark.parametrize("path", ["/", "/docs"])
def test_the_policy_allows_what_is_in_the_page_and_nothing_else(stack, path):
    for client in (*stack.reads, stack.edge):
        reply = client.get(path)
        assert reply.status == 200 and reply.header("Content-Type") == "text/html; charset=utf-8"
        text = reply.header("Content-Security-Policy")
        policy = dict(part.strip().split(" ", 1) for part in text.split(";"))
        assert policy["default-src"] == "'none'" and policy["connect-src"] == "'self'"
        assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
        assert "unsafe" not in text
        for tag, directive in (("script", "script-src"), ("style", "style-src")):
            name = tag.encode()
            (inside,) = re.findall(rb"<%b>(.*?)</%b>" % (name, name), reply.body, re.S)
            digest = base64.b64encode(hashlib.sha256(inside).digest()).decode()
            assert policy[directive] == f"'sha256-{digest}'"
        assert reply.header("X-Content-Type-Options") == "nosniff"
        assert reply.header("Referrer-Policy") == "no-referrer"
        assert reply.header("Cache-Control") == "no-cache"


@pytest.mark.quick
def test_the_page_asks_for_nothing_from_outside(stack):
    addresses = set(re.findall(rb"[a-z]+://[^\s'\"<>]+", stack.edge.get("/").body))
    assert addresses == {b"http://www.w3.org/2000/svg"}  # a name of the icon's XML


@pytest.mark.quick
def test_head_and_other_methods(stack):
    reader = stack.reads[0]
    head = reader.head("/")
    assert head.status == 200 and head.body == b""
    assert head.header("Content-Length") == str(len(reader.get("/").body))
    assert_problem(reader.post("/", {}), 405)
    for writer in stack.writes:
        assert_problem(writer.get("/"), 404)


@pytest.mark.quick
@pytest.mark.parametrize("settings", [{}, {"http": {"console": False}}], ids=["default", "off"])
def test_there_is_no_page_unless_it_is_on(stack, tmp_path, settings):
    stores = {"database": {"url": stack.env["DATABASE_URL"]}, "redis": {"url": ""}}
    with ServiceProcess("read-svc", tmp_path, {**stores, **settings}) as service:
        for method in ("GET", "POST"):
            reply = exchange(service.client.base_url, request_bytes(method, "/"))
            assert_problem(reply, 404)
        assert service.client.get("/api/products?limit=1").status == 200


# -- the pages of problems

ARTICLE = re.compile(
    r'<article id="([a-z-]+)">\n  <h2>(.*?)</h2>\n  <p class="soft">(\d+) <code>'
    r'<a href="/problems/\1">/problems/\1</a>'
)


def problem_types():
    """Each type that a service or the edge tells, from their sources: {(slug, title, status)}."""
    found = set()
    for folder in ("common", "read-svc", "write-svc"):
        for source in (ROOT / folder).rglob("*.c"):
            rows = re.findall(r'\{([45]\d\d),\s+"([a-z-]+)",\s+"([^"]+)"\}', source.read_text())
            found |= {(slug, title, status) for status, slug, title in rows}
    edge = (ROOT / "local/nginx.conf.in").read_text()
    slugs = dict(re.findall(r"^    (\d+) ([a-z-]+);$", edge, re.M))
    titles = dict(re.findall(r'^    (\d+) "([A-Z][^",]*)";$', edge, re.M))
    return found | {(slugs[status], titles[status], status) for status in slugs}


@pytest.mark.quick
def test_each_type_of_problem_has_its_page(stack):
    types = problem_types()
    assert len(types) > 25
    index = stack.edge.get("/problems/")
    assert set(ARTICLE.findall(index.body.decode())) == types
    for slug, title, status in types:
        for client in (*stack.reads, stack.edge):
            reply = client.get("/problems/" + slug)
            assert reply.status == 200 and "script-src" not in str(reply.headers), slug
            assert ARTICLE.findall(reply.body.decode()) == [(slug, title, status)]
            assert reply.body.endswith(b"</html>\n")


@pytest.mark.quick
@pytest.mark.parametrize("name", ["nothing", "Not-Found", "not-found%22", "not", 'a"b', "-"])
def test_there_is_no_page_of_other_names(stack, name):
    data = request_bytes("GET", "/problems/" + name)
    assert_problem(exchange(stack.reads[0].base_url, data), 404)


# -- the page of the API

CURL = re.compile(r'<article id="(\w+)">.*?<pre class="curl">(.*?)</pre>', re.S)


def curl_lines(stack):
    """Each operation's line, as a person copies it from the page of this stack."""
    body = stack.edge.get("/docs").body.decode()
    lines = {name: html.unescape(re.sub("<[^>]*>", "", line)) for name, line in CURL.findall(body)}
    local = {"http://127.0.0.1:18080": stack.edge.base_url,
             "http://localhost:18091": stack.read_ops[0].base_url}  # fmt: skip
    for shown, there in local.items():
        lines = {name: line.replace(shown, there) for name, line in lines.items()}
    return lines


@pytest.mark.quick
def test_the_api_has_each_operation_and_schema(stack):
    document, body = Document(), stack.edge.get("/docs").body.decode()
    ids = re.findall(r'<article id="([^"]+)">', body)
    schemas = [f"schema-{name}" for name in document.tree["components"]["schemas"]]
    assert sorted(ids) == sorted([*document.operations, *schemas])
    assert set(re.findall(r'href="#([^"]+)"', body)) <= set(ids)
    for link in set(re.findall(r'href="(/[^"]*)"', body)):
        assert stack.edge.get(link).status == 200, link
    for _, _, operation in document.operations.values():
        assert not set(operation["responses"]) - set(re.findall(r"<td><code>(\d+)<", body))


@pytest.mark.quick
def test_the_document_itself_is_there(stack):
    for client in (*stack.reads, stack.edge):
        reply = client.get("/docs/openapi.yaml")
        assert reply.body == (ROOT / "docs/openapi.yaml").read_bytes()
        assert reply.header("Content-Type") == "application/yaml"
    for path in ("/docs/", "/docs/x", "/docsx"):
        assert_problem(stack.edge.get(path), 404)


@pytest.mark.quick
def test_each_line_for_curl_is_taken(stack, database):
    """With ids of things that are there, and names that no other product has."""
    lines = curl_lines(stack)
    products = [database.create_product(stock=100) for _ in range(3)]
    writer = stack.writes[0]

    def reserve(product):
        return writer.post("/api/reservations", {"items": [{"productId": product, "qty": 1}]})

    made = {
        "order": writer.post("/api/orders", {"productId": products[0], "qty": 1}),
        "reservation": reserve(products[0]),
    }
    sku = f"docs-{products[0]}"
    for name, line in lines.items():
        id = products[0]
        for kind, reply in made.items():
            if kind in name.lower():
                id = reply.json()["id"]
        line = re.sub(r"(/api/[a-z/]+/)1(?=[/'\s]|$)", rf"\g<1>{id}", line)
        for shown, there in ((7, products[1]), (9, products[2])):
            line = re.sub(rf'("(?:productId|id)": ){shown}\b', rf"\g<1>{there}", line)
        line = line.replace('"sku": "MUG-1"', f'"sku": "{sku}"').replace(', "ifVersion": 3', "")
        if name == "releaseReservation":  # the one before was confirmed
            line = line.replace(f"/{id}/", f"/{reserve(products[1]).json()['id']}/")
        done = subprocess.run(
            ["bash", "-c", f"{line} -o /dev/null -w '%{{http_code}}'"],
            capture_output=True, text=True, timeout=20,
        )  # fmt: skip
        assert re.fullmatch("2..", done.stdout), f"{name}: {line}: {done.stdout}{done.stderr}"
    assert len(lines) == len(Document().operations)
