"""The start and the end of a process: a probe is answered only when requests are, and SIGTERM under
load fails none of them and ends with 0."""

import contextlib
import http.client
import signal
import threading
import time

import pytest

from support.http_client import Connection
from support.metrics_text import scrape
from support.raw_http import RawConnection, request_bytes
from support.service_process import ServiceProcess
from support.timing import eventually, scaled

pytestmark = pytest.mark.quick

KEEP_ALIVE_S = 75  # default of http.keep_alive_timeout_ms
DRAIN_MS = 2000


@pytest.fixture
def settings(stack):
    env = stack.env
    return {
        "read-svc": {
            "database": {"url": env["DATABASE_URL"]},
            "redis": {"url": env["REDIS_URL"]},
            "http": {"drain_ms": DRAIN_MS},
        },
        "write-svc": {
            "database": {"url": env["DATABASE_URL"]},
            "redis": {"url": env["REDIS_URL"]},
            "http": {"drain_ms": DRAIN_MS},
        },
    }


@pytest.mark.parametrize("service", ["read-svc", "write-svc"])
def test_no_probe_is_answered_before_the_public_port(settings, tmp_path, service):
    for _ in range(5):
        with ServiceProcess(
            service, tmp_path, {**settings[service], "http": {"drain_ms": 0}}, wait="nothing"
        ) as process:
            while process.process.poll() is None:
                with contextlib.suppress(ConnectionRefusedError):
                    process.ops.get("/livez")
                    break
            process.client.get("/health")


class KeepAliveClient(threading.Thread):
    """Asks without pause, on a new connection whenever the reply says `Connection: close`, until it
    is told to leave."""

    def __init__(self, base_url, method, path, body):
        super().__init__(daemon=True)
        self.connection, self.call = Connection(base_url), (method, path, body)
        self.leave = threading.Event()
        self.done, self.told_to_close, self.failed = 0, 0, []

    def run(self):
        while not self.leave.is_set():
            try:
                reply = self.connection.request(*self.call)
            except (OSError, http.client.HTTPException) as error:
                self.failed.append(repr(error))
                return
            if reply.status != 200:
                self.failed.append(repr(reply))
                return
            self.done += 1
            self.told_to_close += reply.header("Connection") == "close"
        self.connection.close()


@pytest.mark.parametrize("service", ["read-svc", "write-svc"])
@pytest.mark.parametrize("signal_name", ["SIGTERM", "SIGINT"])
def test_drain(settings, database, tmp_path, service, signal_name):
    id = database.create_product(stock=5)
    call = (
        ("GET", f"/api/products/{id}", None)
        if service == "read-svc"
        else ("POST", f"/api/products/{id}/update-stock", {"delta": 1})
    )
    # Long enough for all that is to be seen of it, on a slow machine.
    drain_ms = int(scaled(1000)) + 5000
    with ServiceProcess(
        service, tmp_path, {**settings[service], "http": {"drain_ms": drain_ms}}
    ) as process:
        clients = [KeepAliveClient(process.client.base_url, *call) for _ in range(6)]
        for client in clients:
            client.start()
        eventually(lambda: all(client.done > 10 for client in clients), "all are served")
        process.process.send_signal(getattr(signal, signal_name))
        eventually(lambda: process.ops.get("/readyz").status == 503, "not ready any more")
        assert process.ops.get("/readyz").json()["status"] == "draining"
        eventually(
            lambda: all(client.told_to_close >= 1 for client in clients),
            "served on, and told to leave",
        )
        for client in clients:
            client.leave.set()
            client.join(scaled(10))
            assert not client.is_alive()
        assert process.client.request(*call).status == 200, "still serving"
        assert process.exit_code() == 0
    assert [failure for client in clients for failure in client.failed] == []
    if service == "write-svc":
        assert database.product(id)["stock"] == 5 + 1 + sum(client.done for client in clients)
    assert process.log_lines()[-1]["msg"], "its end is in the log"


def test_a_pause_does_not_cut_the_drain_short(settings, tmp_path):
    with ServiceProcess("read-svc", tmp_path, settings["read-svc"]) as process:
        begin = time.monotonic()
        process.terminate()
        eventually(lambda: process.ops.get("/readyz").status == 503, "not ready any more")
        process.process.send_signal(signal.SIGSTOP)
        time.sleep(0.1)
        process.process.send_signal(signal.SIGCONT)
        assert process.exit_code() == 0
        assert time.monotonic() - begin >= DRAIN_MS / 1000


def test_a_request_under_way_is_finished(stack, settings, database, tmp_path):
    """A body that is still coming when the signal comes is waited for and answered."""
    id = database.create_product(stock=5)
    with ServiceProcess("write-svc", tmp_path, settings["write-svc"]) as process:
        with RawConnection(process.client.base_url) as connection:
            whole = request_bytes(
                "POST",
                f"/api/products/{id}/update-stock",
                [("Content-Type", "application/json")],
                b'{"delta":1}',
            )
            connection.send(whole[:-5])
            eventually(
                lambda: scrape(process.ops).total("http_requests_in_flight") >= 1,
                "the request is under way",
            )
            process.terminate()
            time.sleep(0.3)
            connection.send(whole[-5:])
            reply = connection.read_reply()
            assert reply.json()["stock"] == 6 and reply.header("Connection") == "close"
        assert process.exit_code() == 0


def test_idle_connections_do_not_hold_up_the_end(settings, tmp_path):
    with ServiceProcess("read-svc", tmp_path, settings["read-svc"]) as process:
        idle = [RawConnection(process.client.base_url) for _ in range(20)]
        for connection in idle:
            connection.send(request_bytes("GET", "/health"))
            assert connection.read_reply().status == 200
        begin = time.monotonic()
        process.terminate()
        assert process.exit_code() == 0
        assert time.monotonic() - begin < KEEP_ALIVE_S / 2
        for connection in idle:
            assert connection.is_closed_by_server()
            connection.socket.close()
