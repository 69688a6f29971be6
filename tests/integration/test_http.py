"""The rules of HTTP that both services keep: methods, paths, request ids, framing, keep-alive."""

import socket

import pytest

from support.http_client import Connection
from support.metrics_text import scrape
from support.problems import assert_problem
from support.raw_http import RawConnection, exchange, request_bytes, used_connections
from support.service_process import ServiceProcess

pytestmark = pytest.mark.quick

# The whole table of paths, as both services know it.
READ_PATHS = [
    "/api/products",
    "/api/products/{id}",
    "/api/products/{id}/stock",
    "/api/stock?ids={id}",
]
WRITE_PATH = "/api/products/{id}/update-stock"


@pytest.fixture(autouse=True, params=[False, True], ids=["new", "used"])
def connections(request):
    """On a used connection read-svc may answer another way (common/http/parked.h)."""
    with used_connections(request.param):
        yield


@pytest.fixture(params=["read-1", "read-2", "write-1", "write-2"])
def service(request, stack):
    return {client.name: client for client in stack.services()}[request.param]


def methods(text):
    return {method.strip() for method in text.split(",")}


@pytest.mark.parametrize("path", READ_PATHS)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_reads_take_get_and_head_only(service, database, path, method):
    reply = service.request(
        method, path.format(id=database.create_product()), body={} if method != "DELETE" else None
    )
    assert_problem(reply, 405)
    assert methods(reply.header("Allow")) == {"GET", "HEAD"}


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE"])
def test_update_stock_takes_post_only(service, database, method):
    reply = service.request(method, WRITE_PATH.format(id=database.create_product()))
    assert reply.status == 405
    if method != "HEAD":
        assert_problem(reply, 405)
    assert methods(reply.header("Allow")) == {"POST"}


def test_the_other_service_has_the_path_not(stack, database):
    id = database.create_product()
    for reader in stack.reads:
        assert_problem(reader.update_stock(id, {"delta": 1}), 404)
    for writer in stack.writes:
        for path in READ_PATHS:
            assert_problem(writer.get(path.format(id=id)), 404)
    assert len(database.movements(id)) == 1


@pytest.mark.parametrize(
    "path",
    ["//", "/api", "/api/", "/nothing", "/api/nothing", "/api/products/", "/api/stock/",
     "/API/products", "/api/products/1/",
     "/api/products/1/stock/", "/api/products/1/nothing", "/api/products/1/stock/1",
     "/apiproducts", "/favicon.ico", "/index.html"],
)
def test_no_such_path(service, path):
    assert_problem(service.get(path), 404)


# -- which instance answered


def test_every_answer_names_its_instance(stack, database):
    id = database.create_product()
    port = {client.name: client.base_url.rpartition(":")[2] for client in stack.services()}
    for client in stack.services():
        replies = [client.get("/api/nothing"), client.get("/health"), client.stock(id)]
        replies.append(client.head(f"/api/products/{id}"))
        replies.append(exchange(client.base_url, b"nonsense\r\n\r\n"))
        names = {reply.header("X-Instance") for reply in replies}
        assert names == {f"{socket.gethostname()}:{port[client.name]}"}, client


def test_the_edge_passes_the_instance_on(stack, database):
    id = database.create_product()
    names = {stack.edge.stock(id).header("X-Instance") for _ in range(50)}
    assert names == {reader.get("/health").header("X-Instance") for reader in stack.reads}


# -- request ids


@pytest.mark.parametrize("request_id", ["a", "0-A_z.9", "x" * 128])
def test_request_id_of_the_client_comes_back(service, request_id):
    reply = service.get("/api/nothing", {"X-Request-Id": request_id})
    assert reply.header("X-Request-Id") == request_id
    assert assert_problem(reply, 404)["instance"] == f"urn:request:{request_id}"


