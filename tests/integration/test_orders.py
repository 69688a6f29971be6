"""POST /api/orders and /api/orders/{id}/cancel: all or nothing, once for each key, and put back
once."""

import re
import signal
from decimal import Decimal

import pytest

from support.http_client import in_parallel
from support.ledger import assert_ledger_holds
from support.orders import (
    State,
    all_at_once,
    assert_reads,
    assert_same,
    cancel,
    items_of,
    made_id,
    new_key,
    order,
)
from support.problems import assert_problem
from support.service_process import ServiceProcess

pytestmark = [pytest.mark.quick, pytest.mark.usefixtures("known_redis")]

QTY_MAX = 2**53 - 1
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


# -- making


def test_an_order_takes_its_items(write, stack, database, cache):
    mug = database.create_product(price="9.99", stock=10)
    cup = database.create_product(price="0.50", stock=3)
    cache.make_warm(mug, cup)
    reply = order(write, (cup, 3), (mug, 2))
    id = made_id(reply, "/api/orders")
    assert (reply.header("Cache-Control"), reply.header("ETag")) == ("no-store", None)
    told = reply.json()
    assert list(told) == ["id", "status", "total", "items", "createdAt"]
    assert (told["status"], told["total"]) == ("CREATED", Decimal("21.48"))
    assert b'"total":21.48,' in reply.body and b'"price":0.50}' in reply.body
    assert told["items"] == [
        {"productId": mug, "qty": 2, "price": Decimal("9.99")},
        {"productId": cup, "qty": 3, "price": Decimal("0.50")},
    ]
    assert TIME.fullmatch(told["createdAt"])
    assert_reads(stack, mug, 8, 0)
    assert_reads(stack, cup, 0, 0)
    moved = database.movements(mug)[-1]
    assert (moved["kind"], moved["delta"], moved["order_id"]) == ("order", -2, id)
    assert database.row("SELECT total FROM orders WHERE id = %s", id)["total"] == Decimal("21.48")


def test_one_item_may_stand_alone(write, database):
    id = database.create_product(price="2.00", stock=5)
    reply = write.post("/api/orders", {"productId": id, "qty": 2})
    made_id(reply, "/api/orders")
    assert reply.json()["items"] == [{"productId": id, "qty": 2, "price": Decimal("2.00")}]
    assert database.product(id)["stock"] == 3


def test_the_price_of_the_order_stays(stack, database):
    id = database.create_product(price="2.00", stock=5)
    made = made_id(order(stack.writes[0], (id, 2)), "/api/orders")
    database.rows("SELECT edit_product(%s, 'dearer', 3.00)", id)
    reply = cancel(stack.writes[1], made)
    assert reply.json()["total"] == Decimal("4.00")
    assert reply.json()["items"][0]["price"] == Decimal("2.00")


def test_a_hundred_items(write, database):
    ids = database.create_products(100, stock=2)
    assert order(write, *[(id, 1) for id in reversed(ids)]).status == 201
    assert {database.product(id)["stock"] for id in ids} == {1}
    assert_problem(
        order(write, *[(id, 1) for id in ids], (ids[0], 1)), 400, "bad-request", "items"
    )


@pytest.mark.parametrize("price, qty", [("9999999999.99", QTY_MAX), ("0.01", QTY_MAX)])
def test_a_total_of_any_size_has_an_answer(write, database, price, qty):
    id = database.create_product(price=price, stock=qty)
    reply = order(write, (id, qty))
    if reply.status == 201:
        assert reply.json()["total"] == Decimal(price) * qty
        assert database.product(id)["stock"] == 0
    else:
        assert_problem(reply, 409, "out-of-range")
        assert database.product(id)["stock"] == qty


# -- refusals


BAD_BODIES = {
    "nothing": ({}, "items"),
    "no items": ({"items": []}, "items"),
    "an object": ({"items": {"productId": 1, "qty": 1}}, "items"),
    "a number": ({"items": [1]}, "items[0]"),
    "no product": ({"items": [{"qty": 1}]}, "items[0].productId"),
    "no quantity": ({"items": [{"productId": 1, "qty": 1}, {"productId": 2}]}, "items[1].qty"),
    "product 0": ({"items": items_of((0, 1))}, "items[0].productId"),
    "a text": ({"items": [{"productId": "1", "qty": 1}]}, "items[0].productId"),
    "none of it": ({"items": items_of((1, 0))}, "items[0].qty"),
    "fewer than none": ({"items": items_of((1, -1))}, "items[0].qty"),
    "too many": ({"items": items_of((1, QTY_MAX + 1))}, "items[0].qty"),
    "a part": ({"items": items_of((1, 1.5))}, "items[0].qty"),
    "an unknown field": (
        {"items": [{"productId": 1, "qty": 1, "price": 1}]}, "items[0].price"
    ),
    "an unknown field of the order": ({"items": items_of((1, 1)), "note": "x"}, "note"),
    "a product twice": ({"items": items_of((1, 1), (2, 1), (1, 3))}, "items[2].productId"),
    "both forms": ({"items": items_of((1, 1)), "productId": 1, "qty": 1}, "items"),
    "half of one item": ({"productId": 1}, "qty"),
    "the other half": ({"qty": 1}, "productId"),
}


