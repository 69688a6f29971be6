"""Reads of orders and reservations: as PostgreSQL has them, at once."""

from datetime import timedelta
from decimal import Decimal

import pytest

from support.problems import assert_problem
from support.timing import eventually

pytestmark = pytest.mark.quick


@pytest.fixture
def basket(database):
    """Two products, the later one first: items are listed by product."""
    first = database.create_product(price="12.50", stock=10)
    second = database.create_product(price="0.05", stock=10)
    return {second: 3, first: 2}


def shown(time):
    return time.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def test_an_order(read, database, basket):
    id = database.create_order(basket)
    second, first = basket
    reply = read.get(f"/api/orders/{id}")
    assert reply.status == 200
    assert reply.header("Content-Type") == "application/json"
    assert reply.header("Cache-Status") == "faststock; fwd=miss; detail=db"
    row = database.row("SELECT created_at AT TIME ZONE 'UTC' AS t FROM orders WHERE id = %s", id)
    assert reply.json() == {
        "id": id,
        "status": "CREATED",
        "total": Decimal("25.15"),
        "items": [
            {"productId": first, "qty": 2, "price": Decimal("12.50")},
            {"productId": second, "qty": 3, "price": Decimal("0.05")},
        ],
        "createdAt": shown(row["t"]),
    }
    assert list(reply.json()) == ["id", "status", "total", "items", "createdAt"]
    assert b'"total":25.15,' in reply.body and b'"price":12.50}' in reply.body


def test_a_cancelled_order_from_a_reservation(read, database, basket):
    """No product is changed: these are about what is shown."""
    id = database.create_order(basket)
    reservation = 8 * 10**18 + id
    database.rows(
        "UPDATE orders SET status = 'CANCELLED', cancelled_at = created_at + interval '1 min 1 us',"
        " reservation_id = %s WHERE id = %s",
        reservation,
        id,
    )
    row = database.row(
        "SELECT cancelled_at AT TIME ZONE 'UTC' AS t FROM orders WHERE id = %s", id
    )
    body = read.get(f"/api/orders/{id}").json()
    database.rows(
        "UPDATE orders SET status = 'CREATED', cancelled_at = NULL, reservation_id = NULL"
        " WHERE id = %s",
        id,
    )
    assert body["status"] == "CANCELLED" and body["cancelledAt"] == shown(row["t"])
    assert body["reservationId"] == reservation
    assert list(body)[-3:] == ["createdAt", "cancelledAt", "reservationId"]


def test_a_reservation(read, database, basket):
    id = database.create_reservation(basket, 600)
    second, first = basket
    body = read.get(f"/api/reservations/{id}").json()
    row = database.row(
        "SELECT created_at AT TIME ZONE 'UTC' AS made, expires_at AT TIME ZONE 'UTC' AS until"
        " FROM reservations WHERE id = %s",
        id,
    )
    assert body == {
        "id": id,
        "status": "HELD",
        "items": [{"productId": first, "qty": 2}, {"productId": second, "qty": 3}],
        "createdAt": shown(row["made"]),
        "expiresAt": shown(row["until"]),
    }
    assert row["until"] - row["made"] > timedelta(seconds=590)
    assert list(body) == ["id", "status", "items", "createdAt", "expiresAt"]


@pytest.mark.parametrize("status", ["CONFIRMED", "RELEASED", "EXPIRED"])
def test_a_reservation_that_ended(read, database, status):
    """A row alone: these are about what is shown."""
    order = 77 if status == "CONFIRMED" else None
    id = database.row(
        "INSERT INTO reservations (status, expires_at, ended_at, order_id)"
        " VALUES (%s, clock_timestamp(), '2026-01-02 03:04:05.000001Z', %s) RETURNING id",
        status,
        order,
    )["id"]
    body = read.get(f"/api/reservations/{id}").json()
    assert (body["status"], body["items"]) == (status, [])
    assert body["endedAt"] == "2026-01-02T03:04:05.000001Z"
    assert body.get("orderId") == order and ("orderId" in body) == (order is not None)
    database.rows("DELETE FROM reservations WHERE id = %s", id)


@pytest.mark.parametrize("kind", ["orders", "reservations"])
def test_those_that_never_were(read, unknown_id, kind):
    assert_problem(read.get(f"/api/{kind}/{unknown_id()}"), 404)
    for id in ("0", "-1", "1.0", "x", str(2**63), "01"):
        assert_problem(read.get(f"/api/{kind}/{id}"), 400, field="id")


def test_pages_of_orders(read, database, basket):
    ids = [database.create_order({product: 1}) for product in basket for _ in range(3)]
    after, listed = ids[0] - 1, []
    while after is not None:
        reply = read.get(f"/api/orders?after={after}&limit=4")
        body = reply.json()
        assert reply.status == 200 and body["meta"]["limit"] == 4 and len(body["data"]) <= 4
        listed += body["data"]
        after = body["meta"]["next"]
        assert after is None or after == listed[-1]["id"]
    assert [order["id"] for order in listed if order["id"] in ids] == ids
    assert [order["id"] for order in listed] == sorted(order["id"] for order in listed)
    assert listed[0] == read.get(f"/api/orders/{ids[0]}").json()
    assert len(read.get("/api/orders").json()["data"]) <= 20
    end = read.get(f"/api/orders?after={2**63 - 1}").json()
    assert end == {"data": [], "meta": {"limit": 20, "next": None}}
    assert read.get(f"/api/orders?after={ids[-1] - 1}&limit=1").json()["data"][0]["id"] == ids[-1]


@pytest.mark.parametrize("query", ["", "?after=3&limit=2"])
def test_write_svc_sends_the_list_on(stack, query):
    """An edge that knows paths only takes the list of orders for the making of one."""
    for client in stack.writes:
        reply = client.get(f"/api/orders{query}")
        assert (reply.status, reply.json()) == (307, {"location": f"/api/orders/{query}"})
        assert reply.header("Location") == f"/api/orders/{query}"
        for way in (*stack.reads, stack.edge):
            assert way.get(reply.header("Location")).json() == way.get(f"/api/orders{query}").json()


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "after=-1", "after=x"])
def test_bad_pages(read, query):
    assert_problem(read.get(f"/api/orders?{query}"), 400, field=query.split("=")[0])


def test_without_postgres(stack, database, basket):
    order, reservation = database.create_order(basket), database.create_reservation(basket)
    with stack.stopped("postgres"):
        for path in (f"orders/{order}", "orders", f"reservations/{reservation}"):
            assert_problem(stack.reads[0].get(f"/api/{path}"), 503)
    assert eventually(
        lambda: stack.reads[0].get(f"/api/orders/{order}").status == 200, "orders are read again"
    )
