/* A tier: a place that products are loaded from, asked for a batch at a time. Flights (flights.h)
 * ask the tiers one after the other; a tier knows nothing of flights, and flights know no store.
 *
 *      flights --batch--> tier_redis --misses--> tier_database
 *
 * A tier counts a batch before it returns, so that a client that has its answer finds it counted.
 */
#ifndef FASTSTOCK_READ_SVC_TIER_H
#define FASTSTOCK_READ_SVC_TIER_H

#include "common/base/metrics.h"
#include "common/base/status.h"
#include "common/products/product.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Products in one batch: as many as fit into one call of Redis (products/cache.h). */
#define TIER_BATCH_MAX 256

/* Where an answer came from, the best first. */
enum tier_source {
    TIER_L1,
    TIER_CATALOG, /* there is no such product */
    TIER_REDIS,
    TIER_DATABASE,
    TIER_STALE, /* it is older than it should be, because PostgreSQL does not answer */
};

struct tier_answer {
    struct product *product; /* a reference of the asker's; NULL: not answered */
    enum status status;      /* without a product: why; STATUS_OK: this tier does not have it */
    enum tier_source source;
    int64_t as_of_us; /* it holds every change that was committed before (freshness.h) */
    bool is_latest;   /* no other store can have a newer state: it is the primary's own */
    /* Without a product: one that is too old, for when no other tier has any; a reference of the
     * asker's, or NULL. as_of_us is of it then. */
    struct product *spare;
};

struct tier_batch {
    size_t count; /* from 1 to TIER_BATCH_MAX */
    int64_t ids[TIER_BATCH_MAX];
    int64_t min_versions[TIER_BATCH_MAX]; /* only a tier with replicas heeds it; 0: any will do */
    struct tier_answer answers[TIER_BATCH_MAX];
};

struct tier {
    int workers; /* batches that may be asked for at the same time, each on a thread of its own */

    /* Sets the first `count` answers; they come without products. A tier bounds its time itself,
     * because the requests that wait for a batch have deadlines of their own. */
    void (*load)(struct tier *tier, struct tier_batch *batch);
    void (*destroy)(struct tier *tier);
};

void tier_destroy(struct tier *tier); /* NULL is fine */

/* What tiers count. */
extern struct metric_family tier_requests_counter; /* labels: tier, result */
extern struct metric_family tier_batch_histogram;  /* label: tier */

#endif
