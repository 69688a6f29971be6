"""Reads by SKU: the same answers as by id, as fresh, and from Redis once a SKU is known."""

import uuid
from urllib.parse import quote

import pytest

from support.http_client import in_parallel
from support.problems import assert_problem
from support.timing import eventually


def new_sku(text="sku"):
    return f"{text} {uuid.uuid4().hex[:12]}"


def products(client, *skus):
    return client.get("/api/products?sku=" + quote(",".join(skus), safe=","))


def stocks(client, *skus):
    return client.get("/api/stock?skus=" + quote(",".join(skus), safe=","))


@pytest.fixture
def shelf(database):
    """{sku: id} of three products."""
    return {
        sku: database.create_product(stock=4, sku=sku)
        for sku in (new_sku("B"), new_sku("A"), new_sku('"quoted" \\ &=+%;'))
    }


@pytest.mark.quick
def test_in_the_order_asked(read, shelf):
    unknown, first, second, third = new_sku("gone"), *shelf
    reply = products(read, third, unknown, first, third, second)
    assert reply.status == 200
    assert reply.json() == {
        "data": [read.product(shelf[sku]).json() for sku in (third, first, second)],
        "missing": [unknown],
    }
    reply = stocks(read, unknown, second, first)
    assert reply.json() == {
        "data": [
            {"id": shelf[sku], "sku": sku, "stock": 4, "version": 1} for sku in (second, first)
        ],
        "missing": [unknown],
    }
    assert list(reply.json()["data"][0]) == ["id", "sku", "stock", "version"]


@pytest.mark.quick
def test_a_hundred_and_no_more(read, shelf):
    names = list(shelf) + [new_sku() for _ in range(97)]
    body = stocks(read, *names).json()
    assert [entry["sku"] for entry in body["data"]] == names[:3] and body["missing"] == names[3:]
    assert_problem(stocks(read, *names, names[0]), 400, field="skus")


@pytest.mark.quick
@pytest.mark.parametrize(
    "value", ["", ",", "A,", "A,,B", "%20A", "A%20", "%C3%A4", "A%0A", "x" * 65]
)
def test_what_is_no_sku(read, value):
    assert_problem(read.get(f"/api/products?sku={value}"), 400, field="sku")
    assert_problem(read.get(f"/api/stock?skus={value}"), 400, field="skus")


@pytest.mark.quick
@pytest.mark.parametrize("other", ["page=1", "after=0", "limit=5"])
def test_not_together_with_pages(read, other):
    assert_problem(read.get(f"/api/products?sku=A&{other}"), 400, field="sku")
    assert_problem(read.get("/api/stock?skus=A&ids=1"), 400, field="skus")


@pytest.mark.quick
def test_a_known_sku_comes_from_redis(stack, known_redis, shelf):
    """PostgreSQL is asked for a SKU once; an unknown one again and again."""
    reader, sku = stack.reads[0], next(iter(shelf))
    stack.wait_for_relay()
    assert stocks(reader, sku).header("Cache-Status").endswith("detail=db")
    assert stocks(reader, sku).header("Cache-Status").endswith("detail=redis")
    assert stocks(reader, sku, new_sku()).header("Cache-Status").endswith("detail=db")
    assert stack.writes[0].update_stock(shelf[sku], {"delta": 1}).status == 200
    reply = products(reader, sku)
    assert reply.header("Cache-Status").endswith("detail=redis")
    assert (reply.json()["data"][0]["stock"], reply.json()["missing"]) == (5, [])


@pytest.mark.quick
def test_a_sku_goes_over_to_a_new_product(stack, database):
    """At each step both readers say what the step before left, whichever product they know."""
    sku, ids = new_sku(), []
    for step in range(4):
        for reader in stack.reads:
            assert products(reader, sku).json() == {"data": [], "missing": [sku]}
        ids.append(database.create_product(stock=step, sku=sku))
        for reader in stack.reads:
            (entry,) = stocks(reader, sku).json()["data"]
            assert (entry["id"], entry["stock"]) == (ids[-1], step)
        database.rows("SELECT id FROM delete_product(%s)", ids[-1])
        stack.wait_for_relay()  # a deletion in SQL gets into Redis by the relay alone


@pytest.mark.quick
def test_found_by_all_at_once(stack, database):
    """Right after its creation, which no reader has heard of."""
    for _ in range(5):
        sku = new_sku()
        id = database.create_product(sku=sku)
        found = in_parallel(8, lambda i, sku=sku: stocks(stack.reads[i % 2], sku).json())
        assert [entry["data"][0]["id"] for entry in found] == [id] * 8


def test_without_postgres(stack, shelf):
    """A known SKU goes on being answered from Redis; of an unknown one nobody can tell."""
    reader, sku = stack.reads[0], next(iter(shelf))
    stack.wait_for_relay()
    stocks(reader, sku)
    with stack.stopped("postgres"):
        reply = eventually(
            lambda: (answer := stocks(reader, sku)).status == 200 and answer, "an answer from Redis"
        )
        assert reply.json()["data"][0]["id"] == shelf[sku]
        assert_problem(stocks(reader, new_sku()), 503)
        assert_problem(stocks(reader, sku, new_sku()), 503)
    assert products(reader, sku).json()["data"][0]["sku"] == sku
