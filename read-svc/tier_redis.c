#include "read-svc/tier_redis.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"

#include <stdlib.h>

/* Deadline of one MGET, with the wait for a connection. The store's own timeout for a call is
 * usually shorter. */
#define WORK_MS 2000

_Static_assert(TIER_BATCH_MAX <= PRODUCT_CACHE_BATCH_MAX, "a batch is one call of the cache");

enum series { HIT, MISS, OLD, ERROR, BATCH, SERIES };

static const struct metric_row rows[SERIES] = {
    [HIT] = {&tier_requests_counter, {"redis", "hit"}},
    [MISS] = {&tier_requests_counter, {"redis", "miss"}},
    [OLD] = {&tier_requests_counter, {"redis", "old"}},
    [ERROR] = {&tier_requests_counter, {"redis", "error"}},
    [BATCH] = {&tier_batch_histogram, {"redis"}},
};

struct tier_redis {
    struct tier tier;
    struct product_cache *cache;
    const struct freshness *freshness;
    struct metric *series[SERIES];
};

static void load(struct tier *tier, struct tier_batch *batch);

static void destroy(struct tier *tier)
{
    free(FS_CONTAINER_OF(tier, struct tier_redis, tier));
}

struct tier *tier_redis_create(struct product_cache *cache, const struct freshness *freshness,
                               int workers)
{
    struct tier_redis *redis = fs_calloc(1, sizeof(*redis));

    redis->tier = (struct tier){.workers = workers, .load = load, .destroy = destroy};
    redis->cache = cache;
    redis->freshness = freshness;
    metric_get_rows(rows, SERIES, NULL, redis->series);
    return &redis->tier;
}

/* What a state counts for; `watermark_us` was read before it was asked for. */
static enum series judge(const struct freshness *freshness, struct product *product,
                         int64_t watermark_us, struct tier_answer *answer)
{
    if (product == NULL) {
        return MISS;
    }
    answer->as_of_us = freshness_claim_us(freshness, product, watermark_us);
    if (freshness_age_us(freshness, answer->as_of_us) > freshness->max_staleness_us ||
        versions_know_newer(freshness->versions, product)) {
        answer->spare = product;
        return OLD;
    }
    l1_put(freshness->l1, product);
    answer->product = product;
    return HIT;
}

static void load(struct tier *tier, struct tier_batch *batch)
{
    struct tier_redis *redis = FS_CONTAINER_OF(tier, struct tier_redis, tier);
    struct product *products[TIER_BATCH_MAX];
    uint64_t counts[SERIES] = {0};
    int64_t watermark_us = watermark_get(redis->freshness->watermark);
    enum status status = product_cache_get(redis->cache, batch->ids, batch->count,
                                           clock_after_ms(WORK_MS), products);

    for (size_t i = 0; i < batch->count; i++) {
        batch->answers[i] = (struct tier_answer){.status = status, .source = TIER_REDIS};
        counts[judge(redis->freshness, products[i], watermark_us, &batch->answers[i])]++;
    }
    metric_observe(redis->series[BATCH], (double)batch->count);
    metric_add(redis->series[HIT], counts[HIT]);
    metric_add(redis->series[OLD], counts[OLD]);
    metric_add(redis->series[status == STATUS_OK ? MISS : ERROR], counts[MISS]);
}