@pytest.mark.parametrize("case", BAD_BODIES)
def test_a_bad_order_names_its_field(write, case):
    body, field = BAD_BODIES[case]
    assert_problem(write.post("/api/orders", body), 400, "bad-request", field)


def test_a_short_item_refuses_them_all(write, database, cache):
    plenty, short, none = (database.create_product(stock=stock) for stock in (9, 2, 0))
    cache.make_warm(plenty, short, none)
    state = State(database, cache, plenty, short, none)
    problem = assert_problem(
        order(write, (none, 1), (plenty, 3), (short, 3)), 409, "insufficient-stock"
    )
    assert problem["items"] == [
        {"productId": short, "qty": 3, "stock": 2},
        {"productId": none, "qty": 1, "stock": 0},
    ]
    state.assert_unchanged()


def test_an_unknown_product_refuses_them_all(write, database, cache, unknown_id):
    known, deleted = database.create_product(stock=9), database.create_product(stock=9)
    database.rows("SELECT delete_product(%s)", deleted)
    unknown = unknown_id()
    cache.make_warm(known)
    state = State(database, cache, known)
    problem = assert_problem(order(write, (unknown, 1), (known, 1), (deleted, 2)), 404)
    assert problem["items"] == [{"productId": deleted}, {"productId": unknown}]
    state.assert_unchanged()


# -- cancelling


def test_a_cancelled_order_puts_its_items_back(write, stack, database, cache):
    one, other = database.create_product(stock=5), database.create_product(stock=5)
    cache.make_warm(one, other)
    made = order(write, (one, 2), (other, 5))
    reply = cancel(write, made.json()["id"])
    assert reply.status == 200 and reply.header("Cache-Control") == "no-store"
    told = reply.json()
    assert TIME.fullmatch(told.pop("cancelledAt"))
    assert told.pop("status") == "CANCELLED"
    assert told == {name: value for name, value in made.json().items() if name != "status"}
    assert_reads(stack, one, 5, 0)
    assert_reads(stack, other, 5, 0)
    assert [m["kind"] for m in database.movements(one)] == ["created", "order", "cancel"]
    assert_problem(cancel(write, made.json()["id"]), 409, "order-cancelled")
    assert database.product(one)["stock"] == 5


def test_a_deleted_product_takes_nothing_back(write, database):
    stays, goes = database.create_product(stock=5), database.create_product(stock=5)
    id = made_id(order(write, (stays, 1), (goes, 2)), "/api/orders")
    database.rows("SELECT delete_product(%s)", goes)
    assert cancel(write, id).status == 200
    assert database.product(stays)["stock"] == 5
    assert database.product(goes)["stock"] == 3


def test_which_orders_can_be_cancelled(write, unknown_id):
    assert_problem(cancel(write, unknown_id()), 404)
    for id in ("0", "x", "-1", "9223372036854775808"):
        assert_problem(cancel(write, id), 400, field="id")


@pytest.mark.parametrize("body, status", [
    (None, 200), ({}, 200), ({"reason": "x"}, 400), ([], 400), (b"{", 400),
])
def test_what_a_cancellation_may_say(write, database, body, status):
    id = made_id(order(write, (database.create_product(stock=1), 1)), "/api/orders")
    headers = {"Content-Type": "application/json"} if isinstance(body, bytes) else None
    reply = write.post(f"/api/orders/{id}/cancel", body, headers)
    assert reply.status == status, reply


# -- keys


def test_a_repeat_makes_no_second_order(write, database):
    id = database.create_product(stock=5)
    headers = new_key()
    first = order(write, (id, 2), headers=headers)
    made_id(first, "/api/orders")
    assert_same(first, order(write, (id, 2), headers=headers))
    assert database.product(id)["stock"] == 3


def test_a_refusal_is_kept_too(write, database):
    id, unknown = database.create_product(stock=1), 9 * 10**18
    short, missing = new_key(), new_key()
    first = order(write, (id, 2), headers=short)
    assert_problem(first, 409, "insufficient-stock")
    other = order(write, (unknown, 2), headers=missing)
    assert_problem(other, 404)
    write.update_stock(id, {"stock": 10})
    assert_same(first, order(write, (id, 2), headers=short))
    assert_same(other, order(write, (unknown, 2), headers=missing))
    assert database.product(id)["stock"] == 10


