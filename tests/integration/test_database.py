"""Which PostgreSQL a service uses: one of several servers, one that takes writes, and the reason
that it gives for refusing others."""

import contextlib
import os
import socket
import subprocess
import threading
from urllib.parse import urlsplit, urlunsplit

import pytest

from support.database import Database
from support.metrics_text import scrape
from support.problems import assert_problem
from support.replicas import other_database, postgres_replica
from support.service_process import ServiceProcess, free_port
from support.timing import eventually


def with_servers(url, servers, query=""):
    """The URL with other servers ("host:port,host:port"), and parameters."""
    parts = urlsplit(url)
    return urlunsplit(
        parts._replace(netloc=f"{parts.netloc.rpartition('@')[0]}@{servers}", query=query)
    )


def server_of(url):
    return urlsplit(url).netloc.rpartition("@")[2]


class HangingServer:
    """Accepts connections and never says a word; `accepted` counts them."""

    def __init__(self, address, port):
        self.accepted = 0
        self.connections = []
        self.listener = socket.create_server(
            (address, port), family=socket.AF_INET6 if ":" in address else socket.AF_INET
        )
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                self.connections.append(self.listener.accept()[0])
                self.accepted += 1

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for connection in self.connections:
            connection.close()


def read_from(url, folder, **settings):
    return ServiceProcess(
        "read-svc", folder, {"database": {"url": url, "connect_timeout_ms": 500, **settings}}
    )


def write_to(url, folder, **options):
    return ServiceProcess(
        "write-svc", folder, {"database": {"url": url, "connect_timeout_ms": 1000}}, **options
    )


def store_note(client, store="postgres"):
    return client.get("/readyz").json()["dependencies"][store].get("note", "")


# -- several servers


def test_a_server_that_hangs_is_passed_over(stack, tmp_path):
    url = stack.env["DIRECT_URL"]
    with HangingServer("127.0.0.2", free_port()) as hanging:
        servers = f"127.0.0.2:{hanging.listener.getsockname()[1]},{server_of(url)}"
        with read_from(with_servers(url, servers), tmp_path, pool_size=6) as service:
            eventually(
                lambda: scrape(service.ops).value(
                    "faststock_pool_connections", store="postgres", state="idle"
                )
                >= 5,
                "it is connected",
            )
            assert service.client.product(1).status == 200
            assert 1 <= hanging.accepted < 6, "the server that was reached last is tried first"


def test_an_address_that_hangs_is_passed_over(stack, tmp_path):
    """One name, two addresses; the resolver sorts ::1 before 127.0.0.1 (RFC 6724)."""
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode != 0:
        pytest.skip("not allowed to give a process another /etc/hosts")
    url = stack.env["DIRECT_URL"]
    port = urlsplit(url).port
    hosts = tmp_path / "hosts"
    hosts.write_text("::1 two-addresses\n127.0.0.1 two-addresses\n")
    within = [
        "unshare",
        "--mount",
        "sh",
        "-c",
        f'mount --bind {hosts} /etc/hosts && exec "$@"',
        "sh",
    ]
    settings = {
        "database": {"url": with_servers(url, f"two-addresses:{port}"), "connect_timeout_ms": 500}
    }
    with HangingServer("::1", port) as hanging, ServiceProcess(
        "read-svc", tmp_path, settings, within=within
    ) as service:
        assert service.client.product(1).status == 200
        eventually(
            lambda: scrape(service.ops).value(
                "faststock_pool_connections", store="postgres", state="idle"
            )
            >= 3,
            "it is connected",
        )
        assert 1 <= hanging.accepted < 4, "the address that was reached last is tried first"


