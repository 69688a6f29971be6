"""POST /api/reservations and its ends: units are held, then confirmed, released or expired, and
exactly one of these wins."""

import re
import signal
from datetime import datetime, timedelta
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
    confirm,
    items_of,
    made_id,
    new_key,
    order,
    release,
    reserve,
)
from support.problems import assert_problem
from support.service_process import ServiceProcess
from support.timing import eventually

pytestmark = [pytest.mark.quick, pytest.mark.usefixtures("known_redis")]

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


def reservation(database, id):
    return database.row("SELECT * FROM reservations WHERE id = %s", id)


def status_of(database, id):
    return reservation(database, id)["status"]


def make_due(database, id, overdue_s=0):
    database.rows(
        "UPDATE reservations SET expires_at = clock_timestamp() - make_interval(secs => %s)"
        " WHERE id = %s",
        overdue_s,
        id,
    )


def reserve_id(client, *pairs, **options):
    return made_id(reserve(client, *pairs, **options), "/api/reservations")


# -- holding


def test_a_reservation_holds_its_items(write, stack, database, cache):
    mug, cup = database.create_product(stock=10), database.create_product(stock=3)
    cache.make_warm(mug, cup)
    reply = reserve(write, (cup, 3), (mug, 2), ttl=90)
    id = made_id(reply, "/api/reservations")
    assert (reply.header("Cache-Control"), reply.header("ETag")) == ("no-store", None)
    told = reply.json()
    assert list(told) == ["id", "status", "items", "createdAt", "expiresAt"]
    assert told["status"] == "HELD"
    assert told["items"] == items_of((mug, 2), (cup, 3))
    assert TIME.fullmatch(told["createdAt"]) and TIME.fullmatch(told["expiresAt"])
    lasts = datetime.fromisoformat(told["expiresAt"][:-1]) - datetime.fromisoformat(
        told["createdAt"][:-1]
    )
    assert lasts == timedelta(seconds=90)
    assert_reads(stack, mug, 8, 2)
    assert_reads(stack, cup, 0, 3)
    moved = database.movements(mug)[-1]
    assert (moved["kind"], moved["delta"], moved["reserved_delta"]) == ("reserve", -2, 2)
    assert moved["reservation_id"] == id


def test_how_long_it_holds(write, database):
    product = database.create_product(stock=10)
    for ttl, seconds in ((None, 600), (1, 1), (86400, 86400)):
        row = reservation(database, reserve_id(write, (product, 1), ttl=ttl))
        assert row["expires_at"] - row["created_at"] == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "body, field",
    [
        ({}, "items"),
        ({"productId": 1, "qty": 1}, "productId"),
        ({"items": []}, "items"),
        ({"items": items_of((1, 0))}, "items[0].qty"),
        ({"items": items_of((1, 1), (1, 1))}, "items[1].productId"),
        ({"items": items_of((1, 1)), "ttlSeconds": 0}, "ttlSeconds"),
        ({"items": items_of((1, 1)), "ttlSeconds": 86401}, "ttlSeconds"),
        ({"items": items_of((1, 1)), "ttlSeconds": 1.5}, "ttlSeconds"),
        ({"items": items_of((1, 1)), "ttlSeconds": None}, "ttlSeconds"),
        ({"items": items_of((1, 1)), "ttl": 5}, "ttl"),
    ],
)
def test_a_bad_reservation_names_its_field(write, body, field):
    assert_problem(write.post("/api/reservations", body), 400, "bad-request", field)


def test_a_short_item_refuses_them_all(write, database, cache):
    plenty, short = database.create_product(stock=9), database.create_product(stock=2)
    cache.make_warm(plenty, short)
    state = State(database, cache, plenty, short)
    problem = assert_problem(
        reserve(write, (plenty, 3), (short, 3)), 409, "insufficient-stock"
    )
    assert problem["items"] == [{"productId": short, "qty": 3, "stock": 2}]
    state.assert_unchanged()


def test_an_unknown_product_refuses_them_all(write, database, cache, unknown_id):
    known, unknown = database.create_product(stock=9), unknown_id()
    cache.make_warm(known)
    state = State(database, cache, known)
    problem = assert_problem(reserve(write, (known, 1), (unknown, 1)), 404)
    assert problem["items"] == [{"productId": unknown}]
    state.assert_unchanged()


def test_what_is_held_can_not_be_ordered(write, database):
    product = database.create_product(stock=5)
    id = reserve_id(write, (product, 4))
    problem = assert_problem(order(write, (product, 2)), 409, "insufficient-stock")
    assert problem["items"] == [{"productId": product, "qty": 2, "stock": 1}]
    assert release(write, id).status == 200
    assert order(write, (product, 2)).status == 201


