"""Redis as the tests see it: the entries of a product, whatever the epoch."""

import redis


class Cache:
    def __init__(self, url):
        self.redis = redis.Redis.from_url(url)

    def keys_of(self, id):
        """The keys of a product's entry; those of an earlier epoch are not among them, for Redis was emptied then."""
        return list(self.redis.scan_iter(match=f"fs:*:p:{id}", count=1000))

    def evict(self, *ids):
        """Takes products out of Redis; returns how many entries that were."""
        keys = [key for id in ids for key in self.keys_of(id)]
        return self.redis.delete(*keys) if keys else 0
