"""The edge: routes by path alone, shares the load, passes request ids through, limits, answers its
own errors as problems."""

import re
from pathlib import Path

import pytest

from support.http_client import in_parallel, insist
from support.metrics_text import Change
from support.problems import assert_problem
from support.raw_http import RawConnection, exchange, request_bytes

pytestmark = pytest.mark.quick

ROOT = Path(__file__).parents[2]


def requests_of(change, client_number, route):
    before, after = change.before[client_number], change.after[client_number]
    return after.total("http_requests_total", route=route) - before.total(
        "http_requests_total", route=route
    )


def test_both_readers_are_asked(stack, database):
    id = database.create_product()
    with Change(*stack.read_ops) as change:
        for _ in range(40):
            assert stack.edge.product(id).status == 200
    shares = [requests_of(change, number, "/api/products/{id}") for number in (0, 1)]
    assert sum(shares) == 40 and min(shares) >= 10, shares


def test_both_writers_are_asked(stack, database):
    id = database.create_product()
    with Change(*stack.write_ops) as change:
        for _ in range(40):
            assert stack.edge.update_stock(id, {"delta": 1}).status == 200
    shares = [requests_of(change, number, "/api/products/{id}/update-stock") for number in (0, 1)]
    assert sum(shares) == 40 and min(shares) >= 10, shares
    assert database.product(id)["stock"] == 40


def test_request_ids_go_through(stack, database):
    id = database.create_product()
    assert (
        stack.edge.product(id, {"X-Request-Id": "edge-1.A_b"}).header("X-Request-Id")
        == "edge-1.A_b"
    )
    problem = assert_problem(stack.edge.get("/api/products/0", {"X-Request-Id": "edge-2"}), 400)
    assert problem["instance"] == "urn:request:edge-2"
    made = {
        stack.edge.product(id, {"X-Request-Id": bad}).header("X-Request-Id")
        for bad in ("", "a b", "x" * 129)
    }
    assert len(made) == 3 and not made & {"", "a b", "x" * 129}


def test_http_1_0_without_host(stack, database):
    """As load balancers ask whether a server is there."""
    id = database.create_product(stock=3)
    for path in ("/health", f"/api/products/{id}/stock"):
        reply = exchange(
            stack.edge.base_url, request_bytes("GET", path, host=None, version="HTTP/1.0")
        )
        assert reply.status == 200, reply
    headers = [("Content-Type", "application/json")]
    data = request_bytes(
        "POST",
        f"/api/products/{id}/update-stock",
        headers,
        b'{"delta":-1}',
        host=None,
        version="HTTP/1.0",
    )
    assert exchange(stack.edge.base_url, data).json()["stock"] == 2


def test_reads_and_writes_are_told_apart_by_path(stack, database):
    id = database.create_product(stock=1)
    for method, path, allow in (
        ("GET", f"/api/products/{id}/update-stock", {"POST"}),
        ("POST", f"/api/products/{id}", {"GET", "HEAD"}),
        ("DELETE", "/api/stock", {"GET", "HEAD"}),
    ):
        reply = stack.edge.request(method, path)
        assert_problem(reply, 405)
        assert {one.strip() for one in reply.header("Allow").split(",")} == allow
    assert stack.edge.get("/api/orders").status == 200
    assert_problem(stack.edge.get(f"/api/orders/{2**63 - 1}"), 404)
    assert_problem(stack.edge.post("/api/orders", {}), 400, field="items")
    assert_problem(stack.edge.get(f"/api/reservations/{2**63 - 1}"), 404)
    assert_problem(stack.edge.post("/api/reservations", {}), 400, field="items")
    for end in ("confirm", "release"):
        assert_problem(stack.edge.post(f"/api/reservations/0/{end}", {}), 400, field="id")
    assert_problem(stack.edge.post("/api/stock/changes", {}), 400, field="changes")
    assert_problem(stack.edge.post("/api/catalog/products", {}), 400)
    assert_problem(stack.edge.post("/api/catalog/nothing", {}), 404)


@pytest.mark.parametrize(
    "path", ["/metrics", "/readyz", "/livez", "/version", "/nothing", "/.problem", "/api"]
)
def test_operations_are_not_for_clients(stack, path):
    assert_problem(stack.edge.get(path), 404)


def test_conditional_reads_and_head(stack, database):
    id = database.create_product()
    assert stack.edge.get(f"/api/products/{id}", {"If-None-Match": '"1"'}).status == 304
    assert stack.edge.head(f"/api/products/{id}").header("ETag") == '"1"'
    assert stack.edge.update_stock(id, {"delta": 1}, {"If-Match": '"2"'}).status == 412


def test_a_connection_is_kept_alive(stack, database):
    id = database.create_product()
    with RawConnection(stack.edge.base_url) as connection:
        for _ in range(5):
            connection.send(request_bytes("GET", f"/api/products/{id}"))
            assert connection.read_reply().status == 200


def test_its_own_errors_are_problems(stack):
    url = stack.edge.base_url
    assert_problem(
        exchange(url, request_bytes("GET", "/api/products", [("X-Big", "a" * 40_000)])), 431
    )
    assert_problem(exchange(url, request_bytes("GET", "/api/products", host=None)), 400)
    assert_problem(
        exchange(
            url,
            request_bytes(
                "POST", "/api/products/1/update-stock", [("Content-Length", "1000000000")]
            ),
        ),
        413,
    )
    assert_problem(exchange(url, b"garbage\r\n\r\n"), 400)


def test_its_problems_have_the_titles_of_the_services():
    def entries(map):
        block = re.search(rf"map \$status \${map} {{(.*?)}}", template, re.DOTALL).group(1)
        return dict(re.findall(r'(\S+) "?(.*?)"?;', block))

    template = (ROOT / "local/nginx.conf.in").read_text()
    titles = dict(
        re.findall(r'{\d+, "([a-z-]+)", "(.*)"}', (ROOT / "common/http/problem.c").read_text())
    )
    slugs, shown = entries("problem"), entries("problem_title")
    assert slugs.keys() == shown.keys()
    both = {slug: shown[status] for status, slug in slugs.items() if slug in titles}
    assert len(both) >= 7 and both == {slug: titles[slug] for slug in both}


def test_made_up_request_ids_have_the_length_of_those_of_the_services(stack, database):
    id = database.create_product()
    replies = [client.product(id) for client in (stack.edge, *stack.reads)]
    assert {len(reply.header("X-Request-Id")) for reply in replies} == {32}


def test_limit_of_requests(stack, database):
    id = database.create_product()
    with stack.limited_edge("1r/s") as edge:
        replies = in_parallel(40, lambda i: edge.product(id))
        refused = [reply for reply in replies if reply.status != 200]
        assert 1 <= len(refused) < 40
        for reply in refused:
            assert_problem(reply, 429, "too-many-requests")
            assert int(reply.header("Retry-After")) >= 1 and reply.header("RateLimit")
        posted = in_parallel(20, lambda i: insist(lambda: edge.update_stock(id, {"delta": 1})))
        assert {reply.status for reply in posted} <= {200, 429} and 429 in {
            reply.status for reply in posted
        }
    assert database.product(id)["stock"] == sum(reply.status == 200 for reply in posted)
    assert [stack.edge.product(id).status for _ in range(40)] == [
        200
    ] * 40, "the limit is off again"