# -- confirming


def test_a_confirmed_reservation_is_an_order(write, stack, database, cache):
    mug, cup = (database.create_product(price=price, stock=10) for price in ("9.99", "0.50"))
    cache.make_warm(mug, cup)
    id = reserve_id(write, (mug, 2), (cup, 3))
    reply = confirm(write, id)
    made = made_id(reply, "/api/orders")
    told = reply.json()
    assert TIME.fullmatch(told.pop("createdAt"))
    assert told == {
        "id": made,
        "status": "CREATED",
        "total": Decimal("21.48"),
        "items": [
            {"productId": mug, "qty": 2, "price": Decimal("9.99")},
            {"productId": cup, "qty": 3, "price": Decimal("0.50")},
        ],
        "reservationId": id,
    }
    assert_reads(stack, mug, 8, 0)
    assert_reads(stack, cup, 7, 0)
    moved = database.movements(cup)[-1]
    assert (moved["kind"], moved["delta"], moved["reserved_delta"]) == ("confirm", 0, -3)
    assert (moved["order_id"], moved["reservation_id"]) == (made, id)
    assert reservation(database, id)["order_id"] == made

    for again in (confirm(write, id), release(write, id)):
        assert_problem(again, 409, "not-held")
    assert cancel(write, made).status == 200
    assert_reads(stack, mug, 10, 0)


# -- releasing


def test_a_released_reservation_puts_its_items_back(write, stack, database, cache):
    mug, cup = database.create_product(stock=5), database.create_product(stock=5)
    cache.make_warm(mug, cup)
    made = reserve(write, (mug, 2), (cup, 5))
    reply = release(write, made.json()["id"])
    assert reply.status == 200 and reply.header("Cache-Control") == "no-store"
    told = reply.json()
    assert TIME.fullmatch(told.pop("endedAt"))
    assert told == {**made.json(), "status": "RELEASED"}
    assert_reads(stack, mug, 5, 0)
    assert_reads(stack, cup, 5, 0)
    for again in (confirm(write, told["id"]), release(write, told["id"])):
        assert_problem(again, 409, "not-held")
    assert [m["kind"] for m in database.movements(mug)] == ["created", "reserve", "release"]


@pytest.mark.parametrize("end", [confirm, release])
def test_which_reservations_can_be_ended(write, unknown_id, end):
    assert_problem(end(write, unknown_id()), 404)
    for id in ("0", "x", "-1", "9223372036854775808"):
        assert_problem(end(write, id), 400, field="id")


@pytest.mark.parametrize("what", ["confirm", "release"])
def test_what_an_end_may_say(write, database, what):
    id = reserve_id(write, (database.create_product(stock=5), 1))
    path = f"/api/reservations/{id}/{what}"
    assert_problem(write.post(path, {"items": []}), 400, field="items")
    assert_problem(write.post(path, []), 400)
    assert status_of(database, id) == "HELD"
    assert write.post(path, {}).status == {"confirm": 201, "release": 200}[what]


# -- expiring


def test_it_expires_by_itself(write, stack, database, cache):
    product = database.create_product(stock=5)
    cache.make_warm(product)
    id = reserve_id(write, (product, 2), ttl=1)
    eventually(lambda: status_of(database, id) == "EXPIRED", "the reservation has expired")
    row = reservation(database, id)
    assert row["ended_at"] >= row["expires_at"]
    eventually(
        lambda: [client.stock(product).json()["stock"] for client in stack.reads] == [5, 5],
        "readers see it",
    )
    for late in (confirm(write, id), release(write, id)):
        assert_problem(late, 409, "reservation-expired")
    assert database.product(product)["stock"] == 5


@pytest.mark.parametrize("end", [confirm, release])
def test_one_that_is_overdue_is_over(stack, database, end):
    """Whether or not a sweeper has been there: PostgreSQL's clock decides."""
    for overdue_s in (0, 1, 3600):
        product = database.create_product(stock=5)
        id = reserve_id(stack.edge, (product, 2))
        make_due(database, id, overdue_s)
        assert_problem(end(stack.edge, id), 409, "reservation-expired")
        eventually(lambda: status_of(database, id) == "EXPIRED", "it is put back")
        assert database.product(product)["stock"] == 5


