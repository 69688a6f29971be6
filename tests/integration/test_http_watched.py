"""The two ways on which a request may be answered: by the connection's thread, or, while that
sleeps, by a watcher (common/http/parked.h). A client cannot tell them apart.

The server is tests/bench/bench_http.c: what it answers never changes."""

import contextlib
import itertools
import re
import signal
import subprocess
import time

import pytest

from support.http_client import Client
from support.metrics_text import scrape
from support.raw_http import RawConnection, request_bytes
from support.service_process import free_port
from support.stack import PRESET, ROOT
from support.timing import eventually, scaled

pytestmark = pytest.mark.quick

GET = request_bytes("GET", "/stock")
# The first answers of a connection come from its thread.
FIRST = 3


@contextlib.contextmanager
def a_server(way, keep_alive_ms=60_000):
    port = free_port()
    program = ROOT / "build" / PRESET / "tests" / "bench" / "bench_http"
    process = subprocess.Popen([program, way, str(port), str(keep_alive_ms)])
    client = Client(f"http://127.0.0.1:{port}")
    try:
        eventually(lambda: is_there(client), "the server answers")
        yield client
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(scaled(20)) == 0


def is_there(client):
    with contextlib.suppress(OSError):
        return client.get("/stock").status == 200


@pytest.fixture(scope="module")
def watched():
    with a_server("watched") as client:
        yield client


@pytest.fixture(scope="module")
def threads():
    with a_server("threads") as client:
        yield client


def count(client):
    return scrape(client).value("http_requests_watched_total")


def parked(client, timeout=None):
    """A connection that is parked."""
    connection = RawConnection(client.base_url, *([timeout] if timeout else []))
    for _ in range(100):
        before = count(client)
        for _ in range(FIRST):
            connection.send(GET)
            assert connection.read_reply().status == 200
        if count(client) > before:
            # the last answer may have been its thread's, which parks it a moment later
            connection.send(GET)
            assert connection.read_reply().status == 200
            return connection
    raise AssertionError("the connection is never parked")


def seen(reply):
    """What is the same on both ways."""
    if reply is None:
        return None
    headers = [pair for pair in reply.headers if pair[0] not in ("Date", "X-Request-Id")]
    return reply.status, headers, re.sub(rb"urn:request:\w+", b"", reply.body)


def replies_of(connection, data, head=False):
    """All replies to these bytes, and behind them a mark by which their end is known, or None."""
    connection.send(data + request_bytes("GET", "/end"))
    replies = []
    while True:
        replies.append(seen(connection.read_reply(head and not replies)))
        if replies[-1] is None or b"no such path" in replies[-1][2]:
            return replies


LINES = b"GET /stock HTTP/1.1\r\nHost: h\r\n"
CASES = {
    "plain": GET,
    "three": GET * 3,
    "thirty": GET * 30,
    "headers": LINES + b"Accept: */*\r\nCookie: a=b\r\nX-Empty:\r\n\r\n",
    "request id": LINES + b"X-Request-Id: abc\r\n\r\n",
    "query": b"GET /stock?a=1 HTTP/1.1\r\nHost: h\r\n\r\n",
    "odd query": b"GET /stock?a=%FF HTTP/1.1\r\nHost: h\r\n\r\n",
    "encoded": b"GET /stoc%6b HTTP/1.1\r\nHost: h\r\n\r\n",
    "no such path": b"GET /stocks HTTP/1.1\r\nHost: h\r\n\r\n",
    "another method": b"PUT /stock HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
    "no method": b"G@T /stock HTTP/1.1\r\nHost: h\r\n\r\n",
    "absolute": b"GET http://h/stock HTTP/1.1\r\nHost: h\r\n\r\n",
    "another route": b"GET /other HTTP/1.1\r\nHost: h\r\n\r\n",
    "body": b"POST /other HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc",
    "body of a GET": LINES + b"Content-Length: 3\r\n\r\nabc" + GET,
    "no body of a GET": LINES + b"Content-Length: 0\r\n\r\n" + GET,
    "a request as a body": LINES + b"Content-Length: %d\r\n\r\n" % len(GET) + GET,
    "chunks": LINES + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "expectation": LINES + b"Expect: 100-continue\r\n\r\n",
    "close": LINES + b"Connection: close\r\n\r\n",
    "keep alive": LINES + b"Connection: Keep-Alive\r\n\r\n",
    "HTTP/1.0": b"GET /stock HTTP/1.0\r\n\r\n",
    "HTTP/2": b"GET /stock HTTP/2.0\r\nHost: h\r\n\r\n",
    "no host": b"GET /stock HTTP/1.1\r\n\r\n",
    "two hosts": LINES + b"Host: h\r\n\r\n",
    "folded": LINES + b"X: 1\r\n 2\r\n\r\n",
    "blank before a colon": LINES + b"X : 1\r\n\r\n",
    "LF": b"GET /stock HTTP/1.1\nHost: h\n\n",
    "LF in a line": LINES + b"X: 1\nY: 2\r\n\r\n",
    "NUL": LINES + b"X: \0\r\n\r\n",
    "bell": LINES + b"X: \x07\r\n\r\n",
    "8 bits": LINES + b"X: \xe9\r\n\r\n",
    "tab": LINES + b"X:\t1\t\r\n\r\n",
    "empty line": b"\r\n" + GET,
    "empty lines": b"\r\n\r\n" + GET,
    "many headers": LINES + b"X: 1\r\n" * 62 + b"\r\n",
    "too many headers": LINES + b"X: 1\r\n" * 63 + b"\r\n",
    "large": LINES + b"X: %s\r\n\r\n" % (b"1" * 15_000),
    "too large": LINES + b"X: %s\r\n\r\n" % (b"1" * 17_000),
    "garbage": b"\x16\x03\x01\x02\x00\r\n\r\n",
}


