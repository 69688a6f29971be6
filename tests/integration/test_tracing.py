"""Traces: which requests are exported, with which spans, and what a collector that is away costs.
"""

import secrets
import socket
import threading
import time

import pytest

from support.collector import RealCollector, Receiver, attributes
from support.http_client import Connection, in_parallel
from support.metrics_text import scrape
from support.service_process import ServiceProcess, free_port
from support.timing import eventually

pytestmark = pytest.mark.quick

PAST_L1 = {"Cache-Control": "no-cache"}
PLAIN = {"Cache-Control": None}


def new_trace(flags="01"):
    """A trace id and a header that says so."""
    trace_id = secrets.token_hex(16)
    return trace_id, {"traceparent": f"00-{trace_id}-b7ad6b7169203331-{flags}"}


@pytest.fixture
def receiver():
    with Receiver() as receiver:
        yield receiver


def service_with(stack, folder, service, endpoint, **settings):
    own = {
        "database": {"url": stack.env["DIRECT_URL"]},
        "redis": {"url": stack.env["REDIS_URL"]},
        "otel": {"endpoint": endpoint},
    }
    return ServiceProcess(service, folder, {**own, **settings})


@pytest.fixture
def reader(stack, tmp_path, receiver):
    with service_with(stack, tmp_path, "read-svc", receiver.url) as service:
        yield service


@pytest.fixture
def writer(stack, tmp_path, receiver):
    endpoint = f"{receiver.url}/otlp/"
    with service_with(stack, tmp_path, "write-svc", endpoint, writes={"lanes": 1}) as service:
        yield service


def spans_counted(service, result):
    return scrape(service.ops).value("faststock_trace_spans_total", result=result)


# -- what is in a trace


def test_a_read_that_asks_both_stores(reader, receiver, database, cache):
    id = database.create_product(stock=3)
    cache.make_cold(id)
    trace_id, headers = new_trace()
    reply = reader.client.get(f"/api/products/{id}", headers={**PAST_L1, **headers})
    assert reply.status == 200
    trace = receiver.trace(trace_id)
    trace.check_times()
    wait = ["GET /api/products/{id}", "wait for a flight", "batch"]
    assert trace.path_of("redis MGET") == [*wait, "redis MGET"]
    assert trace.path_of("postgres products") == [*wait, "postgres products"]
    assert trace.request["parentSpanId"] == "b7ad6b7169203331"
    shown = attributes(trace.request)
    assert shown["http.request.method"] == "GET"
    assert shown["http.route"] == "/api/products/{id}"
    assert shown["url.path"] == f"/api/products/{id}"
    assert shown["http.response.status_code"] == 200
    assert shown["faststock.request_id"] == reply.header("X-Request-Id")
    assert attributes(trace.named("postgres products"))["faststock.store"] == "postgres"
    (resource,) = [body["resourceSpans"][0]["resource"] for body in receiver.bodies]
    assert attributes(resource)["service.name"] == "read-svc"
    assert attributes(resource)["service.instance.id"] == reply.header("X-Instance")
    assert receiver.requests[0][0] == "/v1/traces"
    assert receiver.requests[0][1]["Content-Type"] == "application/json"


def test_a_hit_is_one_span_on_either_way(reader, receiver, database):
    """The first request of a connection is its thread's, later ones are a watcher's."""
    id = database.create_product(stock=3)
    reader.client.get(f"/api/products/{id}")
    connection = Connection(reader.client.base_url)
    ids = []
    for _ in range(20):
        trace_id, headers = new_trace()
        reply = connection.request("GET", f"/api/products/{id}", headers={**PLAIN, **headers})
        assert reply.status == 200
        ids.append(trace_id)
        time.sleep(0.01)  # so that the connection is parked
    for trace_id in ids:
        assert len(receiver.trace(trace_id).spans) == 1
    assert scrape(reader.ops).value("http_requests_watched_total") > 0


def test_requests_of_one_batch_each_have_its_spans(reader, receiver, database, cache):
    ids = [database.create_product(stock=3) for _ in range(4)]
    for id in ids:
        cache.make_cold(id)
    traces = [new_trace() for _ in range(16)]
    in_parallel(
        16,
        lambda i: reader.client.get(
            f"/api/products/{ids[i % 4]}", headers={**PAST_L1, **traces[i][1]}
        ),
    )
    for trace_id, _ in traces:
        trace = receiver.trace(trace_id)
        trace.check_times()
        assert trace.path_of("redis MGET")[1] == "wait for a flight"