@pytest.mark.parametrize("request_id", ["", "x" * 129, "a b", 'a"b', "<script>", "é", "a/b", "a,b"])
def test_a_bad_request_id_is_replaced(service, request_id):
    data = request_bytes("GET", "/api/nothing", [("X-Request-Id", request_id)])
    with RawConnection(service.base_url) as connection:
        connection.send(data)
        reply = connection.read_reply()
    made = reply.header("X-Request-Id")
    assert made and made != request_id and 8 <= len(made) <= 128
    assert_problem(reply, 404)


@pytest.mark.parametrize("blanks", [" ", "   "])
def test_blanks_behind_a_header_value_are_no_part_of_it(stack, database, blanks):
    """RFC 9110, 5.5."""
    id = database.create_product(stock=1)
    reader, writer = stack.reads[0].base_url, stack.writes[0].base_url
    for name, value, status in (
        ("Min-Version", "1", 200),
        ("Min-Version", "2", 412),
        ("If-None-Match", '"1"', 304),
        ("Content-Length", "0", 200),
    ):
        headers = [("X-Request-Id", "blanks" + blanks), (name, value + blanks)]
        reply = exchange(reader, request_bytes("GET", f"/api/products/{id}", headers))
        assert (reply.status, reply.header("X-Request-Id")) == (status, "blanks"), (name, reply)
    plain = {"Content-Type": "application/json", "Content-Length": "12", "If-Match": "*"}
    for name in plain:
        headers = [(one, value + blanks if one == name else value) for one, value in plain.items()]
        reply = exchange(
            writer, request_bytes("POST", WRITE_PATH.format(id=id), headers, b'{"delta": 1}')
        )
        assert reply.status == 200, (name, reply)
    with RawConnection(writer) as connection:
        connection.send(
            request_bytes(
                "POST",
                WRITE_PATH.format(id=id),
                [*plain.items(), ("Expect", "100-continue" + blanks)],
            )
        )
        assert connection.read_reply().status == 100
        connection.send(b'{"delta": 1}')
        assert connection.read_reply().status == 200
    with RawConnection(reader) as connection:
        connection.send(request_bytes("GET", "/health", [("Connection", "close" + blanks)]))
        assert (
            connection.read_reply().header("Connection") == "close"
            and connection.is_closed_by_server()
        )
    assert database.product(id)["stock"] == 1 + len(plain) + 1


def test_made_request_ids_differ(service):
    made = {service.get("/api/nothing").header("X-Request-Id") for _ in range(50)}
    assert len(made) == 50


# -- connections


def test_a_connection_is_kept_alive(service):
    connection = Connection(service.base_url)
    connection.request("GET", "/api/nothing")
    first = connection.http.sock
    for _ in range(20):
        assert connection.request("GET", "/health").status == 200
    assert first is not None and connection.http.sock is first
    connection.close()


def test_connection_close_is_honoured(service):
    with RawConnection(service.base_url) as connection:
        connection.send(request_bytes("GET", "/health", [("Connection", "close")]))
        assert connection.read_reply().header("Connection").lower() == "close"
        assert connection.is_closed_by_server()


def test_http_1_0_is_closed_after_one_reply(service):
    with RawConnection(service.base_url) as connection:
        connection.send(request_bytes("GET", "/health", version="HTTP/1.0"))
        assert connection.read_reply().status == 200
        assert connection.is_closed_by_server()


def test_pipelined_requests_are_answered_in_order(stack, database):
    ids = database.create_products(5, stock=1)
    with RawConnection(stack.reads[0].base_url) as connection:
        connection.send(b"".join(request_bytes("GET", f"/api/products/{id}/stock") for id in ids))
        assert [connection.read_reply().json()["id"] for _ in ids] == ids


def test_pipelined_changes_are_applied_in_order(stack, database):
    id = database.create_product(stock=0)
    one = lambda delta: request_bytes(
        "POST",
        WRITE_PATH.format(id=id),
        [("Content-Type", "application/json")],
        b'{"delta":%d}' % delta,
    )
    with RawConnection(stack.writes[0].base_url) as connection:
        connection.send(one(1) + one(-1) + one(-1) + one(5))
        assert [connection.read_reply().status for _ in range(4)] == [200, 200, 409, 200]


