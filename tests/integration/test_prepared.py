"""Prepared statements: nothing fails because the server has lost one, or because a migration
changed its result."""

import contextlib

import pytest

from support.database import Database
from support.metrics_text import Change
from support.replicas import other_database
from support.service_process import ServiceProcess
from support.timing import eventually


@pytest.fixture
def own(stack):
    """A database of its own: what a test does to it disturbs no other service."""
    with other_database(stack, "prepared_stock") as url:
        database = Database(url)
        yield database
        database.close()


def service(name, folder, url, **database):
    return ServiceProcess(name, folder, {"database": {"url": url, "prepared": "on", **database}})


def lost(change, cause):
    return change("faststock_statements_lost_total", store="postgres", cause=cause)


def test_a_statement_that_the_server_has_lost_is_prepared_again(own, tmp_path):
    """Each change ends with DEALLOCATE ALL in its session, which then knows no statement any
    more."""
    id = own.create_product(stock=100)
    own.rows("CREATE TABLE seen (statements bigint)")
    own.rows(
        "CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " INSERT INTO seen SELECT count(*) FROM pg_prepared_statements WHERE name LIKE "
        "'write_%%';"
        " DEALLOCATE ALL; RETURN NULL; END $$"
    )
    own.rows("CREATE TRIGGER lose AFTER UPDATE ON products EXECUTE FUNCTION lose()")
    with service("write-svc", tmp_path, own.url, pool_size=1) as writer, Change(
        writer.ops
    ) as change:
        for left in range(99, 89, -1):
            assert writer.client.update_stock(id, {"delta": -1}).json()["stock"] == left
    assert lost(change, "statement") >= 9
    assert own.row("SELECT count(*) AS n, min(statements) AS least FROM seen") == {
        "n": 10,
        "least": 1,
    }
    assert [m["stock_after"] for m in own.movements(id)] == list(
        range(100, 89, -1)
    ), "each change once"


def test_a_migration_that_changes_a_result(own, tmp_path):
    ids = own.create_products(20, stock=3)
    with service("read-svc", tmp_path, own.url, pool_size=1) as reader:
        for type in ("varchar(200)", "text"):
            read_all(reader, ids)
            with Change(reader.ops) as change:
                own.rows(f"ALTER TABLE products ALTER COLUMN name TYPE {type}")
                read_all(reader, ids)
            assert lost(change, "plan") >= 1


def read_all(reader, ids):
    for id in ids:
        reply = reader.client.product(id)
        assert (reply.status, reply.json()["stock"]) == (200, 3), reply


def test_sessions_that_are_ended(own, tmp_path):
    id = own.create_product(stock=3)
    with service("read-svc", tmp_path, own.url) as reader, service(
        "write-svc", tmp_path, own.url
    ) as writer:
        for _ in range(5):
            own.rows(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = "
                "current_database() AND pid <> pg_backend_pid()"
            )
            eventually(
                lambda: reader.client.product(id).status == 200, "the reader has new sessions"
            )
            eventually(
                lambda: writer.client.update_stock(id, {"delta": 0}).status == 200,
                "the writer has new sessions",
            )


def test_through_pgbouncer(stack, database, tmp_path):
    """One that keeps statements (1.21), and one that does not know them: then they are run
    unprepared."""
    url = stack.env["DATABASE_URL"]
    ids = database.create_products(20, stock=3)
    with service("read-svc", tmp_path, url) as reader, service(
        "write-svc", tmp_path, url
    ) as writer:
        for _ in range(3):
            for id in ids:
                assert writer.client.update_stock(id, {"delta": 0}).status == 200
            read_all(reader, ids)
            admin = stack.env["PGBOUNCER_ADMIN_URL"]
            with contextlib.closing(Database(admin)) as pgbouncer:
                pgbouncer.rows("RECONNECT")  # other sessions of the server, which know no statement