def test_another_order_under_the_key_is_refused(write, database):
    id = database.create_product(stock=5)
    headers = new_key()
    made = made_id(order(write, (id, 2), headers=headers), "/api/orders")
    assert_problem(order(write, (id, 1), headers=headers), 422, "key-reused")
    assert_problem(cancel(write, made, headers), 422, "key-reused")
    assert database.product(id)["stock"] == 3


def test_a_cancellation_has_a_key_as_well(write, database):
    id = database.create_product(stock=5)
    made = made_id(order(write, (id, 2)), "/api/orders")
    headers = new_key()
    first = cancel(write, made, headers)
    assert first.status == 200
    assert_same(first, cancel(write, made, headers))
    assert_problem(cancel(write, made), 409, "order-cancelled")
    assert database.product(id)["stock"] == 5


def test_repeats_at_one_moment_make_one_order(stack, database):
    id = database.create_product(stock=50)
    headers = new_key()
    replies = in_parallel(20, lambda i: order(stack.writes[i % 2], (id, 2), headers=headers))
    for reply in replies:
        if reply.status != 201:
            assert_problem(reply, 409, "key-in-use")
            assert reply.header("Retry-After") == "1"
    made = {reply.json()["id"] for reply in replies if reply.status == 201}
    last = order(stack.edge, (id, 2), headers=headers)
    assert last.header("Idempotency-Replayed") == "true"
    assert made | {last.json()["id"]} == {last.json()["id"]}
    assert database.product(id)["stock"] == 48
    assert len(database.movements(id)) == 2


# -- races


def test_no_unit_is_sold_twice(stack, database):
    id = database.create_product(stock=25)
    replies = all_at_once(60, lambda i: order(stack.writes[i % 2], (id, 1)))
    for reply in replies:
        if reply.status != 201:
            assert_problem(reply, 409, "insufficient-stock")
    assert sum(reply.status == 201 for reply in replies) == 25
    assert database.product(id)["stock"] == 0
    assert_ledger_holds(stack)


def test_orders_of_the_same_products_do_not_block_each_other(stack, database):
    """Each names them in another order; a few are refused for lack of stock, none for a lock."""
    ids = database.create_products(6, stock=40)

    def one(i):
        turned = ids[i % 6:] + ids[:i % 6]
        return order(stack.writes[i % 2], *[(id, 1 + i % 2) for id in turned[: 3 + i % 4]])

    replies = all_at_once(48, one)
    assert {reply.status for reply in replies} <= {201, 409}
    taken = dict.fromkeys(ids, 0)
    for reply in replies:
        if reply.status == 201:
            for item in reply.json()["items"]:
                taken[item["productId"]] += item["qty"]
        else:
            assert_problem(reply, 409, "insufficient-stock")
    assert {id: 40 - database.product(id)["stock"] for id in ids} == taken
    assert_ledger_holds(stack)


def test_an_order_is_cancelled_once(stack, database):
    id = database.create_product(stock=7)
    made = made_id(order(stack.edge, (id, 3)), "/api/orders")
    replies = all_at_once(16, lambda i: cancel(stack.writes[i % 2], made))
    assert sorted(reply.status for reply in replies) == [200] + [409] * 15
    assert database.product(id)["stock"] == 7
    assert [m["kind"] for m in database.movements(id)] == ["created", "order", "cancel"]


def test_a_writer_that_is_killed_makes_each_order_once(stack, database, tmp_path):
    """Requests with keys run into a kill -9; each is repeated at another writer."""
    ids = database.create_products(3, stock=1000)
    settings = {
        "database": {"url": stack.env["DATABASE_URL"]},
        "redis": {"url": stack.env["REDIS_URL"]},
    }
    keys = [new_key() for _ in range(60)]
    wanted = [[(id, 1 + i % 3) for id in ids[: 1 + i % 3]] for i in range(60)]
    with ServiceProcess("write-svc", tmp_path, settings) as doomed:

        def one(i):
            if i == 30:
                doomed.process.send_signal(signal.SIGKILL)
            try:
                return order(doomed.client, *wanted[i], headers=keys[i])
            except OSError:
                return None
            except Exception as error:  # http.client's own, for an answer that was cut off
                assert type(error).__module__ == "http.client", error

        first = in_parallel(60, one)
        doomed.process.wait()
    again = all_at_once(60, lambda i: order(stack.writes[i % 2], *wanted[i], headers=keys[i]))
    assert {reply.status for reply in again} == {201}
    for before, after in zip(first, again):
        if before is not None and before.status == 201:
            assert after.header("Idempotency-Replayed") == "true"
            assert after.json() == before.json()
    assert len({reply.json()["id"] for reply in again}) == 60
    for id in ids:
        sold = sum(qty for items in wanted for product, qty in items if product == id)
        assert database.product(id)["stock"] == 1000 - sold
    assert_ledger_holds(stack)
