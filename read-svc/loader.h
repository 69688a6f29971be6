/* The loader: brings products from Redis, and those it does not have from PostgreSQL, whose rows it
 * then puts into Redis.
 *
 * Loads of all requests are gathered. A product that is wanted is a *flight*; while workers are
 * busy, flights wait in a queue, and a worker that comes back takes all that wait as one batch:
 *
 *      wanted --> [redis queue] --MGET--> found: done
 *                                  '----> [db queue] --id = ANY(...)--> --set-if-newer--> Redis -->
 * done
 *
 * Many requests for one product share its flight (single flight). Yet a request must see what was
 * committed before it came: it joins a flight only until a store is asked for it. Later ones share
 * the *next* flight of the product, which starts when this one is over and Redis is filled; so
 * however many ask for a product, one load is under way, and one more waits. Who wants a newer
 * state than was found goes on to PostgreSQL, in a flight that only his like share. What nobody
 * waits for any more is not asked for.
 *
 * All functions are thread-safe. A cache in front of the loader calls it for what it does not
 * have. */
#ifndef FASTSTOCK_READ_SVC_LOADER_H
#define FASTSTOCK_READ_SVC_LOADER_H

#include "read-svc/catalog.h"

#include "common/base/status.h"
#include "common/products/cache.h"
#include "common/products/product.h"
#include "common/stores/pg.h"

#include <stddef.h>
#include <stdint.h>

/* Where a product came from. */
enum load_tier {
    LOAD_REDIS,
    LOAD_DATABASE,
    LOAD_STALE, /* of a replica that may be behind, while the primary does not answer */
};

/* One wanted product and, after loader_load, what was found. */
struct load_item {
    int64_t id;
    int64_t min_version; /* an older tier is passed over, for this request alone; 0: any will do */
    enum status status;
    struct product *product; /* on STATUS_OK: a reference of the caller's, never NULL; it may be
                                missing or deleted */
    enum load_tier tier;
};

struct loader;

struct loader_options {
    struct product_cache *cache; /* NULL: no Redis */
    struct pg_store *database;
    struct pg_store *replica; /* NULL: none */
    struct catalog *catalog;  /* its marks tell whether a row of the replica counts */
    int cache_workers;
    int database_workers;
    int64_t database_timeout_ms; /* of a statement; as long again a worker waits for a connection */
};

/* Starts the workers. What the options point to is borrowed, and outlives the loader. */
struct loader *loader_create(const struct loader_options *options);

/* No loader_load may be under way. NULL is fine. */
void loader_destroy(struct loader *loader);

/* Sets status, product and, on STATUS_OK, tier of each item; waits for all, or until the deadline.
 * The caller releases the products. */
void loader_load(struct loader *loader, struct load_item *items, size_t count, int64_t deadline_us);

#endif
