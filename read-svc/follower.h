/* Follows the change stream: a thread that hands each state which a write-svc publishes to L1, a
 * millisecond or so after its commit. So a product that changes all the time stays a hit.
 *
 * It is only a hint. What the stream misses, the tail finds in the ledger; so nothing is done about
 * a gap but telling it. */
#ifndef FASTSTOCK_READ_SVC_FOLLOWER_H
#define FASTSTOCK_READ_SVC_FOLLOWER_H

#include "common/products/cache.h"

#include <stdbool.h>
#include <stdint.h>

struct follower_options {
    struct product_cache *cache; /* borrowed; NULL: there is no stream, and nothing is done */
    void *context;
    /* A state, in the order of the stream. True: it took the place of an older one. The reference
     * stays the follower's. */
    bool (*apply)(void *context, struct product *product);
    /* Changes may have been missed; for metrics and logs, may be NULL. */
    void (*lost)(void *context, const char *reason);
    /* How long ago that was by PostgreSQL's clock (watermark_age_us); NULL: the time from the
     * reading of a row to its application is not measured. */
    int64_t (*age_us)(void *context, int64_t read_us);
};

struct follower;

/* The three functions are called by its thread alone. */
struct follower *follower_create(const struct follower_options *options);

/* Waits for a step of the stream: 200 ms, unless Redis takes its time. NULL is fine. */
void follower_destroy(struct follower *follower);

#endif