def test_a_list_has_each_batch_once(reader, receiver, database, cache):
    ids = [database.create_product(stock=3) for _ in range(20)]
    for id in ids:
        cache.make_cold(id)
    trace_id, headers = new_trace()
    path = f"/api/products?after={ids[0] - 1}&limit=20"
    assert reader.client.get(path, headers={**PAST_L1, **headers}).status == 200
    trace = receiver.trace(trace_id)
    trace.check_times()
    assert len([span for span in trace.spans if span["name"] == "postgres products"]) <= 2
    assert attributes(trace.named("wait for a flight"))["faststock.products"] == 20


def test_a_write_that_finds_its_lane_free(writer, receiver, database):
    id = database.create_product(stock=30)
    trace_id, headers = new_trace()
    assert writer.client.update_stock(id, {"delta": -1}, headers=headers).status == 200
    trace = receiver.trace(trace_id)
    trace.check_times()
    commit = ["POST /api/products/{id}/update-stock", "lane", "batch commit"]
    assert trace.path_of("postgres write_change") == [*commit, "postgres write_change"]
    assert trace.path_of("redis EVALSHA") == [*commit, "redis EVALSHA"]
    assert attributes(trace.named("lane"))["faststock.outcome"]
    assert receiver.requests[0][0] == "/otlp/v1/traces"


def test_a_write_that_waits_for_the_batch_before(writer, receiver, database):
    id = database.create_product(stock=3000)
    traces = [new_trace() for _ in range(64)]
    replies = in_parallel(
        64, lambda i: writer.client.update_stock(id, {"delta": -1}, headers=traces[i][1])
    )
    assert {reply.status for reply in replies} == {200}
    waited = 0
    for trace_id, _ in traces:
        trace = receiver.trace(trace_id)
        trace.check_times()
        assert "batch commit" in trace.names
        waited += "wait for the batch before" in trace.names
    assert waited > 0
    assert spans_counted(writer, "dropped") == 0


def test_a_failure_is_an_error(stack, writer, receiver, database):
    id = database.create_product(stock=3)
    trace_id, headers = new_trace()
    with stack.stopped("redis"):
        assert writer.client.update_stock(id, {"delta": -1}, headers=headers).status == 200
    assert "status" not in receiver.trace(trace_id).request
    trace_id, headers = new_trace()
    with stack.stopped("postgres"):
        reply = writer.client.update_stock(id, {"delta": -1}, headers=headers)
        assert reply.status == 503
    assert receiver.trace(trace_id).request["status"] == {"code": 2}


# -- which requests are exported


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"},
        {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-02"},
        {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01"},
    ],
)
def test_other_requests_are_not_exported(reader, receiver, database, header):
    id = database.create_product(stock=3)
    for freshness in (PAST_L1, PLAIN):
        reader.client.get(f"/api/products/{id}", headers={**freshness, **header})
    trace_id, headers = new_trace()
    reader.client.get(f"/api/products/{id}", headers=headers)
    receiver.trace(trace_id)
    assert {span["traceId"] for span in receiver.spans} == {trace_id}


def test_without_an_endpoint_nothing_is_kept(stack, tmp_path, database):
    id = database.create_product(stock=3)
    with service_with(stack, tmp_path, "read-svc", "") as service:
        assert service.client.get(f"/api/products/{id}", headers=new_trace()[1]).status == 200
        assert "faststock_trace_spans_total" not in service.ops.get("/metrics").body.decode()


# -- collectors that do not take them


def test_a_busy_collector_is_asked_again(reader, receiver, database):
    id = database.create_product(stock=3)
    receiver.answers = [(503, {}, ""), (429, {"Retry-After": 1}, "")]
    trace_id, headers = new_trace()
    reader.client.get(f"/api/products/{id}", headers=headers)
    trace = receiver.trace(trace_id)
    assert receiver.bodies[0] == receiver.bodies[1] == receiver.bodies[2]
    assert spans_counted(reader, "sent") == len(trace.spans)
    assert spans_counted(reader, "failed") == 0


def test_what_a_collector_refuses_is_dropped(reader, receiver, database):
    id = database.create_product(stock=3)
    receiver.answers = [(400, {}, "")]
    reader.client.get(f"/api/products/{id}", headers=new_trace()[1])
    eventually(lambda: spans_counted(reader, "rejected") > 0, "it is counted")
    refused = spans_counted(reader, "rejected")
    receiver.answers = [(200, {}, '{"partialSuccess":{"rejectedSpans":"1"}}')]
    reader.client.get(f"/api/products/{id}", headers=new_trace()[1])
    eventually(lambda: spans_counted(reader, "rejected") == refused + 1, "one more is counted")
    assert spans_counted(reader, "sent") > 0
    assert len(receiver.requests) == 2


