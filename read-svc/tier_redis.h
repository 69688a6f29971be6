/* The tier of Redis: one MGET a batch. It answers with the states that are published there. Its
 * misses, and everything while Redis is away, are for the next tier. */
#ifndef FASTSTOCK_READ_SVC_TIER_REDIS_H
#define FASTSTOCK_READ_SVC_TIER_REDIS_H

#include "read-svc/freshness.h"
#include "read-svc/tier.h"

#include "common/products/cache.h"

/* `cache` is borrowed. Destroyed by tier_destroy. */
struct tier *tier_redis_create(struct product_cache *cache, const struct freshness *freshness,
                               int workers);

#endif