def test_what_was_tried_is_told(stack, tmp_path):
    """Also: the connect_timeout of the URL counts, as it is less than that of the settings."""
    url = stack.env["DIRECT_URL"]
    with HangingServer("127.0.0.2", free_port()) as hanging:
        port, dead = hanging.listener.getsockname()[1], free_port()
        servers = f"127.0.0.2:{port},[::1]:{dead},no-such-host.invalid"
        service = ServiceProcess(
            "write-svc",
            tmp_path,
            {
                "database": {
                    "url": with_servers(url, servers, "connect_timeout=1"),
                    "connect_timeout_ms": 600_000,
                }
            },
            wait="alive",
        )
        with service:
            note = eventually(lambda: store_note(service.ops), "it says why PostgreSQL is away")
            assert f"127.0.0.2, port {port}: no answer in time" in note, note
            assert f"::1, port {dead}: " in note and "no-such-host.invalid: " in note, note
            away = [line for line in service.log_lines() if line["msg"] == "store is away"]
            assert (
                away
                and away[0]["error"] == note
                and urlsplit(url).password not in service.log.read_text()
            )


def test_prefer_standby(stack, tmp_path):
    with postgres_replica(stack) as replica:
        servers = f"{server_of(stack.env['DIRECT_URL'])},{server_of(replica.url)}"
        url = with_servers(
            stack.env["DIRECT_URL"],
            servers,
            "target_session_attrs=prefer-standby&application_name=prefers",
        )
        sessions = "SELECT count(*) AS n FROM pg_stat_activity WHERE application_name = 'prefers'"
        with read_from(url, tmp_path) as service:
            assert service.client.product(1).status == 200
            eventually(lambda: replica.database.row(sessions)["n"] == 5, "the standby is used")
            assert stack.database.row(sessions)["n"] == 0
            replica.stop()
            eventually(
                lambda: stack.database.row(sessions)["n"] == 5,
                "without a standby, the primary is used",
            )


# -- a server that takes no writes


def test_a_writer_without_a_primary_says_so(stack, tmp_path):
    with postgres_replica(stack) as replica, write_to(
        replica.url, tmp_path, wait="alive"
    ) as service:
        eventually(
            lambda: "hot standby" in store_note(service.ops), "it says that this is a standby"
        )
        reply = service.ops.get("/readyz")
        assert (
            reply.status == 503 and reply.json()["dependencies"]["postgres"]["state"] == "down"
        ), reply
        assert service.client.update_stock(1, {"delta": 0}).status == 503
        metrics = scrape(service.ops)
        assert all(
            metrics.value("faststock_pool_connections", store="postgres", state=state) == 0
            for state in ("idle", "busy")
        )


def test_a_writer_passes_a_standby_over(stack, tmp_path):
    id = stack.database.create_product(stock=3)
    with postgres_replica(stack) as replica:
        servers = f"{server_of(replica.url)},{server_of(stack.env['DIRECT_URL'])}"
        with write_to(with_servers(replica.url, servers), tmp_path) as service:
            assert service.client.update_stock(id, {"delta": -1}).json()["stock"] == 2


@pytest.mark.parametrize("is_busy", [False, True], ids=["idle", "busy"])
def test_a_writer_follows_a_failover(stack, tmp_path, is_busy):
    """The first server stays and lets clients in, but takes no more writes; its connections do not
    break."""
    id = stack.database.create_product(stock=100)
    with postgres_replica(stack) as first, postgres_replica(stack) as second:
        second.wait_until_caught_up(stack.database)
        first.wait_until_caught_up(stack.database)
        first.database.rows("SELECT pg_promote()")
        servers = f"{server_of(first.url)},{server_of(second.url)}"
        with write_to(with_servers(first.url, servers), tmp_path) as service:
            assert service.client.update_stock(id, {"delta": -1}).json()["stock"] == 99
            first.database.rows("ALTER SYSTEM SET default_transaction_read_only = on")
            first.database.rows("SELECT pg_reload_conf()")
            if is_busy:
                eventually(
                    lambda: service.client.update_stock(id, {"delta": -1}).status == 503,
                    "a change is refused",
                )
            eventually(lambda: "read-only" in store_note(service.ops), "the writer notices")
            second.database.rows("SELECT pg_promote()")
            reply = eventually(
                lambda: (r := service.client.update_stock(id, {"delta": -5})).status == 200 and r,
                "the second server is used",
            )
            assert (
                reply.json()["stock"] == 95
            ), "of the second server, which never saw the change of the first"
            service.wait_until_up()
        movements = Database(second.url).movements(id)
        assert [m["stock_after"] for m in movements][-1] == 95


