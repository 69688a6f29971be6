"""Orders and reservations, as the tests ask for them."""

import json
import uuid

from support.http_client import in_parallel, insist


def new_key():
    return {"Idempotency-Key": str(uuid.uuid4())}


def items_of(*pairs):
    return [{"productId": product, "qty": qty} for product, qty in pairs]


def order(client, *pairs, headers=None):
    return client.post("/api/orders", {"items": items_of(*pairs)}, headers)


def cancel(client, id, headers=None):
    return client.post(f"/api/orders/{id}/cancel", None, headers)


def reserve(client, *pairs, ttl=None, headers=None):
    body = {"items": items_of(*pairs)}
    return client.post(
        "/api/reservations", body if ttl is None else {**body, "ttlSeconds": ttl}, headers
    )


def confirm(client, id, headers=None):
    return client.post(f"/api/reservations/{id}/confirm", None, headers)


def release(client, id, headers=None):
    return client.post(f"/api/reservations/{id}/release", None, headers)


def made_id(reply, path):
    """The id of what a 201 has made, which its Location names too."""
    assert reply.status == 201, reply
    id = reply.json()["id"]
    assert reply.header("Location") == f"{path}/{id}", reply
    return id


def assert_same(first, repeat):
    """The repeat of a request with a key: the same answer, and it says that it is one."""
    assert first.header("Idempotency-Replayed") is None
    assert repeat.header("Idempotency-Replayed") == "true", repeat
    assert repeat.status == first.status
    assert repeat.header("Location") == first.header("Location")
    told, again = first.json(), repeat.json()
    if first.status >= 400:
        assert told.pop("instance") != again.pop("instance"), "of the request, not of the answer"
    assert told == again


def all_at_once(count, call):
    """The answers of call(i) for i < count, all sent at one moment, each until it is judged."""
    return in_parallel(count, lambda i: insist(lambda: call(i)))


class State:
    """Everything that a refused request must leave as it is."""

    def __init__(self, database, cache, *products):
        self.database, self.cache, self.products = database, cache, products
        self.before = self._look()

    def _look(self):
        rows = self.database.rows(
            "SELECT id, version, stock, reserved FROM products WHERE id = ANY (%s) ORDER BY id",
            list(self.products),
        )
        return {
            "products": rows,
            "movements": [self.database.movements(id) for id in self.products],
            "items": self.database.rows(
                "SELECT * FROM order_items WHERE product_id = ANY (%s)"
                " ORDER BY order_id, product_id",
                list(self.products),
            ),
            "reserved": self.database.rows(
                "SELECT * FROM reservation_items WHERE product_id = ANY (%s)"
                " ORDER BY reservation_id, product_id",
                list(self.products),
            ),
            "Redis": [self.cache.redis.get(self.cache.key(id)) for id in self.products],
        }

    def assert_unchanged(self):
        assert self._look() == self.before


def assert_reads(stack, id, stock, reserved):
    """Each way to read shows it, right now, by Redis: what was acknowledged was published."""
    for client in (*stack.reads, stack.edge):
        reply = client.product(id)
        shown = reply.json()
        assert (shown["stock"], shown["reserved"]) == (stock, reserved), (client, reply)
        assert "detail=redis" in reply.header("Cache-Status"), reply
        assert client.stock(id).json()["stock"] == stock


def decimals(reply, name):
    """How a number stands in the body, digit by digit."""
    return [
        str(value)
        for value in json.JSONDecoder(
            parse_float=str, object_pairs_hook=lambda pairs: [v for k, v in pairs if k == name]
        ).decode(reply.body.decode())
    ]
