/* The tier of Redis: one MGET a batch. It answers with what is published there; what it lacks, and
 * everything while Redis is away, is for the next tier. */
#ifndef FASTSTOCK_READ_SVC_TIER_REDIS_H
#define FASTSTOCK_READ_SVC_TIER_REDIS_H

#include "read-svc/tier.h"

#include "common/products/cache.h"

/* `cache` is borrowed. Destroyed by tier_destroy. */
struct tier *tier_redis_create(struct product_cache *cache, int workers);

#endif
