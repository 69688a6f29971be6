"""Rows of PostgreSQL that cannot be shown: none gets in, and one that was there harms nobody
else."""

import contextlib
import os
import shutil
import subprocess

import psycopg2
import pytest

from support.database import Database
from support.http_client import in_parallel
from support.metrics_text import Change, scrape
from support.problems import assert_problem
from support.service_process import ServiceProcess
from support.stack import ROOT
from support.timing import eventually, scaled

pytestmark = pytest.mark.quick

TIMES = ["-infinity", "infinity", "0001-01-01 00:00:00 UTC BC", "10000-01-01 00:00:00 UTC"]
CONSTRAINT = "products_times_are_shown"


@pytest.mark.parametrize("column", ["created_at", "updated_at", "deleted_at"])
@pytest.mark.parametrize("time", TIMES)
def test_no_time_that_cannot_be_shown_gets_in(database, column, time):
    id = database.create_product()
    with pytest.raises(psycopg2.errors.CheckViolation):
        database.rows(f"UPDATE products SET {column} = %s WHERE id = %s", time, id)


@pytest.mark.parametrize(
    "change",
    [
        "price = 'NaN'",
        "price = -0.01",
        "stock = -1",
        "stock = 1::bigint << 53",
        "version = 0",
        "version = 1::bigint << 53",
        "name = ''",
    ],
)
def test_no_other_value_that_cannot_be_shown_gets_in(database, change):
    id = database.create_product()
    with pytest.raises(psycopg2.errors.CheckViolation):
        database.rows(f"UPDATE products SET {change} WHERE id = %s", id)


@pytest.mark.parametrize("id", [0, -1])
def test_no_id_below_one_gets_in(database, id):
    with pytest.raises(psycopg2.errors.CheckViolation):
        database.rows(
            "INSERT INTO products (id, name, price, stock) OVERRIDING SYSTEM VALUE VALUES (%s, 'x',"
            " 1, 1)",
            id,
        )


@pytest.mark.parametrize("time", ["0001-01-01 00:00:00 UTC", "9999-12-31 23:59:59.999999 UTC"])
def test_the_first_and_the_last_time_can_be_shown(stack, database, time):
    id = database.create_product()
    database.rows(
        "UPDATE products SET created_at = %s, updated_at = %s WHERE id = %s", time, time, id
    )
    database.rows("SELECT edit_product(%s, 'Edited')", id)
    shown = (
        time.replace(" UTC", "Z").replace(" ", "T")
        if "." in time
        else "0001-01-01T00:00:00.000000Z"
    )
    for client in stack.reads:
        eventually(
            lambda: client.product(id).json()["name"] == "Edited", "the relay has seen the edit"
        )
        assert client.product(id).json()["createdAt"] == shown


@pytest.fixture
def bad_product(stack, database, cache):
    """One as it may have been there before the constraint."""
    id = database.create_product(stock=5)
    cache.make_cold(id)
    rule = database.row(
        "SELECT pg_get_constraintdef(oid) AS rule FROM pg_constraint WHERE conname = %s", CONSTRAINT
    )["rule"]
    database.rows(f"ALTER TABLE products DROP CONSTRAINT {CONSTRAINT}")
    try:
        database.rows(
            "UPDATE products SET created_at = '-infinity', version = version + 1 WHERE id = %s", id
        )
        database.rows(
            "INSERT INTO stock_movements (product_id, version, delta, stock_after, kind) VALUES "
            "(%s, 2, 0, 5, 'edited')",
            id,
        )
        yield id
    finally:
        database.rows("UPDATE products SET created_at = updated_at WHERE id = %s", id)
        database.rows(f"ALTER TABLE products ADD CONSTRAINT {CONSTRAINT} {rule}")


def test_a_bad_row_harms_no_other(stack, database, cache, bad_product):
    others = database.create_products(40, stock=3)
    cache.make_cold(*others)
    for client in stack.reads:
        replies = in_parallel(41, lambda i: client.product(([bad_product] + others)[i]))
        assert_problem(replies[0], 503)
        assert [reply.status for reply in replies[1:]] == [200] * len(others)
        assert_problem(client.get(f"/api/stock?ids={bad_product},{others[0]}"), 503)


def test_the_relay_goes_on_past_a_bad_row(stack, database, bad_product):
    other = database.create_product(stock=3)
    stack.wait_for_relay()
    for step in range(1, 4):
        database.rows(
            "SELECT change_stock(ARRAY[%s]::bigint[], ARRAY[-1]::bigint[], ARRAY[false], "
            "ARRAY[NULL]::bigint[], ARRAY[NULL])",
            other,
        )
        for client in stack.reads:
            eventually(
                lambda: client.stock(other).json()["stock"] == 3 - step,
                "the change of another product is seen",
            )
    ages = [scrape(client).value("faststock_relay_age_seconds") for client in stack.write_ops]
    assert max(ages) < scaled(5), "its rounds are complete"


