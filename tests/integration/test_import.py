"""POST /api/catalog/import and ./dev import: lines in, results out, in bounded memory."""

import json
import os
import socket
import subprocess
import threading
import time
import uuid

import psycopg2
import pytest

from support.http_client import in_parallel
from support.ledger import assert_ledger_holds, assert_product_ledger
from support.metrics_text import Change, scrape
from support.problems import assert_problem
from support.raw_http import RawConnection, exchange, request_bytes
from support.service_process import ServiceProcess
from support.stack import ROOT
from support.timing import eventually, scaled

pytestmark = pytest.mark.quick

PATH = "/api/catalog/import"
STOCK_MAX = 2**53 - 1
NDJSON = [("Content-Type", "application/x-ndjson")]
BATCH = 1000


def an_sku():
    return "i-" + uuid.uuid4().hex


def line(**changed):
    return {"name": "Blue mug", "price": 12.5, "stock": 7, **changed}


def as_bytes(lines):
    return b"".join(
        text if isinstance(text, bytes) else json.dumps(text).encode() + b"\n" for text in lines
    )


def send(client, lines, headers=None):
    return client.post(PATH, as_bytes(lines), {**dict(NDJSON), **(headers or {})})


def results(reply):
    """The results of the lines, and the counts."""
    assert reply.status == 200, reply
    assert reply.header("Content-Type") == "application/x-ndjson"
    assert reply.body.endswith(b"\n")
    *lines, counts = [json.loads(text) for text in reply.body.splitlines()]
    assert [result["line"] for result in lines] == list(range(1, counts["lines"] + 1))
    for status in ("created", "updated", "unchanged", "refused"):
        assert counts[status] == sum(result["status"] == status for result in lines)
    return lines, counts


def statuses(reply):
    return [result["status"] for result in results(reply)[0]]


def products_of(database, prefix):
    return database.rows("SELECT * FROM products WHERE sku LIKE %s ORDER BY id", prefix + "%")


def own_writer(stack, folder, **http):
    settings = {
        "http": http,
        "database": {"url": stack.env["DATABASE_URL"]},
        "redis": {"url": stack.env["REDIS_URL"]},
    }
    return ServiceProcess("write-svc", folder, settings)


# -- what comes of lines


def test_lines_are_created_set_and_left(write, stack, database):
    sku = an_sku()
    reply = send(write, [line(sku=sku), line()])
    (first, second), counts = results(reply)
    assert first == {"line": 1, "status": "created", "id": first["id"], "version": 1}
    assert second["status"] == "created" and second["id"] > first["id"]
    assert counts == {"lines": 2, "created": 2, "updated": 0, "unchanged": 0, "refused": 0}

    again, _ = results(send(write, [line(sku=sku), line(sku=sku, stock=9), line(sku=sku, stock=9)]))
    assert [(result["status"], result["version"]) for result in again] == [
        ("unchanged", 1),
        ("updated", 2),
        ("unchanged", 2),
    ]
    assert {result["id"] for result in again} == {first["id"]}
    assert_product_ledger(database, first["id"], 7, [2])

    renamed, _ = results(send(write, [line(sku=sku, name="Red mug", stock=9)]))
    both, _ = results(send(write, [line(sku=sku, name="Mug", price="0.29", stock=3)]))
    assert (renamed[0]["version"], both[0]["version"]) == (3, 4)
    assert [m["kind"] for m in database.movements(first["id"])] == [
        "created",
        "set",
        "edited",
        "set",
    ]
    assert_product_ledger(database, first["id"], 7, [2, 0, -6])
    row = database.product(first["id"])
    assert (row["name"], str(row["price"]), row["stock"]) == ("Mug", "0.29", 3)
    for reader in stack.reads:
        assert reader.product(first["id"]).json()["name"] == "Mug"


