"""The relay of write-svc: Redis holds nothing older than the last commit, also without a
publication. Here SQL commits."""

import time

import psycopg2
import pytest

from support.metrics_text import Change, scrape
from support.timing import eventually, scaled


def adjust(database, id, delta):
    """A change that no service knows of."""
    database.rows(
        "SELECT * FROM change_stock(ARRAY[%s]::bigint[], ARRAY[%s]::bigint[], ARRAY[false], "
        "ARRAY[NULL]::bigint[], ARRAY[NULL]::text[])",
        id,
        delta,
    )


def active_relays(stack):
    return [scrape(client).value("faststock_relay_active") for client in stack.write_ops]


@pytest.fixture
def cached_product(stack, database, cache):
    id = database.create_product(stock=5)
    cache.make_warm(id)
    return id


@pytest.mark.quick
def test_one_relay_is_active(stack):
    eventually(lambda: sorted(active_relays(stack)) == [0, 1], "one of the two has the lock")
    eventually(
        lambda: max(
            scrape(client).value("faststock_relay_age_seconds") for client in stack.write_ops
        )
        < scaled(2),
        "and it is up to date",
    )


@pytest.mark.quick
def test_a_change_in_sql_is_seen(stack, database, cached_product):
    for step in range(1, 4):
        adjust(database, cached_product, -1)
        for client in stack.reads:
            eventually(
                lambda: client.stock(cached_product).json()
                == {"id": cached_product, "stock": 5 - step, "version": 1 + step},
                "seen",
            )


@pytest.mark.quick
def test_an_edit_in_sql_is_seen(stack, database, cached_product):
    database.rows("SELECT edit_product(%s, 'New name', 0.5)", cached_product)
    for client in stack.reads:
        eventually(
            lambda: client.product(cached_product).json()["name"] == "New name", "the name is seen"
        )
        assert str(client.product(cached_product).json()["price"]) == "0.50"


@pytest.mark.quick
def test_a_deletion_in_sql_is_seen(stack, database, cached_product):
    database.rows("SELECT delete_product(%s)", cached_product)
    for client in stack.reads:
        eventually(lambda: client.product(cached_product).status == 404, "it is gone")
        assert client.get(f"/api/stock?ids={cached_product}").json()["missing"] == [cached_product]


@pytest.mark.quick
def test_a_product_that_was_missing_is_seen(stack, database, cache):
    """"There is no such product" is cached too, and must not outlive its truth by much."""
    upcoming = database.row("SELECT last_value + 1 AS id FROM products_id_seq")["id"]
    for client in stack.reads:
        assert client.product(upcoming).status == 404
    assert cache.redis.pexpire(
        cache.key(upcoming), 600_000
    ), "it is known to be missing, from now on for ten minutes"
    assert database.create_product(stock=1) == upcoming
    for client in stack.reads:
        eventually(lambda: client.product(upcoming).status == 200, "it is there")


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_the_other_one_takes_over(stack, database, cached_product, how):
    eventually(lambda: sum(active_relays(stack)) == 1, "one is active")
    name = stack.writes[active_relays(stack).index(1)].name
    if how == "killed":
        stack.kill(name)
    with stack.stopped(name):
        adjust(database, cached_product, -1)
        for client in stack.reads:
            eventually(
                lambda: client.stock(cached_product).json()["stock"] == 4, "seen", timeout=15
            )


def test_a_holder_that_hangs_loses_the_lock(stack, database, cached_product):
    """PostgreSQL ends a session from which it hears nothing; a machine that lost its power is no
    different."""
    eventually(lambda: sum(active_relays(stack)) == 1, "one is active")
    active = active_relays(stack).index(1)
    other = stack.write_ops[1 - active]
    with stack.frozen(stack.writes[active].name):
        eventually(
            lambda: scrape(other).value("faststock_relay_active") == 1,
            "the other one has taken over",
            timeout=20,
        )
        adjust(database, cached_product, -1)
        for client in stack.reads:
            eventually(lambda: client.stock(cached_product).json()["stock"] == 4, "seen")
    eventually(lambda: sum(active_relays(stack)) == 1, "and the one that woke up knows it")


