/* The read path in one page: from where a request gets its products.
 *
 *      products_read --> flights --> tier_redis --> tier_database
 *
 * A cache in memory (L1) goes before the flights, not among their tiers: a hit there costs neither
 * a lock of theirs nor a thread. All functions are thread-safe. */
#ifndef FASTSTOCK_READ_SVC_PRODUCTS_READ_H
#define FASTSTOCK_READ_SVC_PRODUCTS_READ_H

#include "read-svc/flights.h"

#include "common/products/cache.h"
#include "common/stores/pg.h"

/* All are borrowed. */
struct products_read_options {
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

/* Sets product, status and source of each item; they come without products. Waits for all, or until
 * the deadline. The caller releases the products. */
void products_read_load(struct products_read *read, struct flights_item *items, size_t count,
                        int64_t deadline_us);

#endif