def test_lines_of_one_sku_are_applied_in_their_order(stack, database):
    sku, other = an_sku(), an_sku()
    lines = [line(sku=sku, stock=n // 2) for n in range(100)]
    lines[50:50] = [line(sku=other), line(sku=other, price=1)]
    reply = send(stack.writes[0], lines)
    own = results(reply)[0]
    product, second = products_of(database, sku)[0], products_of(database, other)[0]
    assert (product["stock"], product["version"], second["version"]) == (49, 50, 2)
    mine = [result for result in own if result["id"] == product["id"]]
    assert [result["version"] for result in mine] == [1 + n // 2 for n in range(100)]
    assert_product_ledger(database, product["id"], 0, [1] * 49)


BAD = [
    ("name", {"name": ""}),
    ("name", {"name": "x" * 201}),
    ("price", {"price": 0.001}),
    ("price", {"price": "x"}),
    ("stock", {"stock": -1}),
    ("stock", {"stock": "1"}),
    ("stock", {"stock": STOCK_MAX + 1}),
    ("sku", {"sku": "a,b"}),
    ("sku", {"sku": " a"}),
    ("sku", {"sku": ""}),
    ("id", {"id": 1}),
]
BAD_BYTES = [
    ("line", b"\n"),
    ("line", b"nothing\n"),
    ("line", b"[]\n"),
    ("line", b'{"name":"a"\n'),
    ("name", b"{}\n"),
    ("price", b'{"name":"a"}\n'),
    ("line", b"\xff\n"),
    ("line", b'{"name":"a\xff","price":1,"stock":1}\n'),
    ("line", b'{"name":"\\u0000"}\n'),
    ("line", b'{"name":"a","name":"b","price":1,"stock":1}\n'),
    ("line", b" " * 8192 + b"x\n"),
    ("line", b" " * 100_000 + b"\n"),
]


def test_a_bad_line_stops_no_other(write, database):
    sku = an_sku()
    wanted, lines = [], []
    for n, (field, bad) in enumerate(BAD + BAD_BYTES):
        lines += [bad if isinstance(bad, bytes) else line(**bad), line(sku=f"{sku}-{n}")]
        wanted += [field, None]
    found, counts = results(send(write, lines))
    assert [result.get("field") for result in found] == wanted
    assert all(result["detail"] for result in found if result["status"] == "refused")
    assert counts["refused"] == len(BAD + BAD_BYTES) == len(products_of(database, sku))


@pytest.mark.parametrize(
    "body, count",
    [
        (b"", 0),
        (b'{"name":"a","price":1,"stock":1}', 1),
        (b'{"name":"a","price":1,"stock":1}\r\n', 1),
        (
            b'{"name":"a","price":1,"stock":1}\n'
            b'\t {"stock":1,"price":"1.00","name":"b","sku":null} ',
            2,
        ),
    ],
)
def test_ends_of_lines(stack, body, count):
    assert statuses(send(stack.writes[0], [body])) == ["created"] * count


def test_the_longest_line(stack, database):
    text = "\\u00e9" * 200
    body = b'{"name":"%s","price":9999999999.99,"stock":%d}' % (text.encode(), STOCK_MAX)
    body += b" " * (8192 - len(body)) + b"\n"
    (result,), _ = results(send(stack.writes[0], [body]))
    assert database.product(result["id"])["name"] == "é" * 200


def test_batches(write, database):
    sku = an_sku()
    lines = [line(sku=f"{sku}-{n}", stock=n) for n in range(2 * BATCH + 500)]
    assert statuses(send(write, lines)) == ["created"] * len(lines)
    rows = products_of(database, sku)
    assert [row["stock"] for row in rows] == list(
        range(len(lines))
    ), "ids are in the order of lines"
    lines[BATCH + 1] = line(sku=f"{sku}-{BATCH + 1}", stock=5)
    assert statuses(send(write, lines)).count("unchanged") == len(lines) - 1
    assert_product_ledger(database, rows[BATCH + 1]["id"], BATCH + 1, [4 - BATCH])


def test_an_sku_of_a_deleted_product_is_free(stack, database):
    sku = an_sku()
    (first,), _ = results(send(stack.writes[0], [line(sku=sku)]))
    database.rows("SELECT delete_product(%s)", first["id"])
    (second,), _ = results(send(stack.writes[0], [line(sku=sku)]))
    assert second["status"] == "created" and second["id"] != first["id"]


def test_stock_and_reserved_together_have_a_limit(stack, database):
    sku = an_sku()
    (made,), _ = results(send(stack.writes[0], [line(sku=sku)]))
    database.rows("UPDATE products SET stock = 5, reserved = 2 WHERE id = %s", made["id"])
    try:
        found, _ = results(
            send(
                stack.writes[0],
                [line(sku=sku, stock=STOCK_MAX - 1), line(sku=sku, stock=5), line(stock=STOCK_MAX)],
            )
        )
        assert [result["status"] for result in found] == ["refused", "unchanged", "created"]
        assert found[0]["field"] == "stock"
    finally:
        database.rows("UPDATE products SET stock = 7, reserved = 0 WHERE id = %s", made["id"])


def test_a_constraint_of_the_database_refuses_its_line_alone(stack, database):
    sku = an_sku()
    lines = [line(sku=f"{sku}-{n}", name="forbidden" if n in (3, 70) else "x") for n in range(100)]
    with database.constraint("name <> 'forbidden'"):
        found, counts = results(send(stack.writes[0], lines))
    assert counts["refused"] == 2 and found[3]["status"] == found[70]["status"] == "refused"
    assert len(products_of(database, sku)) == 98


def test_a_held_product_refuses_its_line_alone(stack, database):
    sku = an_sku()
    (made,), _ = results(send(stack.writes[0], [line(sku=sku)]))
    holder = psycopg2.connect(stack.env["DIRECT_URL"])
    try:
        with holder.cursor() as cursor:
            cursor.execute("SELECT FROM products WHERE id = %s FOR UPDATE", (made["id"],))
            lines = [line(sku=sku + "-1"), line(sku=sku, stock=1), line(sku=sku + "-2")]
            reply = stack.writes[0].post(PATH, as_bytes(lines), dict(NDJSON), timeout=scaled(60))
    finally:
        holder.close()
    found, _ = results(reply)
    assert [result["status"] for result in found] == ["created", "refused", "created"]
    assert "takes long" in found[1]["detail"]


# -- what readers see


def test_a_cached_product_is_seen_as_it_is_now(stack, database, cache):
    sku = an_sku()
    (made,), _ = results(send(stack.writes[0], [line(sku=sku)]))
    cache.make_warm(made["id"])
    for n in range(10):
        send(stack.writes[n % 2], [line(sku=sku, stock=n, name=f"Mug {n}")])
        for reader in (*stack.reads, stack.edge):
            product = reader.product(made["id"]).json()
            assert (product["stock"], product["name"]) == (n, f"Mug {n}")


def test_a_product_that_was_cached_as_missing_is_seen(stack):
    (newest,), _ = results(send(stack.writes[0], [line()]))
    asked = range(newest["id"] + 1, newest["id"] + 51)
    for id in asked:
        assert stack.reads[0].product(id).status == 404
    made, _ = results(send(stack.writes[1], [line()] * 100))
    seen = [result["id"] for result in made if result["id"] in asked]
    assert seen, "no id was asked for before it was made"
    for id in seen:
        assert stack.reads[0].product(id).status == 200


def test_lists_have_what_was_imported(stack):
    made, _ = results(send(stack.writes[0], [line()] * 50))
    ids = [result["id"] for result in made]
    for reader in stack.reads:
        path = f"/api/products?after={ids[0] - 1}&limit=50"
        eventually(
            lambda: [p["id"] for p in reader.get(path).json()["data"]] == ids, "the list has them"
        )


def test_lines_are_counted(stack):
    with Change(stack.write_ops[0]) as change:
        send(stack.writes[0], [line(), line(), {}])
    assert change("faststock_import_lines_total", status="created") == 2
    assert change("http_requests_total", route=PATH, status="200") == 1
    assert change("faststock_publish_total", result="forgotten") == 2


# -- how requests come


@pytest.mark.parametrize(
    "headers, status",
    [
        ([("Content-Type", "application/json"), ("Content-Length", "2")], 415),
        ([("Content-Length", "2")], 415),
        (NDJSON, 411),
        (NDJSON + [("Transfer-Encoding", "gzip, chunked")], 411),
        (NDJSON + [("Transfer-Encoding", "chunked"), ("Content-Length", "2")], 411),
        (NDJSON + [("Content-Length", "2"), ("Content-Length", "2")], 400),
        (NDJSON + [("Content-Length", "x")], 400),
        (NDJSON + [("Content-Length", "2"), ("Content-Encoding", "gzip")], 415),
        (NDJSON + [("Content-Length", "2"), ("Expect", "x")], 417),
        (NDJSON + [("Content-Length", "2"), ("Idempotency-Key", "a")], 400),
    ],
)
def test_refused_heads(stack, headers, status):
    reply = exchange(stack.writes[0].base_url, request_bytes("POST", PATH, headers) + b"{}")
    problem = assert_problem(reply, status)
    if status == 400 and ("Idempotency-Key", "a") in headers:
        assert "SKU" in problem["detail"]


def test_http_1_0_is_refused(stack):
    data = request_bytes("POST", PATH, NDJSON, b"{}\n", version="HTTP/1.0")
    assert_problem(exchange(stack.writes[0].base_url, data), 505)


def test_tokens(stack, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("secret\n")
    settings = {
        "database": {"url": stack.env["DATABASE_URL"]},
        "redis": {"url": stack.env["REDIS_URL"]},
        "auth": {"tokens_file": str(tokens)},
    }
    with ServiceProcess("write-svc", tmp_path, settings) as service:
        assert_problem(send(service.client, [line()]), 401)
        assert statuses(send(service.client, [line()], {"Authorization": "Bearer secret"}))
        file = tmp_path / "products.csv"
        file.write_text("name,price,stock\nMug,1,1\n")
        url = service.client.base_url
        assert "401: expected 'Authorization" in run_import(file, url=url, status=2).stderr
        assert "1 created" in run_import(file, url=url, WRITE_TOKEN="secret").stdout


def in_chunks(body, size):
    parts = [body[i : i + size] for i in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


@pytest.mark.parametrize("size", [1, 7, 4096, 100_000])
def test_a_body_in_chunks(write, size):
    lines = [line(stock=n) for n in range(100)]
    data = request_bytes("POST", PATH, NDJSON + [("Transfer-Encoding", "chunked")])
    reply = exchange(write.base_url, data + in_chunks(as_bytes(lines), size))
    assert statuses(reply) == ["created"] * 100
    assert "edge" in write.name or reply.header("Connection") == "close"


@pytest.mark.parametrize("bad", [b"x\r\n", b"5\r\nabcdefg", b"-1\r\n", b"5;a=b\r\n", b"\r\n"])
def test_malformed_chunks(stack, database, bad):
    sku = an_sku()
    data = request_bytes("POST", PATH, NDJSON + [("Transfer-Encoding", "chunked")])
    good = in_chunks(as_bytes([line(sku=sku)]), 4096).removesuffix(b"0\r\n\r\n")
    reply = exchange(stack.writes[0].base_url, data + good + bad)
    assert assert_problem(reply, 408)["lines"] == 0
    assert not products_of(database, sku)


def test_bodies_may_be_longer_than_others(write, stack):
    body = as_bytes([line(name="x" * 200)] * 8000)
    assert len(body) > 2**20
    assert len(statuses(send(write, [body]))) == 8000
    assert stack.writes[0].post("/api/catalog/products", body).status == 413


def test_expect_100_continue(stack):
    body = as_bytes([line()])
    headers = NDJSON + [("Expect", "100-continue"), ("Content-Length", str(len(body)))]
    with RawConnection(stack.writes[0].base_url) as connection:
        connection.send(request_bytes("POST", PATH, headers))
        assert connection.read_reply().status == 100
        connection.send(body)
        assert statuses(connection.read_reply()) == ["created"]


def test_a_connection_is_kept_behind_a_body_with_a_length(stack):
    with RawConnection(stack.writes[0].base_url) as connection:
        for _ in range(3):
            connection.send(request_bytes("POST", PATH, NDJSON, as_bytes([line()] * 3)))
            assert statuses(connection.read_reply()) == ["created"] * 3


def test_requests_behind_one_another(stack):
    data = request_bytes("POST", PATH, NDJSON, as_bytes([line()] * 3))
    with RawConnection(stack.writes[0].base_url) as connection:
        connection.send(data + data + request_bytes("GET", "/health"))
        assert [connection.read_reply().status for _ in range(3)] == [200] * 3


# -- clients that are slow, cut, or do not read


def test_a_slow_client(stack, tmp_path):
    """Whose body takes longer than a request may, but never pauses for long."""
    with own_writer(stack, tmp_path, read_timeout_ms=1000, request_timeout_ms=500) as service:
        body = as_bytes([line(name="x" * 50)] * 20)
        with RawConnection(service.client.base_url) as connection:
            head = request_bytes("POST", PATH, NDJSON + [("Content-Length", str(len(body)))])
            connection.send(head)
            connection.send(body, pieces_of=100, pause=0.1)
            assert statuses(connection.read_reply()) == ["created"] * 20


@pytest.mark.parametrize(
    "framing", [("Content-Length", "500000"), ("Transfer-Encoding", "chunked")]
)
def test_a_client_that_pauses_too_long(stack, database, tmp_path, framing):
    sku = an_sku()
    body = as_bytes([line(sku=f"{sku}-{n}") for n in range(BATCH + 500)])
    if framing[0] == "Transfer-Encoding":
        body = in_chunks(body, 1000).removesuffix(b"0\r\n\r\n")
    with own_writer(stack, tmp_path, read_timeout_ms=500) as service:
        with RawConnection(service.client.base_url) as connection:
            connection.send(request_bytes("POST", PATH, NDJSON + [framing]) + body)
            problem = assert_problem(connection.read_reply(), 408)
            assert connection.is_closed_by_server()
    counts = [problem[count] for count in ("lines", "created", "updated", "unchanged", "refused")]
    assert counts == [BATCH, BATCH, 0, 0, 0]
    assert len(products_of(database, sku)) == BATCH, "a batch that was not whole was imported"


def test_a_connection_that_is_cut(stack, database):
    sku = an_sku()
    body = as_bytes([line(sku=f"{sku}-{n}") for n in range(BATCH + 500)])
    with Change(stack.write_ops[0]) as change:
        with RawConnection(stack.writes[0].base_url) as connection:
            head = request_bytes("POST", PATH, NDJSON + [("Content-Length", "500000")])
            connection.send(head + body)
            eventually(lambda: len(products_of(database, sku)) == BATCH, "a batch is imported")
        eventually(lambda: idle(stack.write_ops[0]), "the request is over")
    assert change("http_requests_total", route=PATH, status="408") == 1
    assert len(products_of(database, sku)) == BATCH


def idle(ops):
    return scrape(ops).value("http_requests_in_flight") == 0


def test_a_client_that_reads_nothing(stack, tmp_path):
    """It sends on as long as the service takes it; then the connection ends."""
    with own_writer(stack, tmp_path, read_timeout_ms=500) as service:
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
            client.settimeout(scaled(20))
            host, port = service.client.base_url.removeprefix("http://").split(":")
            client.connect((host, int(port)))
            client.sendall(request_bytes("POST", PATH, NDJSON + [("Content-Length", str(2**40))]))
            with pytest.raises((BrokenPipeError, ConnectionResetError)):
                for _ in range(1000):
                    client.sendall(b"{}\n" * 10_000)
        eventually(lambda: idle(service.ops), "the request is over")
        assert statuses(send(service.client, [line()])) == ["created"]


def read_chunked(connection):
    """An answer in chunks that was begun: (head, body); the body is None without its end."""
    connection.settimeout(scaled(30))
    stream = connection.makefile("rb")
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += stream.readline()
    body = b""
    while text := stream.readline():
        size = int(text, 16)
        body += stream.read(size)
        assert stream.readline() == b"\r\n"
        if size == 0:
            return head, body, True
    return head, body, False


def start_reading(connection):
    found = []
    thread = threading.Thread(target=lambda: found.append(read_chunked(connection)), daemon=True)
    thread.start()

    def wait():
        thread.join(scaled(60))
        return found[0]

    return wait


def test_an_answer_that_begins_before_the_body_has_ended(stack):
    """A client that reads while it sends gets its answer in parts, and the service keeps none of
    it."""
    count = 150_000
    with RawConnection(stack.writes[0].base_url) as connection:
        wait = start_reading(connection.socket)
        head = request_bytes("POST", PATH, NDJSON + [("Content-Length", str(3 * count))])
        connection.send(head)
        connection.send(b"{}\n" * count)
        head, body, is_whole = wait()
    assert is_whole and b"Transfer-Encoding: chunked\r\n" in head
    *lines, counts = body.splitlines()
    assert len(lines) == count
    assert json.loads(lines[-1])["line"] == count and json.loads(lines[0])["status"] == "refused"
    assert json.loads(counts) == {
        "lines": count,
        "created": 0,
        "updated": 0,
        "unchanged": 0,
        "refused": count,
    }


def test_an_answer_that_was_begun_and_is_cut(stack, tmp_path):
    with own_writer(stack, tmp_path, read_timeout_ms=500) as service:
        with RawConnection(service.client.base_url) as connection:
            wait = start_reading(connection.socket)
            data = request_bytes("POST", PATH, NDJSON + [("Content-Length", "1000000")])
            connection.send(data + b"{}\n" * 100_000)
            head, body, is_whole = wait()
    assert head.startswith(b"HTTP/1.1 200 ") and not is_whole
    problem = json.loads(body.splitlines()[-1])
    assert problem["type"] == "/problems/request-timeout"
    assert problem["lines"] == problem["refused"] == 100_000 == len(body.splitlines()) - 1


def test_so_many_imports_at_a_time(stack):
    """The others are refused, so that imports take not all threads."""
    head = request_bytes("POST", PATH, NDJSON + [("Content-Length", "5000")])
    waiting = [RawConnection(stack.writes[0].base_url) for _ in range(4)]
    try:
        for connection in waiting:
            connection.send(head + b"{")
        running = lambda: scrape(stack.write_ops[0]).value("http_requests_in_flight")
        eventually(lambda: running() >= 4, "four imports run")
        problem = assert_problem(send(stack.writes[0], [line()]), 503, "overloaded")
        assert "nothing was imported" in problem["detail"]
    finally:
        for connection in waiting:
            connection.socket.close()
    eventually(lambda: idle(stack.write_ops[0]), "they are over")
    assert statuses(send(stack.writes[0], [line()])) == ["created"]


@pytest.mark.parametrize("is_idle", [True, False])
def test_drain_in_the_middle(stack, database, tmp_path, is_idle):
    """A service that ends does not wait for the body of an import, and tells how far it came."""
    sku = an_sku()
    with own_writer(stack, tmp_path, read_timeout_ms=60_000, drain_ms=2000) as service:
        with RawConnection(service.client.base_url) as connection:
            head = request_bytes("POST", PATH, NDJSON + [("Content-Length", str(2**30))])
            connection.send(head + as_bytes([line(sku=f"{sku}-{n}") for n in range(BATCH + 100)]))
            eventually(lambda: len(products_of(database, sku)) == BATCH, "a batch is imported")
            service.terminate()
            deadline = time.monotonic() + scaled(5)
            connection.socket.setblocking(False)
            while not is_idle and time.monotonic() < deadline:
                try:
                    connection.socket.send(b"{}\n")
                    connection.socket.recv(1, socket.MSG_PEEK)
                    break
                except BlockingIOError:
                    time.sleep(0.01)
            connection.socket.setblocking(True)
            problem = assert_problem(connection.read_reply(), 503)
            assert problem["created"] == BATCH and problem["lines"] >= BATCH
            assert "this instance ends" in problem["detail"]
        assert service.exit_code() == 0


def test_no_database(stack, tmp_path):
    settings = {"database": {"url": "postgres://127.0.0.1:1/none"}, "redis": {"url": ""}}
    with ServiceProcess("write-svc", tmp_path, settings, wait="alive") as service:
        problem = assert_problem(send(service.client, [{}, {}, line(), line()]), 503)
        assert (problem["lines"], problem["refused"]) == (2, 2)


# -- together with other changes


def test_imports_of_the_same_products_together(stack, database):
    """In opposite orders, with products that are there and new ones: none fails."""
    sku = an_sku()
    send(stack.writes[0], [line(sku=f"{sku}-{n:03}") for n in range(0, 300, 2)])

    def run(i):
        lines = [line(sku=f"{sku}-{n:03}", stock=i) for n in range(300)]
        return send(stack.writes[i % 2], lines[:: 1 if i % 2 else -1])

    replies = in_parallel(4, run)
    assert all("refused" not in statuses(reply) for reply in replies)
    rows = products_of(database, sku)
    assert len(rows) == 300 and {row["stock"] for row in rows} <= {0, 1, 2, 3}
    assert_ledger_holds(stack)


def test_imports_and_stock_changes_together(stack, database):
    skus = [an_sku() for _ in range(20)]
    made, _ = results(send(stack.writes[0], [line(sku=sku, stock=0) for sku in skus]))
    ids = [result["id"] for result in made]

    def run(i):
        if i % 4 == 0:
            return send(stack.writes[0], [line(sku=sku, stock=i) for sku in skus] * 3)
        return stack.writes[1].update_stock(ids[i % 20], {"delta": 1})

    replies = in_parallel(16, run)
    assert {reply.status for reply in replies} == {200}
    for reader in stack.reads:
        for id in ids:
            assert reader.product(id).json()["version"] == database.product(id)["version"]
    assert_ledger_holds(stack)


# -- ./dev import


def run_import(file, *words, url=None, input=None, status=0, **env):
    done = subprocess.run(
        [ROOT / "dev", "import", file, *words, *(["--url", url] if url else [])],
        input=input,
        capture_output=True,
        timeout=scaled(120),
        env={**os.environ, **env},
    )
    done.stdout, done.stderr = done.stdout.decode(), done.stderr.decode()
    assert done.returncode == status, done
    return done


@pytest.mark.parametrize(
    "text",
    [
        'sku,name,price,stock\n{0},Mug,12.50,7\n{0}-2,"Cup, ""big""",0.29,0\n',
        '\ufeffstock,price,name,sku\r\n7,12.50,Mug,{0}\r\n0,0.29,"Cup, ""big""",{0}-2\r\n',
        'name,stock,sku,price\nMug,007,{0},12.5\n\n"Cup, ""big""",0,{0}-2,0.29',
    ],
)
def test_csv(stack, database, tmp_path, text):
    sku, file = an_sku(), tmp_path / "products.csv"
    file.write_text(text.replace("{0}", sku), encoding="utf-8", newline="")
    assert "2 lines in" in run_import(file).stdout
    assert [
        (row["name"], str(row["price"]), row["stock"]) for row in products_of(database, sku)
    ] == [("Mug", "12.50", 7), ('Cup, "big"', "0.29", 0)]
    assert "2 unchanged" in run_import(file).stdout
    assert "2 unchanged" in run_import("-", input=file.read_bytes()).stdout


def test_ndjson(stack, database, tmp_path):
    sku, file = an_sku(), tmp_path / "products.ndjson"
    lines = [line(sku=f"{sku}-{n}", name="Größe 📦") for n in range(25_000)]
    file.write_bytes(b"\xef\xbb\xbf" + as_bytes(lines))
    assert "25,000 created" in run_import(file).stdout
    assert len(products_of(database, sku)) == 25_000
    assert "25,000 unchanged" in run_import("-", input=file.read_bytes()).stdout


def test_refused_lines_are_named(tmp_path):
    file = tmp_path / "products.csv"
    rows = ['"Two', 'lines",1,1', "Mug,1.005,1", "Mug,1,x", "Mug,1,1", ",1,1"]
    file.write_text("name,price,stock\n" + "\n".join(rows) + "\n")
    done = run_import(file, status=1)
    assert "5 lines" in done.stdout and "2 created" in done.stdout and "3 refused" in done.stdout
    named = [text.removeprefix(f"{file}:").split(": ")[:2] for text in done.stderr.splitlines()]
    assert named == [["4", "price"], ["5", "stock"], ["7", "name"]]


@pytest.mark.parametrize(
    "text, told",
    [
        (b"", ":1: expected the columns"),
        (b"sku,name,price\n", ":1: expected the columns"),
        (b"sku,name,price,stock,colour\n", ":1: expected the columns"),
        (b"name,name,price,stock\n", ":1: expected the columns"),
        (b"name;price;stock\n", ":1: expected the columns"),
        (b"name,price,stock\na,1,1\nb,1\n", ":3: expected 3 fields, found 2"),
        (b'name,price,stock\na,1,1\n"b\n",1,1,1\n', ":3: expected 3 fields, found 4"),
        (b'name,price,stock\na,1,1\n"b"c,1,1\n', ":3: not CSV"),
        (b'name,price,stock\n"b,1,1\n', ":2: not CSV"),
        (b"name,price,stock\nb\xff,1,1\n", "not UTF-8"),
    ],
)
def test_malformed_csv(tmp_path, text, told):
    file = tmp_path / "products.csv"
    file.write_bytes(text)
    assert told in run_import(file, status=2).stderr


def test_an_import_outlasts_a_restart_of_the_service(stack, database, tmp_path):
    sku, file = an_sku(), tmp_path / "products.ndjson"
    file.write_bytes(as_bytes([line(sku=f"{sku}-{n}") for n in range(40_000)]))
    restart = threading.Thread(target=stack.dev, args=("restart", "write-1"))
    watch = threading.Thread(
        target=lambda: (
            eventually(lambda: products_of(database, sku + "-1"), "it runs"),
            restart.start(),
        )
    )
    watch.start()
    done = run_import(file, url=stack.writes[0].base_url)
    watch.join()
    restart.join()
    stack.wait_until_whole()
    assert "40,000 lines" in done.stdout and " 0 refused" in done.stdout
    assert len(products_of(database, sku)) == 40_000


def test_no_service(tmp_path):
    file = tmp_path / "products.csv"
    file.write_text("name,price,stock\nMug,1,1\n")
    assert "expected http://" in run_import(file, url="nowhere", status=2).stderr