def test_a_collector_that_is_away_costs_no_request(stack, tmp_path, database):
    """More sampled requests than the queue holds, while nothing listens; then it comes."""
    id = database.create_product(stock=3)
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    with service_with(stack, tmp_path, "read-svc", endpoint) as service:

        def ask(_):
            connection = Connection(service.client.base_url)
            for _ in range(400):
                headers = {**PLAIN, **new_trace()[1]}
                reply = connection.request("GET", f"/api/products/{id}", headers=headers)
                assert reply.status == 200

        in_parallel(8, ask)
        assert spans_counted(service, "dropped") > 0
        assert scrape(service.ops).value("faststock_traces_waiting") <= 2048
        with Receiver(port) as receiver:
            eventually(lambda: receiver.spans, "the collector gets them", timeout=60)
    (line,) = [line for line in service.log_lines() if "collector took no traces" in line["msg"]]
    assert line["host"] == "127.0.0.1" and line["port"] == port


def test_a_collector_that_says_nothing_costs_no_request(stack, tmp_path, database):
    id = database.create_product(stock=3)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", free_port()))
        silent.listen(1)
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with service_with(stack, tmp_path, "read-svc", endpoint) as service:
            for _ in range(50):
                headers = {**PAST_L1, **new_trace()[1]}
                assert service.client.get(f"/api/products/{id}", headers=headers).status == 200
            began = time.monotonic()
            service.terminate()
            assert service.exit_code() == 0
            assert time.monotonic() - began < 15


def test_the_end_of_a_service_sends_what_waits(stack, tmp_path, receiver, database):
    id = database.create_product(stock=3)
    trace_id, headers = new_trace()
    with service_with(stack, tmp_path, "read-svc", receiver.url) as service:
        service.client.get(f"/api/products/{id}", headers=headers)
        service.terminate()
        assert service.exit_code() == 0
    assert receiver.trace(trace_id)


# -- the real one


def test_the_real_collector_takes_them(stack, tmp_path, database, cache):
    read_id, read_headers = new_trace()
    write_id, write_headers = new_trace()
    with (
        RealCollector(tmp_path) as collector,
        service_with(stack, tmp_path, "read-svc", collector.url) as reader,
        service_with(stack, tmp_path, "write-svc", collector.url) as writer,
    ):
        id = database.create_product(stock=3)
        cache.make_cold(id)
        reader.client.get(f"/api/products/{id}", headers={**PAST_L1, **read_headers})
        writer.client.update_stock(id, {"delta": -1}, headers=write_headers)
        eventually(
            lambda: collector.spans(read_id) and collector.spans(write_id),
            "the collector has both traces",
        )
        eventually(lambda: spans_counted(reader, "sent") > 0, "they count as sent")
        assert spans_counted(reader, "rejected") == spans_counted(writer, "rejected") == 0
        read = collector.spans(read_id)
        write = collector.spans(write_id)
    assert read["GET /api/products/{id}"]["parent"] == "b7ad6b7169203331"
    assert read["GET /api/products/{id}"]["kind"] == "Server"
    assert read["wait for a flight"]["parent"] == read["GET /api/products/{id}"]["id"]
    assert read["postgres products"]["kind"] == "Client"
    assert write["batch commit"]["parent"] == write["lane"]["id"]


def test_the_real_collector_is_killed_under_load(stack, tmp_path, database):
    """No request fails, and none takes long, before, while and after it is gone."""
    id = database.create_product(stock=3)
    failures, slowest = [], []
    is_over = threading.Event()
    with (
        RealCollector(tmp_path) as collector,
        service_with(stack, tmp_path, "read-svc", collector.url) as service,
    ):

        def ask(_):
            connection = Connection(service.client.base_url)
            while not is_over.is_set():
                began = time.monotonic()
                headers = {**PAST_L1, **new_trace()[1]}
                if connection.request("GET", f"/api/products/{id}", headers=headers).status != 200:
                    failures.append(1)
                slowest.append(time.monotonic() - began)

        def kill(_):
            eventually(lambda: spans_counted(service, "sent") > 0, "spans are sent")
            collector.kill()
            eventually(lambda: spans_counted(service, "dropped") > 0, "the queue is full", 60)
            is_over.set()

        in_parallel(5, lambda i: kill(i) if i == 4 else ask(i))
    assert not failures and len(slowest) > 100