@pytest.fixture
def patient(stack, tmp_path):
    """Gives a service of its own, which waits a minute for the whole of a request."""

    def start(service):
        settings = {
            "database": {"url": stack.env["DATABASE_URL"]},
            "redis": {"url": stack.env["REDIS_URL"]},
            "http": {"read_timeout_ms": 60_000},
        }
        return ServiceProcess(service, tmp_path, settings)

    return start


def test_valid_requests_byte_by_byte(patient, database):
    id = database.create_product(stock=1)
    with patient("read-svc") as service, RawConnection(
        service.client.base_url, timeout=60
    ) as connection:
        connection.send(
            request_bytes("GET", f"/api/products/{id}/stock", [("X-Request-Id", "slow-1")]),
            pieces_of=1,
            pause=0.001,
        )
        reply = connection.read_reply()
        assert reply.json()["stock"] == 1 and reply.header("X-Request-Id") == "slow-1"
    with patient("write-svc") as service, RawConnection(
        service.client.base_url, timeout=60
    ) as connection:
        body = b'{"delta":4,"reason":"slow"}'
        headers = [("Content-Type", "application/json")]
        connection.send(
            request_bytes("POST", WRITE_PATH.format(id=id), headers, body), pieces_of=1, pause=0.001
        )
        assert connection.read_reply().json()["stock"] == 5


def test_expect_100_continue(stack, database):
    id = database.create_product()
    headers = [
        ("Content-Type", "application/json"),
        ("Expect", "100-continue"),
        ("Content-Length", "11"),
    ]
    with RawConnection(stack.writes[0].base_url) as connection:
        connection.send(request_bytes("POST", WRITE_PATH.format(id=id), headers))
        reply = connection.read_reply()
        assert reply.status == 100
        connection.send(b'{"delta":1}')
        assert connection.read_reply().json()["stock"] == 1


def test_a_client_that_leaves_does_no_harm(stack, database):
    """Connections dropped at every stage: the service counts them out again and serves on."""
    id = database.create_product(stock=100)
    whole = request_bytes(
        "POST", WRITE_PATH.format(id=id), [("Content-Type", "application/json")], b'{"delta":1}'
    )
    for client in stack.services():
        for length in range(0, len(whole), 7):
            with RawConnection(client.base_url) as connection:
                # Closes with a reset.
                connection.socket.setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0"
                )
                connection.send(whole[:length])
        assert client.get("/health").status == 200
    assert database.product(id)["stock"] == 100


def test_no_body_where_head_is_asked_over_keep_alive(service):
    with RawConnection(service.base_url) as connection:
        connection.send(
            request_bytes("HEAD", "/api/nothing") + request_bytes("GET", "/api/nothing")
        )
        assert connection.read_reply(head=True).status == 404
        assert_problem(connection.read_reply(), 404)


# -- the ops port and the seeds' paths


def test_ops_port(stack):
    for client in stack.ops():
        for path in ("/livez", "/readyz", "/startupz"):
            reply = client.get(path)
            assert reply.status == 200 and reply.header("Content-Type") == "application/json"
            assert reply.json()["status"] == "ok"
        dependencies = client.get("/readyz").json()["dependencies"]
        assert dependencies["postgres"]["state"] == "up" and dependencies["redis"]["state"] == "up"
        version = client.get("/version").json()
        assert version["version"]
        assert_problem(client.get("/nothing"), 404)
        assert_problem(client.request("POST", "/readyz"), 405)
        assert_problem(client.post("/readyz", {}), 405)


def test_health(stack):
    for client, url in zip(stack.services() + stack.ops(), stack.services() * 2):
        body = client.get("/health").json()
        assert set(body) == {"status", "port", "pid"} and body["status"] == "ok"
        assert url.base_url.endswith(f":{body['port']}")


def test_the_api_is_not_on_the_ops_port(stack):
    for client in stack.ops():
        assert_problem(client.get("/api/products"), 404)


def test_metrics_are_on_both_ports(stack):
    for public, ops in zip(stack.services(), stack.ops()):
        assert set(scrape(public).types) == set(scrape(ops).types)
