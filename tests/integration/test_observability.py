"""Metrics and logs: readable for any tool, and bounded for any input."""

import json
import re
from datetime import datetime

import pytest

from support.metrics_text import BadMetrics, Change, Metrics, scrape
from support.openapi import Document
from support.raw_http import exchange, request_bytes
from support.service_process import ServiceProcess
from support.timing import eventually

pytestmark = pytest.mark.quick

COMMON = {
    "http_requests_total": "counter",
    "http_request_duration_seconds": "histogram",
    "http_requests_in_flight": "gauge",
    "http_connections": "gauge",
    "http_requests_shed_total": "counter",
    "http_connections_silent_total": "counter",
    "faststock_pool_connections": "gauge",
    "faststock_pool_wait_seconds": "histogram",
    "faststock_pool_timeouts_total": "counter",
    "faststock_store_errors_total": "counter",
    "faststock_breaker_state": "gauge",
    "faststock_breaker_opened_total": "counter",
    "faststock_build_info": "gauge",
    "process_cpu_seconds_total": "counter",
    "process_resident_memory_bytes": "gauge",
    "process_open_fds": "gauge",
    "process_start_time_seconds": "gauge",
}
OF_READ = {
    "http_requests_watched_total": "counter",
    "faststock_cache_requests_total": "counter",
    "faststock_cache_fills_total": "counter",
    "faststock_load_batch_size": "histogram",
    "faststock_load_flights_shared_total": "counter",
    "faststock_catalog_products": "gauge",
    "faststock_catalog_age_seconds": "gauge",
    "faststock_watermark_age_seconds": "gauge",
    "faststock_versions": "gauge",
    "faststock_tail_changes_total": "counter",
    "faststock_tail_begins_total": "counter",
    "faststock_l1_bytes": "gauge",
    "faststock_l1_entries": "gauge",
    "faststock_l1_evictions_total": "counter",
    "faststock_l1_changes_total": "counter",
    "faststock_l1_drops_total": "counter",
    "faststock_stream_attached": "gauge",
    "faststock_stream_entries_total": "counter",
    "faststock_stream_states_total": "counter",
    "faststock_stream_breaks_total": "counter",
    "faststock_propagation_seconds": "histogram",
}
OF_WRITE = {
    "faststock_writes_total": "counter",
    "faststock_write_batch_commands": "histogram",
    "faststock_write_wait_seconds": "histogram",
    "faststock_write_replays_total": "counter",
    "faststock_write_lookups_total": "counter",
    "faststock_import_lines_total": "counter",
    "faststock_reservations_expired_total": "counter",
    "faststock_idempotency_keys_removed_total": "counter",
    "faststock_publish_total": "counter",
    "faststock_relay_active": "gauge",
    "faststock_relay_age_seconds": "gauge",
    "faststock_relay_movements_total": "counter",
}

# Of the API and of the operations port.
ROUTES = {*Document().tree["paths"], "/api/orders/"}


# -- the parser itself must be able to fail


@pytest.mark.parametrize(
    "text",
    [
        "a 1\n",
        "# HELP a x\n# TYPE a counter\na 1",
        "# HELP a x\n# TYPE a counter\na 1\na 1\n",
        "# HELP a x\n# TYPE a counter\na -1\n",
        '# HELP a x\n# TYPE a counter\na{b="c} 1\n',
        '# HELP a x\n# TYPE a counter\na{b="c",b="d"} 1\n',
        '# HELP a x\n# TYPE a gauge\na{b="\\d"} 1\n',
        "# HELP a x\n# TYPE a gauge\na one\n",
        "# HELP a x\n# TYPE a meter\na 1\n",
        '# HELP h x\n# TYPE h histogram\nh_bucket{le="1"} 2\nh_bucket{le="+Inf"} 1\nh_sum '
        '1\nh_count 1\n',
        '# HELP h x\n# TYPE h histogram\nh_bucket{le="1"} 1\nh_sum 1\nh_count 1\n',
        '# HELP h x\n# TYPE h histogram\nh_bucket{le="+Inf"} 1\nh_sum 1\nh_count 2\n',
        "# HELP a x\n# TYPE a gauge\na 1\n# HELP b x\n# TYPE b gauge\nb 1\na{c=\"d\"} 1\n",
    ],
)
def test_the_parser_refuses(text):
    with pytest.raises(BadMetrics):
        Metrics(text)


# -- metrics