@pytest.mark.quick
def test_a_long_transaction_makes_no_work(stack, database):
    """A movement that was compared with Redis once is not compared again each round while some
    transaction is under way."""
    with psycopg2.connect(stack.env["DIRECT_URL"]) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_xact_id()")
        ids = database.create_products(50)
        stack.wait_for_relay()
        with Change(*stack.write_ops) as change:
            for _ in range(3):
                stack.wait_for_relay()
        assert change("faststock_relay_movements_total") < len(ids)
        cursor.execute("SELECT create_product('Late', 1, 7)::text")
    (late,) = database.rows(
        "SELECT id, stock FROM products WHERE name = 'Late' ORDER BY id DESC LIMIT 1"
    )
    for client in stack.reads:
        eventually(
            lambda: client.stock(late["id"]).status == 200, "what that transaction did is seen"
        )


@pytest.mark.quick
def test_another_epoch_gets_what_was_published_to_the_last(stack, database, cache):
    """Redis becomes another one under open connections, and for a moment the relay's still use the
    keys of the last."""
    id, other = database.create_products(2, stock=5)
    cache.make_cold(id, other)
    time.sleep(scaled(1.2))  # the readers' connections ask for the epoch when they are used again
    adjust(database, other, -1)
    eventually(
        lambda: cache.guard(other) == 2, "the relay's connection has asked for the epoch just now"
    )
    pipe = cache.redis.pipeline(transaction=True)
    pipe.execute_command("REPLICAOF", "127.0.0.1", "1").execute_command(
        "REPLICAOF", "NO", "ONE"
    ).execute()
    for client in stack.reads:
        assert client.stock(id).json()["stock"] == 5
    adjust(database, id, -1)
    for client in stack.reads:
        eventually(lambda: client.stock(id).json()["stock"] == 4, "seen")


@pytest.mark.quick
def test_it_corrects_redis_and_does_not_fill_it(stack, database, cache, cached_product):
    unread = database.create_product(stock=1)
    adjust(database, unread, 1)
    adjust(database, cached_product, -1)
    stack.wait_for_relay()
    assert not cache.has(unread), "nobody asked for it"
    assert not cache.has(cached_product), "the older state is gone"
    assert (cache.guard(unread), cache.guard(cached_product)) == (2, 2)
    reply = stack.reads[0].stock(cached_product)
    assert (reply.json()["stock"], reply.header("Cache-Status")) == (
        4,
        "faststock; fwd=miss; detail=db",
    )
    eventually(lambda: cache.has(cached_product), "a reader fills it")


@pytest.mark.quick
def test_a_state_as_new_as_the_ledger_stays(stack, database, cache, cached_product):
    with Change(*stack.write_ops) as change:
        assert stack.writes[0].update_stock(cached_product, {"delta": -1}).status == 200
        before = cache.redis.get(cache.key(cached_product))
        stack.wait_for_relay()
    assert change("faststock_relay_movements_total", result="current") >= 1
    assert cache.redis.get(cache.key(cached_product)) == before


@pytest.mark.quick
def test_many_movements_of_one_transaction_are_all_seen(stack, database, cache):
    """More than several pages of the ledger; some of the products are in Redis, the first and the
    last among them."""
    ids = database.create_products(3000, stock=5)
    some = ids[::250] + [ids[-1]]
    cache.make_warm(*some)
    with Change(*stack.write_ops) as change:
        database.rows("SELECT delete_product(id) FROM unnest(%s::bigint[]) AS id", ids)
        stack.wait_for_relay()
    assert change("faststock_relay_movements_total", result="removed") >= len(some)
    for client in stack.reads:
        assert client.get("/api/stock?ids=" + ",".join(map(str, some))).json() == {
            "data": [],
            "missing": some,
        }


@pytest.mark.quick
def test_many_movements_hold_up_no_other(stack, database, cache, cached_product):
    """A change that is committed behind many others does not wait until all those are done.

    The order is seen in Redis: the last of the many is not done when the small change behind them
    is.
    """
    ids = database.create_products(20_000, stock=5)
    stack.wait_for_relay()
    for version in range(2, 7):
        database.rows("SELECT edit_product(id, 'Edited') FROM unnest(%s::bigint[]) AS id", ids)
        eventually(
            lambda: cache.guard(ids[0]) == version, "the relay has begun with the many", every=0.001
        )
        adjust(database, cached_product, -1)
        eventually(
            lambda: cache.guard(cached_product) == version, "the small change is done", every=0.001
        )
        was_before = cache.guard(ids[-1]) < version
        stack.wait_for_relay()
        assert cache.guard(ids[-1]) == version, "and all of the others too"
        if was_before:
            return
    raise AssertionError("the small change was always done after the many")
