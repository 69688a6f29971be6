"""More connections than threads: a full service refuses clearly, and its operations port still
answers."""

import contextlib
import http.client
import itertools

import pytest

from support.http_client import in_parallel
from support.metrics_text import Change, scrape
from support.problems import assert_problem
from support.raw_http import RawConnection, exchange, request_bytes
from support.service_process import ServiceProcess
from support.timing import eventually

pytestmark = pytest.mark.quick

THREADS = 16


@pytest.fixture(scope="module")
def small(stack, tmp_path_factory):
    settings = {
        "database": {"url": stack.env["DATABASE_URL"], "timeout_ms": 30_000},
        "redis": {"url": stack.env["REDIS_URL"]},
        "http": {"threads": THREADS, "read_timeout_ms": 60_000, "request_timeout_ms": 30_000},
    }
    with ServiceProcess("read-svc", tmp_path_factory.mktemp("small"), settings) as service:
        yield service


@pytest.fixture(autouse=True)
def nobody_is_connected(small):
    eventually(
        lambda: scrape(small.ops).value("http_connections") == 0,
        "the connections of the test before are gone",
    )


@contextlib.contextmanager
def held_connections(service, count, path):
    """Connections that have been used once and are kept alive; gives the replies."""
    with contextlib.ExitStack() as closing:
        replies = []
        for _ in range(count):
            connection = closing.enter_context(RawConnection(service.client.base_url))
            connection.send(request_bytes("GET", path))
            replies.append(connection.read_reply())
        yield replies


def test_a_busy_service_gives_its_connections_back(small, database):
    path = f"/api/products/{database.create_product()}"
    with held_connections(small, THREADS, path) as replies:
        assert replies[0].header("Connection") != "close"
        assert "close" in [
            reply.header("Connection") for reply in replies
        ], "every thread is held by an idle connection"
        assert {reply.status for reply in replies} == {200}


def test_a_full_service_says_so(small, stack, database):
    """Requests that wait for PostgreSQL have all threads but one; the next ones are told, not kept
    waiting."""
    cold = [f"/api/products/{database.create_product()}" for _ in range(THREADS - 1)]
    with Change(small.ops) as change, contextlib.ExitStack() as closing:
        closing.enter_context(stack.frozen("pgbouncer"))
        for path in cold:
            connection = closing.enter_context(RawConnection(small.client.base_url))
            connection.send(request_bytes("GET", path))
        eventually(
            lambda: scrape(small.ops).value("http_requests_in_flight") == THREADS - 1, "it is full"
        )
        reply = exchange(small.client.base_url, request_bytes("GET", cold[0]))
        assert_problem(reply, 503, "overloaded")
        assert reply.header("Connection") == "close"
        assert small.ops.get("/livez").status == 200
    assert change("http_requests_shed_total") >= 1
    eventually(lambda: small.client.get(cold[0]).status == 200, "there is room again")


def test_silent_clients_do_not_make_it_full(small, database):
    """They hold connections without a word, and so threads, but there is none at work."""
    path = f"/api/products/{database.create_product()}"
    with silent_connections(small.client, THREADS - 1):
        assert small.client.get(path).status == 200


def test_many_more_clients_than_threads(small, database):
    """The service goes on answering, as fast as it can: it does not refuse what it could do. A
    client whose thread gets no turn for long counts as silent."""
    path = f"/api/products/{database.create_product()}"

    def ask(_):
        try:
            return small.client.get(path)
        except http.client.RemoteDisconnected:
            return None

    with Change(small.ops) as change:
        asked = in_parallel(THREADS * 8, lambda i: [ask(i) for _ in range(5)])
    replies = list(itertools.chain(*asked))
    assert replies.count(None) <= change("http_connections_silent_total")
    refused = [reply for reply in replies if reply is not None and reply.status != 200]
    for reply in refused:
        assert_problem(reply, 503, "overloaded")
    assert len(refused) < len(replies) / 2
    assert small.client.get(path).status == 200


@contextlib.contextmanager
def silent_connections(client, count):
    """Connections on which nothing is sent."""
    with contextlib.ExitStack() as closing:
        for _ in range(count):
            closing.enter_context(RawConnection(client.base_url))
        yield


@pytest.mark.parametrize("closed", [False, True], ids=["held", "closed"])
def test_silent_connections_do_not_keep_probes_from_an_answer(small, closed):
    """As many again as the operations port has threads, held or closed by their client."""
    with silent_connections(small.ops, 32):
        if not closed:
            for _ in range(8):
                assert small.ops.get("/livez").status == 200
    for _ in range(8):
        assert small.ops.get("/livez").status == 200


def test_silent_connections_make_room_for_others(small, database):
    """On the public port: the client's patience is far less than the minute that a head may
    take."""
    path = f"/api/products/{database.create_product()}"
    with Change(small.ops) as change:
        with silent_connections(small.client, 2 * THREADS):
            eventually(
                lambda: exchange(small.client.base_url, request_bytes("GET", path)).status == 200,
                "a request is answered",
            )
    assert change("http_connections_silent_total") >= THREADS
