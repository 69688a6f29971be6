"""Redis as the tests see it: the entries of products, under the epoch of the data."""

import redis

from support.timing import eventually


class Cache:
    def __init__(self, stack):
        self.stack = stack
        self.redis = redis.Redis.from_url(stack.env["REDIS_URL"])

    def key(self, id):
        """The key of a product's entry; the epoch is the beginning of this Redis' replication id."""
        epoch = self.redis.info("replication")["master_replid"][:16]
        return f"fs:{epoch}:p:{id}"

    def has(self, *ids):
        """Are all of these products in Redis?"""
        return self.redis.exists(*[self.key(id) for id in ids]) == len(ids)

    def evict(self, *ids):
        """Takes products out of Redis; returns how many were there."""
        return self.redis.delete(*[self.key(id) for id in ids])

    def make_cold(self, *ids):
        """Makes new products ones that only PostgreSQL has: waits until the relay is done with them, and takes them out of Redis."""
        found = lambda: [self.redis.keys(f"fs:*:p:{id}") for id in ids]  # of any epoch: the services learn of a new one within a second
        eventually(lambda: all(found()), "the relay has published the new products")
        self.stack.wait_for_relay()
        self.redis.delete(*[key for keys in found() for key in keys])
