"""What ends by time: reservations, kept answers, the rows of lanes. No test asserts how long that
takes; each waits for it, and looks that it did not come too early."""

import contextlib
import json

import psycopg2
import pytest

from support.ledger import assert_ledger_holds
from support.metrics_text import scrape_at_rest
from support.service_process import ServiceProcess
from support.timing import eventually

pytestmark = pytest.mark.quick


def reserve(database, *reservations, ttl=3600):
    """Reservations of a list of (product, units) each; returns their ids."""
    results = database.write_batch([("reserve", ttl, items) for items in reservations])
    return [json.loads(result)["id"] for result in results]


def make_due(database, ids, overdue_s=0):
    database.rows(
        "UPDATE reservations SET expires_at = clock_timestamp() - make_interval(secs => %s)"
        " WHERE id = ANY (%s)",
        overdue_s,
        ids,
    )


def statuses(database, ids):
    rows = database.rows("SELECT status FROM reservations WHERE id = ANY (%s) ORDER BY id", ids)
    return [row["status"] for row in rows]


def all_expired(database, ids):
    return set(statuses(database, ids)) == {"EXPIRED"}


def own_settings(stack, **sections):
    return {
        "database": {"url": stack.env["DATABASE_URL"]},
        "redis": {"url": stack.env["REDIS_URL"]},
        **sections,
    }


@contextlib.contextmanager
def held(stack, product):
    """Another transaction holds the row of a product."""
    with contextlib.closing(psycopg2.connect(stack.env["DIRECT_URL"])) as connection:
        connection.cursor().execute("SELECT FROM products WHERE id = %s FOR UPDATE", (product,))
        yield
        connection.rollback()


@contextlib.contextmanager
def no_writers(stack):
    stack.dev("stop", "write-1", "write-2")
    try:
        yield
    finally:
        stack.dev("start", "write-1", "write-2")
        stack.wait_until_whole()


def expired_total(stack):
    return sum(
        scrape_at_rest(client).total("faststock_reservations_expired_total")
        for client in stack.write_ops
    )


# -- reservations


def test_a_reservation_is_over_when_its_time_is(stack, database, cache):
    one, other = database.create_product(stock=5), database.create_product(stock=5)
    cache.make_warm(one, other)
    before = expired_total(stack)
    (id,) = reserve(database, [(one, 2), (other, 5)], ttl=1)
    eventually(lambda: all_expired(database, [id]), "the reservation has expired")
    row = database.row("SELECT * FROM reservations WHERE id = %s", id)
    assert row["ended_at"] >= row["expires_at"] and row["order_id"] is None
    for product in (one, other):
        shown = database.product(product)
        assert (shown["stock"], shown["reserved"]) == (5, 0)
        last = database.movements(product)[-1]
        assert (last["kind"], last["reservation_id"]) == ("expire", id)
        assert last["delta"] == -last["reserved_delta"] > 0
    assert expired_total(stack) > before
    eventually(
        lambda: [client.stock(one).json()["stock"] for client in stack.reads] == [5, 5],
        "readers see it",
    )
    assert_ledger_holds(stack)


def test_one_whose_time_is_not_over_stays(stack, database):
    product = database.create_product(stock=5)
    stays, goes = reserve(database, [(product, 1)], [(product, 2)])
    make_due(database, [goes])
    eventually(lambda: all_expired(database, [goes]), "the other has expired")
    assert statuses(database, [stays]) == ["HELD"]
    assert database.product(product)["reserved"] == 1


def test_more_than_one_call_may_take(stack, database):
    products = database.create_products(7, stock=1000)
    ids = reserve(
        database, *[[(product, 1 + i % 3) for product in products[i % 5 :]] for i in range(350)]
    )
    make_due(database, ids)
    eventually(lambda: all_expired(database, ids), "all have expired", timeout=20)
    assert {(database.product(id)["stock"], database.product(id)["reserved"]) for id in products} \
        == {(1000, 0)}
    assert_ledger_holds(stack)


def test_a_product_that_is_held_harms_no_other(stack, database):
    """Its reservations are the longest overdue, and more than a call may take."""
    stuck, free = database.create_product(stock=1000), database.create_product(stock=10)
    waiting = reserve(database, *[[(stuck, 1)]] * 150)
    others = reserve(database, [(free, 1)], [(free, 2)])
    with held(stack, stuck):
        make_due(database, waiting, overdue_s=60)
        make_due(database, others)
        eventually(lambda: all_expired(database, others), "the others have expired", timeout=20)
        assert set(statuses(database, waiting)) == {"HELD"}
        assert database.product(free)["stock"] == 10
    eventually(lambda: all_expired(database, waiting), "all have expired", timeout=20)
    assert database.product(stuck)["stock"] == 1000
    assert_ledger_holds(stack)


def test_a_writer_without_redis_expires_too(stack, database, tmp_path):
    """Readers see it nevertheless, because the relay of another writer removes the older state."""
    product = database.create_product(stock=5)
    with no_writers(stack):
        (id,) = reserve(database, [(product, 2)])
        make_due(database, [id])
        assert statuses(database, [id]) == ["HELD"]
        settings = own_settings(stack, redis={"url": ""})
        with ServiceProcess("write-svc", tmp_path, settings):
            eventually(lambda: all_expired(database, [id]), "it has expired")
    eventually(
        lambda: [client.stock(product).json()["stock"] for client in stack.reads] == [5, 5],
        "readers see it",
    )


# -- tidying


def test_old_answers_are_removed_in_steps(stack, database, tmp_path):
    database.rows(
        "INSERT INTO idempotency_keys (key, fingerprint, outcome, result, created_at)"
        " SELECT 'sweeper-' || age || '-' || n, 'f', 'applied', '{}',"
        "        clock_timestamp() - make_interval(mins => age)"
        " FROM generate_series(1, 2500) AS n, unnest('{50,70}'::int[]) AS age"
        " WHERE age = 70 OR n <= 3"
    )
    count = lambda age: database.row(
        "SELECT count(*) AS n FROM idempotency_keys WHERE key LIKE %s", f"sweeper-{age}-%"
    )["n"]
    settings = own_settings(stack, writes={"key_ttl_hours": 1})
    with ServiceProcess("write-svc", tmp_path, settings) as service:
        eventually(lambda: count(70) == 0, "the old ones are gone")
        assert count(50) == 3
        removed = scrape_at_rest(service.ops).total("faststock_idempotency_keys_removed_total")
        assert removed >= 2500
    database.rows("DELETE FROM idempotency_keys WHERE key LIKE 'sweeper-%%'")


def test_lanes_that_nobody_uses_are_removed(stack, database, tmp_path):
    rows = database.rows(
        "INSERT INTO write_lanes (updated_at)"
        " SELECT clock_timestamp() - make_interval(days => age) FROM unnest('{6,8}'::int[]) AS age"
        " RETURNING id, updated_at"
    )
    rows.sort(key=lambda row: row["updated_at"])
    older, younger = (row["id"] for row in rows)
    exists = lambda id: bool(database.rows("SELECT 1 FROM write_lanes WHERE id = %s", id))
    with ServiceProcess("write-svc", tmp_path, own_settings(stack)):
        eventually(lambda: not exists(older), "it is gone")
    assert exists(younger)
