"""Redis as the tests see it: the entries of products, under the epoch of the data."""

import redis

from support.timing import eventually


class Cache:
    def __init__(self, url):
        self.redis = redis.Redis.from_url(url)

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
        """Makes new products ones that only PostgreSQL has: waits until the relay has put them into Redis, and takes them out."""
        found = lambda: [self.redis.keys(f"fs:*:p:{id}") for id in ids]  # of any epoch: the services learn of a new one within a second
        eventually(lambda: all(found()), "the relay has published the new products")
        self.redis.delete(*[key for keys in found() for key in keys])