# -- rights and encodings


@contextlib.contextmanager
def role(database, name):
    """A role that may log in and nothing else; gives its user and password."""
    password = os.urandom(8).hex()
    database.rows(f"CREATE ROLE {name} LOGIN PASSWORD '{password}'")
    try:
        yield f"{name}:{password}"
    finally:
        database.rows(f"DROP OWNED BY {name}")
        database.rows(f"DROP ROLE {name}")


def test_a_writer_without_rights_says_so(stack, database, tmp_path):
    with role(database, "faststock_viewer") as user:
        url = urlunsplit(
            urlsplit(stack.env["DIRECT_URL"])._replace(
                netloc=f"{user}@{server_of(stack.env['DIRECT_URL'])}"
            )
        )
        with write_to(url, tmp_path, wait="alive") as service:

            def says(part):
                reply = service.ops.get("/readyz")
                return reply.status == 503 and part in reply.json().get("reason", "")

            eventually(
                lambda: says("faststock_viewer lacks the right INSERT on products"),
                "it says what is missing",
            )
            assert service.ops.get("/readyz").json()["dependencies"]["postgres"]["state"] == "up"
            assert service.client.update_stock(1, {"delta": 0}).status >= 500
            database.rows(
                "GRANT SELECT, INSERT, UPDATE ON products, orders, order_items, reservations,"
                " reservation_items, idempotency_keys, write_lanes TO faststock_viewer"
            )
            eventually(
                lambda: says("faststock_viewer lacks the right INSERT on stock_movements"),
                "it says what else is missing",
            )
            database.rows("GRANT INSERT ON stock_movements TO faststock_viewer")
            service.wait = "ready"
            service.wait_until_up()
            errors = [
                line["error"]
                for line in service.log_lines()
                if line["msg"] == "no change can be made"
            ]
            assert len(errors) == 2, errors  # each once
            id = database.create_product(stock=1)
            assert service.client.update_stock(id, {"delta": 1}).json()["stock"] == 2


def test_a_database_of_another_encoding_is_named(stack, tmp_path):
    with other_database(
        stack, "latin_stock", "ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'"
    ) as url:
        with write_to(url, tmp_path) as service:
            assert store_note(service.ops) == "the database's encoding is LATIN1, not UTF8"
            warnings = [
                line for line in service.log_lines() if "encoding is not UTF8" in line["msg"]
            ]
            # Once, not for each connection.
            assert len(warnings) == 1 and warnings[0]["encoding"] == "LATIN1", warnings


def test_a_reason_that_the_database_cannot_hold_is_bad_input(stack, tmp_path):
    """It will fail for ever, so the client is not told to try again."""
    with other_database(
        stack, "latin_reasons", "ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'"
    ) as url:
        own = Database(url)
        id = own.create_product(stock=5)
        with write_to(url, tmp_path) as service:
            reply = service.client.update_stock(id, {"delta": 1, "reason": "\u65e5\u672c"})
            assert_problem(reply, 400, field="reason")
            assert reply.header("Retry-After") is None
            assert (
                service.client.update_stock(id, {"delta": 1, "reason": "caf\u00e9"}).json()["stock"]
                == 6
            )
            assert (
                scrape(service.client).value("faststock_writes_total", outcome="unstorable")
                == 1
            )
        assert [movement["reason"] for movement in own.movements(id)] == [None, "caf\u00e9"]
        own.close()