@pytest.mark.parametrize("name", CASES)
def test_both_ways_are_the_same(watched, threads, name):
    with RawConnection(threads.base_url) as connection:
        for _ in range(FIRST):
            connection.send(GET)
            connection.read_reply()
        expected = replies_of(connection, CASES[name])
    with parked(watched) as connection:
        assert replies_of(connection, CASES[name]) == expected
    with parked(watched) as connection:  # behind and before requests that a watcher answers
        connection.send(GET)
        connection.read_reply()
        connection.send(GET * 2 + CASES[name])
        assert seen(connection.read_reply())[0] == seen(connection.read_reply())[0] == 200
        assert replies_of(connection, b"") == expected


def test_head(watched):
    with parked(watched) as connection:
        for _ in range(FIRST):
            connection.send(request_bytes("HEAD", "/stock"))
            reply = connection.read_reply(head=True)
            assert reply.status == 200 and reply.header("Content-Length") == "55"
        connection.send(GET)
        assert len(connection.read_reply().body) == 55


@pytest.mark.parametrize("pieces_of", [1, 7])
def test_requests_in_pieces(watched, pieces_of):
    with parked(watched) as connection:
        for _ in range(3):
            connection.send(GET, pieces_of=pieces_of, pause=0.001)
            assert connection.read_reply().status == 200


def test_watchers_answer(watched):
    with parked(watched) as connection:
        before = count(watched)
        for _ in range(50):
            connection.send(GET)
            assert connection.read_reply().status == 200
        assert count(watched) - before == 50
        connection.send(GET * 500)  # more than a watcher looks at together: the thread goes on
        for _ in range(500):
            assert connection.read_reply().status == 200
        assert count(watched) - before > 150


def test_other_requests_in_between(watched):
    """A connection goes back and forth between its thread and its watcher."""
    kinds = [GET, request_bytes("GET", "/other"), request_bytes("POST", "/other", body=b"abc")]
    kinds[2] = kinds[2].replace(b"Host", b"Content-Type: application/json\r\nHost")
    with parked(watched) as connection:
        for kind in itertools.chain(*itertools.permutations(kinds), [GET] * 5, kinds * 10):
            connection.send(kind)
            assert connection.read_reply().status == 200


def test_a_client_that_does_not_read(watched):
    """The rest of an answer that finds no room waits with the connection's thread."""
    requests = 40_000
    with parked(watched, timeout=30) as connection:
        connection.socket.setblocking(False)
        left = GET * requests
        with contextlib.suppress(BlockingIOError):
            while left:
                left = left[connection.socket.send(left[:100_000]) :]
        connection.socket.setblocking(True)
        sent = requests - len(left) // len(GET)
        assert sent > 1000
        left = left[: len(left) % len(GET)]
        connection.send(left)
        for _ in range(sent):
            assert connection.read_reply().status == 200
        assert not connection.buffer


def test_an_end_behind_a_request(watched):
    with parked(watched) as connection:
        connection.send(GET * 2)
        connection.finish_sending()
        assert connection.read_reply().status == connection.read_reply().status == 200
        assert connection.is_closed_by_server()


def test_the_end_of_clients(watched):
    connections = [parked(watched) for _ in range(5)]
    assert scrape(watched).value("http_connections") >= 5
    for connection in connections:
        connection.socket.close()
    eventually(lambda: scrape(watched).value("http_connections") <= 1, "they are gone")


def test_idle_connections_end(watched):
    with a_server("watched", keep_alive_ms=scaled(1) * 1000) as client:
        with parked(client) as connection:
            began = time.monotonic()
            for _ in range(3):  # each answer begins the time anew
                time.sleep(scaled(0.6))
                connection.send(GET)
                assert connection.read_reply().status == 200
            assert connection.is_closed_by_server()
            assert time.monotonic() - began >= scaled(0.6) * 3 + scaled(1) * 0.9


def test_parked_connections_end_with_the_server(watched):
    with contextlib.ExitStack() as closing:
        with a_server("watched") as client:
            connections = [closing.enter_context(parked(client)) for _ in range(5)]
        assert all(connection.is_closed_by_server() for connection in connections)
