"""Redis as the tests see it: the entries of products, under the epoch of the data."""

import redis

from support.timing import eventually


class Cache:
    def __init__(self, stack):
        self.stack = stack
        self.redis = redis.Redis.from_url(stack.env["REDIS_URL"])

    def key(self, id, kind="p"):
        """The key of a product's entry; the epoch is the beginning of this Redis' replication
        id."""
        epoch = self.redis.info("replication")["master_replid"][:16]
        return f"fs:{epoch}:{kind}:{id}"

    def guard(self, id):
        """The version below which Redis takes no state of this product; 0 when it knows none."""
        return int(self.redis.get(self.key(id, "g")) or 0)

    def has(self, *ids):
        """Are all of these products in Redis?"""
        return self.redis.exists(*[self.key(id) for id in ids]) == len(ids)

    def evict(self, *ids):
        """Takes products out of Redis; returns how many were there."""
        return self.redis.delete(*[self.key(id) for id in ids])

    def make_cold(self, *ids):
        """Makes new products ones that only PostgreSQL has, and of which the relay has nothing more
        to say."""
        self.stack.wait_for_relay()
        # Of any epoch: services learn of a new one within a second.
        found = [key for id in ids for key in self.redis.keys(f"fs:*:[pg]:{id}")]
        if found:
            self.redis.delete(*found)

    def make_warm(self, *ids):
        """Puts new products into Redis, by reading them; the relay has nothing more to say of
        them."""
        self.stack.wait_for_relay()

        def read_all():
            for id in ids:
                self.stack.reads[0].product(id)
            return self.has(*ids)

        eventually(read_all, "the products are in Redis")

    def wait_for_writers(self, database):
        """Until each writer knows this Redis: its first publication after Redis was emptied, or
        started anew, only removes older states."""
        id = database.create_product()
        for writer in self.stack.writes:
            eventually(
                lambda: writer.update_stock(id, {"delta": 0}).status == 200 and self.has(id),
                f"{writer} publishes",
            )