def test_a_writer_that_is_killed_leaves_no_reservation_behind(stack, database, tmp_path):
    product = database.create_product(stock=500)
    settings = {
        "database": {"url": stack.env["DATABASE_URL"]},
        "redis": {"url": stack.env["REDIS_URL"]},
    }
    with ServiceProcess("write-svc", tmp_path, settings) as doomed:

        def one(i):
            if i == 20:
                doomed.process.send_signal(signal.SIGKILL)
            try:
                reserve(doomed.client, (product, 1 + i % 4), ttl=1)
            except Exception as error:  # the connection broke, in one of several ways
                assert isinstance(error, OSError) or type(error).__module__ == "http.client"

        in_parallel(40, one)
        doomed.process.wait()
    # Of a batch that PostgreSQL was still committing the units may come a moment later.
    eventually(
        lambda: database.product(product)["reserved"] == 0
        and database.product(product)["stock"] == 500,
        "all is put back",
        timeout=20,
    )
    assert_ledger_holds(stack)


# -- keys


def test_a_repeat_holds_nothing_more(write, database):
    product = database.create_product(stock=5)
    headers = new_key()
    first = reserve(write, (product, 2), ttl=60, headers=headers)
    made_id(first, "/api/reservations")
    assert_same(first, reserve(write, (product, 2), ttl=60, headers=headers))
    assert_problem(reserve(write, (product, 2), ttl=61, headers=headers), 422, "key-reused")
    assert database.product(product)["reserved"] == 2


@pytest.mark.parametrize("end", [confirm, release])
def test_an_end_has_a_key_as_well(write, database, end):
    product = database.create_product(stock=5)
    id = reserve_id(write, (product, 2))
    headers, late = new_key(), new_key()
    first = end(write, id, headers)
    assert first.status in (200, 201)
    assert_same(first, end(write, id, headers))
    refused = end(write, id, late)
    assert_problem(refused, 409, "not-held")
    assert_same(refused, end(write, id, late))
    assert len(database.movements(product)) == 3


def test_confirmations_with_one_key_at_one_moment_make_one_order(stack, database):
    product = database.create_product(stock=5)
    id = reserve_id(stack.edge, (product, 2))
    headers = new_key()
    replies = in_parallel(16, lambda i: confirm(stack.writes[i % 2], id, headers))
    last = confirm(stack.edge, id, headers)
    assert last.status == 201
    for reply in replies:
        if reply.status == 201:
            assert reply.json() == last.json()
        else:
            assert_problem(reply, 409, "key-in-use")
    assert database.product(product)["stock"] == 3


# -- races


def test_one_end_wins(stack, database):
    """Each reservation is confirmed, released and expired at one moment, by many."""
    products = database.create_products(3, stock=100)
    for _ in range(8):
        ids = [
            reserve_id(stack.writes[n % 2], *[(product, 1 + n) for product in products])
            for n in range(3)
        ]

        def end(i):
            id, writer = ids[i % 3], stack.writes[i % 2]
            if i % 7 == 6:
                make_due(database.__class__(database.url), id)
                return None
            return (confirm if i % 4 < 2 else release)(writer, id)

        replies = all_at_once(21, lambda i: end(i) or Pushed)
        for number, id in enumerate(ids):
            eventually(lambda: status_of(database, id) != "HELD", "it has ended")
            row = reservation(database, id)
            statuses = [reply.status for reply in replies[number::3] if reply is not Pushed]
            won = [status for status in statuses if status < 300]
            assert set(statuses) - set(won) <= {409}
            assert won == {"CONFIRMED": [201], "RELEASED": [200], "EXPIRED": []}[row["status"]]
            assert (row["order_id"] is not None) == (row["status"] == "CONFIRMED")
    for product in products:
        sold = database.row(
            "SELECT coalesce(sum(qty), 0) AS sold FROM order_items WHERE product_id = %s", product
        )["sold"]
        shown = database.product(product)
        assert (shown["stock"], shown["reserved"]) == (100 - sold, 0)
    assert_ledger_holds(stack)


class Pushed:
    """Stands for an answer where none was asked for."""

    status, body = None, b""


def test_carts_of_many(stack, database):
    """Carts of two products are filled, and confirmed, released or left alone."""
    products = database.create_products(5, stock=60)

    def cart(i):
        chosen = [products[i % 5], products[(i + 1 + i % 3) % 5]]
        writer = stack.writes[i % 2]
        reply = reserve(writer, *[(product, 1 + i % 2) for product in chosen], ttl=1 + i % 3)
        if reply.status == 201 and i % 4 < 3:
            id = reply.json()["id"]
            ended = (confirm if i % 4 < 2 else release)(writer, id)
            assert ended.status in (200, 201, 409), ended
        return reply

    replies = all_at_once(48, cart)
    assert {reply.status for reply in replies} <= {201, 409}
    eventually(
        lambda: {database.product(product)["reserved"] for product in products} == {0},
        "no cart is left",
    )
    assert_ledger_holds(stack)