def test_every_metric_is_there(stack):
    for client in stack.services():
        client.get("/api/nothing")  # a counter with labels is there once it has counted
    for clients, own in ((stack.read_ops, OF_READ), (stack.write_ops, OF_WRITE)):
        for client in clients:
            metrics = scrape(client)
            for name, kind in {**COMMON, **own}.items():
                assert metrics.types.get(name) == kind, (client, name)


def test_build_info_and_process(stack):
    for client in stack.ops():
        metrics = scrape(client)
        ((_, labels),) = [key for key in metrics.series if key[0] == "faststock_build_info"]
        assert set(dict(labels)) == {"service", "version", "commit"} and all(dict(labels).values())
        assert metrics.total("process_resident_memory_bytes") > 1_000_000
        assert metrics.total("process_open_fds") > 5
        assert metrics.total("process_start_time_seconds") > 1_500_000_000


def test_a_request_is_counted_once(stack, database):
    id = database.create_product()
    reader, writer = stack.reads[0], stack.writes[0]
    with Change(reader) as change:
        for _ in range(3):
            reader.product(id)
        reader.head(f"/api/products/{id}")
        reader.get(f"/api/products/{id}", {"If-None-Match": "*"})
        reader.get("/api/products/0")
    labels = {"route": "/api/products/{id}"}
    assert change("http_requests_total", method="GET", status="200", **labels) == 3
    assert change("http_requests_total", method="GET", status="304", **labels) == 1
    assert change("http_requests_total", method="GET", status="400", **labels) == 1
    assert change("http_requests_total", method="HEAD", status="200", **labels) == 1
    assert change("http_request_duration_seconds_count", **labels) == 6
    with Change(writer) as change:
        writer.update_stock(id, {"delta": 1})
    assert (
        change(
            "http_requests_total",
            method="POST",
            route="/api/products/{id}/update-stock",
            status="200",
        )
        == 1
    )


def test_labels_are_bounded_whatever_is_sent(stack):
    """Routes are templates, methods the known ones: nothing of a request gets into a label."""
    marker = "zzmarkerzz"
    for client in stack.services():
        for path in (
            f"/{marker}", f"/api/{marker}", f"/api/products/{marker}", f"/api/products/1/{marker}",
            f"/api/products?x={marker}",
            f'/"{marker}\\', f"/api/products/%22{marker}%5c%0a", "//", "/api/products/123456789",
            f"/api/orders/{marker}", f"/{marker}" * 300,
        ):
            exchange(client.base_url, request_bytes("GET", path))
        exchange(client.base_url, request_bytes(marker.upper(), "/api/products"))
        exchange(
            client.base_url,
            request_bytes(
                "GET", "/api/products", [("X-Request-Id", marker), ("User-Agent", marker)]
            ),
        )
    for client in stack.services():
        metrics = scrape(client)
        routes = metrics.label_values("http_requests_total", "route")
        others = routes - ROUTES
        assert len(others) == 1, others  # one name for all that is no path of ours
        assert not any(marker in value for (_, pairs) in metrics.series for _, value in pairs)
        methods = metrics.label_values("http_requests_total", "method")
        assert (
            len(methods - {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}) <= 1
        ), methods
        assert all(
            re.fullmatch(r"[1-5]\d\d", status)
            for status in metrics.label_values("http_requests_total", "status")
        )


def test_stores_have_their_labels(stack):
    for client in stack.ops():
        metrics = scrape(client)
        stores = metrics.label_values("faststock_breaker_state", "store")
        assert (
            {"postgres", "redis"}
            <= stores
            <= {
                "postgres",
                "postgres-direct",
                "postgres-ledger",
                "postgres-replica",
                "redis",
                "redis-replica",
            }
        )
        for store in ("postgres", "redis"):
            assert metrics.value("faststock_breaker_state", store=store) == 0
            assert metrics.total("faststock_pool_connections", store=store) >= 1


def test_the_catalogue_is_measured(stack, database):
    count = database.row("SELECT count(*) AS n FROM products WHERE deleted_at IS NULL")["n"]
    for client in stack.read_ops:
        eventually(
            lambda: scrape(client).value("faststock_catalog_products") == count,
            "the catalogue is up to date",
        )
        assert 0 <= scrape(client).value("faststock_catalog_age_seconds") < 60


# -- logs

REQUEST_FIELDS = {"ts", "level", "service", "msg", "method", "route", "status", "request_id"}
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture(scope="module")
def logging(stack, tmp_path_factory):
    """A read-svc that logs every request."""
    settings = {
        "database": {"url": stack.env["DATABASE_URL"]},
        "redis": {"url": stack.env["REDIS_URL"]},
        "log": {"sample": 1},
    }
    with ServiceProcess("read-svc", tmp_path_factory.mktemp("logs"), settings) as service:
        yield service


