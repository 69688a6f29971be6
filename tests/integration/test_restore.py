"""A dump of the database, restored on another server: sql/migrate makes its ledger fit the other
server."""

import contextlib
import os
import subprocess
from urllib.parse import urlsplit

import psycopg2
import pytest

from support.database import Database
from support.problems import assert_problem
from support.replicas import PG_BIN, as_store_owner, replica_folder, with_port
from support.service_process import ServiceProcess, free_port
from support.stack import ROOT
from support.timing import eventually, scaled

NOT_YET_RUN = (
    "SELECT count(*) AS n FROM stock_movements WHERE xid >= pg_snapshot_xmax(pg_current_snapshot())"
)


def run(*command, **env):
    owner = as_store_owner() if command[0].parent == PG_BIN else {}
    done = subprocess.run(
        command,
        cwd="/",
        capture_output=True,
        text=True,
        timeout=scaled(60),
        env={**os.environ, **env},
        **owner,
    )
    assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


def maintenance(url):
    return urlsplit(url)._replace(path="/postgres").geturl()


def answers(url):
    with contextlib.suppress(psycopg2.OperationalError):
        psycopg2.connect(url).close()
        return True


@contextlib.contextmanager
def another_server(folder, url):
    """A PostgreSQL with nothing in it but the stack's role, at the port of `url`."""
    run(
        PG_BIN / "initdb",
        "-D",
        folder,
        "--username=faststock",
        "--auth=trust",
        "--encoding=UTF8",
        "--locale=C.UTF-8",
        "--no-sync",
    )
    options = {
        "port": urlsplit(url).port,
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "fsync": "off",
    }
    command = [PG_BIN / "postgres", "-D", folder] + [
        word for name, value in options.items() for word in ("-c", f"{name}={value}")
    ]
    with open(folder.parent / "server.log", "ab") as log:
        server = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            **as_store_owner(),
        )
    try:
        eventually(lambda: answers(maintenance(url)), "the other server answers", timeout=20)
        yield
    finally:
        server.terminate()
        server.wait(scaled(20))


def assert_the_feed_begins_anew(restored, url, folder, cursor):
    """A cursor of the other server is refused; from the beginning each movement comes once."""
    stores = {"database": {"url": url}, "redis": {"url": ""}}
    with ServiceProcess("read-svc", folder, stores) as service:
        assert_problem(service.client.get(f"/api/changes?after={cursor}"), 410, "feed-gone")
        seen, after, is_last = [], "", False
        while not is_last:
            body = service.client.get(f"/api/changes?limit=1000{after}").json()
            seen += [(movement["productId"], movement["version"]) for movement in body["data"]]
            after, is_last = f"&after={body['meta']['next']}", body["meta"]["caughtUp"]
    ledger = restored.rows("SELECT product_id, version FROM stock_movements")
    assert sorted(seen) == sorted((row["product_id"], row["version"]) for row in ledger)
    versions = {}
    for id, version in seen:
        assert version == versions.get(id, version - 1) + 1, "versions in order"
        versions[id] = version


def test_a_restored_ledger_is_taken_over_once(stack, database, tmp_path):
    for _ in range(600):  # more transactions than the other server needs for the restore
        database.row("SELECT pg_current_xact_id()")
    hot = database.create_product()
    with psycopg2.connect(stack.env["DIRECT_URL"]) as early, early.cursor() as session:
        session.execute("SELECT pg_current_xact_id()")
        database.rows("SELECT FROM edit_product(%s, 'Another name')", hot)
        session.execute("SELECT FROM edit_product(%s, 'A late one')", (hot,))
    assert database.row("SELECT count(*) AS n FROM ledger_late WHERE product_id = %s", hot)["n"] > 0
    cursor = stack.reads[0].get("/api/changes?after=now").json()["meta"]["next"]
    url = with_port(stack.env["DIRECT_URL"], free_port())
    with replica_folder() as folder, another_server(folder, url):
        dump = folder.parent / "dump"
        run(
            PG_BIN / "pg_dump",
            "-d",
            stack.env["DIRECT_URL"],
            "--create",
            "--format=custom",
            f"--file={dump}",
        )
        run(PG_BIN / "pg_restore", "-d", maintenance(url), "--create", "--exit-on-error", dump)
        restored = Database(url)
        try:
            assert (
                restored.row(NOT_YET_RUN)["n"] > 0
            ), "the restored movements name no transactions that are yet to come"
            assert "took over the ledger" in run(ROOT / "sql/migrate", DIRECT_URL=url)
            assert restored.row(NOT_YET_RUN)["n"] == 0
            assert "took over the ledger" not in run(ROOT / "sql/migrate", DIRECT_URL=url)
            run(ROOT / "sql/check-ledger", DIRECT_URL=url)
            assert_the_feed_begins_anew(restored, url, tmp_path, cursor)
            with pytest.raises(psycopg2.errors.RestrictViolation):
                restored.rows("UPDATE stock_movements SET delta = delta")
        finally:
            restored.close()
