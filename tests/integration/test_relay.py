"""The relay of write-svc: whatever was committed gets into Redis, also when nobody published it. Here SQL is the one who commits."""

import pytest

from support.metrics_text import scrape
from support.timing import eventually, scaled


def adjust(database, id, delta):
    """A change that no service knows of."""
    database.rows(
        "SELECT * FROM apply_stock_changes(ARRAY[%s]::bigint[], ARRAY[%s]::bigint[], ARRAY[false], ARRAY[NULL]::bigint[], ARRAY[NULL]::text[])",
        id,
        delta,
    )


def active_relays(stack):
    return [scrape(client).value("faststock_relay_active") for client in stack.write_ops]


@pytest.fixture
def cached_product(stack, database, cache):
    id = database.create_product(stock=5)
    eventually(lambda: cache.has(id), "it is in Redis")
    return id


@pytest.mark.quick
def test_one_relay_is_active(stack):
    eventually(lambda: sorted(active_relays(stack)) == [0, 1], "one of the two has the lock")
    eventually(
        lambda: max(scrape(client).value("faststock_relay_age_seconds") for client in stack.write_ops) < scaled(2), "and it is up to date"
    )


@pytest.mark.quick
def test_a_change_in_sql_is_seen(stack, database, cached_product):
    for step in range(1, 4):
        adjust(database, cached_product, -1)
        for client in stack.reads:
            eventually(lambda: client.stock(cached_product).json() == {"id": cached_product, "stock": 5 - step, "version": 1 + step}, "seen")


@pytest.mark.quick
def test_an_edit_in_sql_is_seen(stack, database, cached_product):
    database.rows("SELECT edit_product(%s, 'New name', 0.5)", cached_product)
    for client in stack.reads:
        eventually(lambda: client.product(cached_product).json()["name"] == "New name", "the name is seen")
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
    assert cache.redis.pexpire(cache.key(upcoming), 600_000), "it is known to be missing, from now on for ten minutes"
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
            eventually(lambda: client.stock(cached_product).json()["stock"] == 4, "seen", timeout=15)
