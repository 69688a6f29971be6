"""A dump of the database, restored on another server: sql/migrate makes its ledger fit the other
server."""

import contextlib
import os
import subprocess
from urllib.parse import urlsplit

import psycopg2
import pytest

from support.database import Database
from support.replicas import PG_BIN, as_store_owner, replica_folder, with_port
from support.service_process import free_port
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


def test_a_restored_ledger_is_taken_over_once(stack, database):
    for _ in range(600):  # more transactions than the other server needs for the restore
        database.row("SELECT pg_current_xact_id()")
    database.create_product()
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
            with pytest.raises(psycopg2.errors.RestrictViolation):
                restored.rows("UPDATE stock_movements SET delta = delta")
        finally:
            restored.close()