def line_of(service, request_id):
    found = lambda: [
        record for record in service.log_lines() if record.get("request_id") == request_id
    ]
    eventually(found, f"the request {request_id} is in the log")
    (record,) = found()
    return record


def test_a_request_in_the_log(logging, database):
    id = database.create_product()
    headers = {"X-Request-Id": "log-1", "traceparent": f"00-{TRACE_ID}-00f067aa0ba902b7-01"}
    assert logging.client.get(f"/api/products/{id}?secret=x", headers).status == 200
    record = line_of(logging, "log-1")
    assert REQUEST_FIELDS <= set(record), record
    assert record["service"] == "read-svc" and record["level"] == "info"
    assert (record["method"], record["route"], record["status"]) == (
        "GET",
        "/api/products/{id}",
        200,
    )
    assert record["trace_id"] == TRACE_ID
    assert datetime.fromisoformat(record["ts"].replace("Z", "+00:00"))
    assert any(
        isinstance(value, (int, float))
        for key, value in record.items()
        if key.endswith(("_ms", "_us", "seconds"))
    ), record


@pytest.mark.parametrize("method, condition", [("GET", '"7"'), ("GET", '"1"'), ("HEAD", '"7"')])
def test_the_log_has_the_bytes_that_were_sent(logging, database, method, condition):
    """The body's: none of a 304, none of an answer to HEAD."""
    id = database.create_product()
    mark = f"bytes-{method}-{condition.strip(chr(34))}"
    headers = {"X-Request-Id": mark, "If-None-Match": condition}
    reply = logging.client.request(method, f"/api/products/{id}", None, headers)
    record = line_of(logging, mark)
    assert record["bytes"] == len(reply.body) and record["peer"] == "127.0.0.1"
    assert (record["bytes"] > 0) == (reply.status == 200 and method == "GET")


@pytest.mark.parametrize(
    "traceparent",
    [
        "",
        "00-" + "0" * 32 + "-00f067aa0ba902b7-01",
        f"00-{TRACE_ID.upper()}-00f067aa0ba902b7-01",
        "00-x-y-01",
        f"00-{TRACE_ID}",
    ],
)
def test_a_bad_traceparent_is_not_taken(logging, traceparent):
    request_id = f"trace-{abs(hash(traceparent))}"
    logging.client.get(
        "/api/products?limit=1", {"X-Request-Id": request_id, "traceparent": traceparent}
    )
    assert line_of(logging, request_id).get("trace_id") in (None, "")


def test_nothing_breaks_a_line(logging):
    for number, path in enumerate(
        ('/api/x"y\\z', "/api/%0a%0d%00", "/\x7f\xff", "/api/products/\xc3\x28", "/" + "x" * 5000)
    ):
        exchange(
            logging.client.base_url,
            request_bytes(
                "GET", path, [("X-Request-Id", f"odd-{number}"), ("User-Agent", 'a"\\\xff')]
            ),
        )
    exchange(logging.client.base_url, request_bytes("GET", "/", [("X-Request-Id", 'x"}\\')]))
    logging.client.get("/api/products?limit=1", {"X-Request-Id": "odd-last"})
    line_of(logging, "odd-last")
    for record in logging.log_lines():
        assert {"ts", "level", "service", "msg"} <= set(record), record


def test_errors_are_logged_whatever_the_sampling(stack, tmp_path):
    settings = {
        "database": {"url": "postgres://nobody:hidden-pw@127.0.0.1:1/none"},
        "redis": {"url": ""},
        "log": {"sample": 1_000_000},
    }
    with ServiceProcess("read-svc", tmp_path, settings, wait="alive") as service:
        for number in range(3):
            service.client.get(f"/api/products/{number + 1}", {"X-Request-Id": f"err-{number}"})
        for number in range(3):
            record = line_of(service, f"err-{number}")
            assert record["status"] == 503 and record["level"] in ("warn", "error")
        assert "hidden-pw" not in service.log.read_text() + service.errors.read_text()
        assert json.dumps(service.log_lines()).count("err-") == 3


def test_stack_logs_are_json(stack):
    """Each line that a service wrote in this run is one object."""
    for client in stack.services():
        lines = stack.log_file(client.name).read_text(encoding="utf-8").split("\n")[:-1]
        assert lines
        for line in lines:
            record = json.loads(line)
            assert {"ts", "level", "service", "msg"} <= set(record), line
