/* The read path in one page: from where a request gets its products.
 *
 *      products_read --> L1 --> catalogue --> flights --> tier_redis --> tier_database
 *                                (what is not there)
 *
 * L1 and the catalogue go before the flights, not among their tiers: an answer from there costs
 * neither a lock of theirs nor a thread. Which answers count is told by the freshness rule
 * (freshness.h), and by the wish of the request. All functions are thread-safe. */
#ifndef FASTSTOCK_READ_SVC_PRODUCTS_READ_H
#define FASTSTOCK_READ_SVC_PRODUCTS_READ_H

#include "read-svc/catalog.h"
#include "read-svc/flights.h"
#include "read-svc/freshness.h"
#include "read-svc/tail.h"

#include "common/http/cache_control.h"
#include "common/products/cache.h"
#include "common/stores/pg.h"

#include <stdbool.h>

/* All are borrowed. */
struct products_read_options {
    const struct freshness *freshness;
    struct tail *tail;
    struct catalog *catalog;
    struct product_cache *cache; /* NULL: no Redis */
    struct pg_store *database;
    struct pg_store *replica; /* NULL: none */
    int cache_workers;
    int database_workers;
    int64_t database_timeout_ms;
};

struct products_read;

/* Starts the threads that ask the stores. */
struct products_read *products_read_create(const struct products_read_options *options);

/* No products_read_load may be under way. NULL is fine. */
void products_read_destroy(struct products_read *read);

/* What a request wants of its answer, besides Min-Version, which stands in its items. */
struct read_wish {
    int64_t age_max_us; /* of an answer */
    bool is_past_l1;    /* it must have been published since the request came, or read */
    bool is_cached;     /* from L1 or the catalogue, or not at all */
};

/* In the words of HTTP; by default an answer may be max_staleness_us old. */
struct read_wish products_read_wish(const struct products_read *read,
                                    const struct http_cache_control *control);

/* Sets product, status, source and as_of_us of each item; they come without products. Waits for
 * all, or until the deadline. The caller releases the products. STATUS_FAILED with is_cached: it is
 * not in the memory of this process. */
void products_read_load(struct products_read *read, const struct read_wish *wish,
                        struct flights_item *items, size_t count, int64_t deadline_us);

/* An answer of L1, between l1_enter and l1_leave; see l1_find. */
struct read_hit {
    struct l1_found found;
    int64_t as_of_us;
    int64_t age_us;
    bool is_stale; /* older than max_staleness_us, or than the wish because PostgreSQL is away */
};

/* The answer that L1 has, if it is good enough; false also when the wish goes past L1. */
bool products_read_hit(struct products_read *read, const struct read_wish *wish, int64_t id,
                       int64_t min_version, struct read_hit *ret_hit);

/* The products of a list, between l1_enter and l1_leave, when L1 has all of them as fresh as
 * max_staleness_us and the wish want. The oldest may be *ret_age_us old. */
bool products_read_hits(struct products_read *read, const struct read_wish *wish,
                        const int64_t *ids, size_t count, const struct product **ret_products,
                        int64_t *ret_age_us);

#endif