@pytest.fixture
def older_database(stack, database, tmp_path):
    """A database of its own before the constraints, and a function that runs migrations up to a
    name."""
    name = "faststock_older"
    database.rows(f"DROP DATABASE IF EXISTS {name}")
    database.rows(f"CREATE DATABASE {name}")
    url = stack.env["DIRECT_URL"].rsplit("/", 1)[0] + "/" + name

    def migrate(before):
        shutil.rmtree(tmp_path / "sql", ignore_errors=True)
        shutil.copytree(ROOT / "sql", tmp_path / "sql")
        for file in (tmp_path / "sql/migrations").iterdir():
            if file.name >= before:
                file.unlink()
        done = subprocess.run(
            [tmp_path / "sql/migrate"],
            env={**os.environ, "DIRECT_URL": url},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    older = Database(url)
    yield older, migrate
    older.close()
    database.rows(f"DROP DATABASE {name} WITH (FORCE)")


def test_a_row_that_was_there_is_named_and_left(older_database):
    older, migrate = older_database
    migrate("0007")
    good, bad = older.create_products(2)
    older.rows("UPDATE products SET created_at = '-infinity' WHERE id = %s", bad)
    output = migrate("9")
    assert f"products has rows that cannot be shown (at most 20 are listed): {bad};" in output
    assert f"ALTER TABLE products VALIDATE CONSTRAINT {CONSTRAINT}" in output

    def unvalidated():
        return [
            row["conname"]
            for row in older.rows("SELECT conname FROM pg_constraint WHERE NOT convalidated")
        ]

    assert unvalidated() == [CONSTRAINT]
    with pytest.raises(psycopg2.errors.CheckViolation):
        older.rows("UPDATE products SET created_at = 'infinity' WHERE id = %s", good)
    older.rows("UPDATE products SET created_at = updated_at WHERE id = %s", bad)
    older.rows(f"ALTER TABLE products VALIDATE CONSTRAINT {CONSTRAINT}")
    assert unvalidated() == []


# -- rows that make a whole statement fail: a service whose `products` is a view, which cannot be
# computed for some of them


@pytest.fixture
def trap(stack, database, tmp_path):
    """A function that gives a read-svc of the test's own, without Redis, whose statements fail when
    they touch one of these ids."""
    services = contextlib.ExitStack()

    def set_trap(ids):
        database.rows("CREATE SCHEMA trap")
        services.callback(lambda: database.rows("DROP SCHEMA trap CASCADE"))
        database.rows(
            "CREATE VIEW trap.products AS SELECT id, sku, name, price, reserved, version,"
            " created_at, updated_at, deleted_at,"
            " CASE WHEN id = ANY(%s::bigint[]) THEN stock / (id - id) ELSE stock END AS stock FROM "
            "public.products",
            ids,
        )
        url = stack.env["DIRECT_URL"] + "?options=-csearch_path%3Dtrap%2Cpublic"
        settings = {
            "database": {"url": url, "pool_size": 1, "timeout_ms": 5000},
            "redis": {"url": ""},
        }
        return services.enter_context(ServiceProcess("read-svc", tmp_path, settings))

    with services:
        yield set_trap


def read_all(service, ids):
    """The status of each; asked at once, by a service that has one connection: most are in one
    batch with others."""
    with Change(service.ops) as change:
        statuses = [
            reply.status for reply in in_parallel(len(ids), lambda i: service.client.stock(ids[i]))
        ]
    batches = change("faststock_load_batch_size_count", tier="db")
    assert batches < len(ids), "they were asked for in batches"
    return statuses


def test_a_row_that_fails_its_statement_fails_alone(database, trap):
    ids = database.create_products(100, stock=3)
    bad = [ids[0], ids[41], ids[99]]
    service = trap(bad)
    for _ in range(3):
        statuses = read_all(service, ids)
        assert [id for id, status in zip(ids, statuses) if status != 200] == bad
    assert_problem(service.client.stock(bad[0]), 503)
    assert_problem(service.client.get(f"/api/stock?ids={ids[1]},{bad[1]}"), 503)
    good = [id for id in ids if id not in bad]
    assert [
        row["id"]
        for row in service.client.get(f"/api/stock?ids={','.join(map(str, good))}").json()["data"]
    ] == good
    lines = [line for line in service.log_lines() if line["msg"] == "a product cannot be read"]
    assert len(lines) == 1, "said once in a while, not for each request"
    assert lines[0]["product"] in bad and lines[0]["sqlstate"] == "22012"


def test_a_batch_of_rows_that_fail_is_given_up(database, trap):
    """However many are bad, a batch costs PostgreSQL a bounded number of statements."""
    ids = database.create_products(100, stock=3)
    service = trap(ids)
    statements = "SELECT xact_rollback FROM pg_stat_database WHERE datname = current_database()"
    before = database.row(statements)["xact_rollback"]
    reply = service.client.get(f"/api/stock?ids={','.join(map(str, ids))}")
    assert_problem(reply, 503)
    eventually(
        lambda: database.row(statements)["xact_rollback"] > before, "PostgreSQL has counted them"
    )
    assert database.row(statements)["xact_rollback"] - before < 100
    assert service.client.product(database.create_product()).status == 200
