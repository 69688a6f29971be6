/* The tier of PostgreSQL: one "id = ANY(...)" a batch, and from there into Redis, before the answer
 * is given: a request that has seen a version finds none older in Redis, because the version was
 * put there before the request heard of it.
 *
 *      lease on the ids (Redis) --> replica --> primary --> replica, as stale --> fill (Redis)
 *                                     |            |           |
 *                            has replayed up       |       only when the primary
 *                            to the latest mark    |       does not answer
 *                                                the rest
 *
 * The lease (products/cache.h) costs a second round trip to the same Redis that has just missed.
 * That is a trade: a hit, the common case, does not pay for the keys that guard a fill.
 *
 * A row of a replica counts only if the replica has replayed the WAL up to the latest mark
 * (tail.h) and the row is as new as wanted.
 *
 * A product that cannot be read (its row holds a value that cannot be shown, or is corrupted) makes
 * PostgreSQL refuse the whole statement. Then the batch is asked for in halves, down to that
 * product, which alone fails. The number of such statements is bounded. */
#ifndef FASTSTOCK_READ_SVC_TIER_DATABASE_H
#define FASTSTOCK_READ_SVC_TIER_DATABASE_H

#include "read-svc/freshness.h"
#include "read-svc/tail.h"
#include "read-svc/tier.h"

#include "common/products/cache.h"
#include "common/stores/pg.h"

/* All are borrowed. */
struct tier_database_options {
    struct product_cache *cache; /* to fill; NULL: none */
    struct pg_store *primary;
    struct pg_store *replica; /* NULL: none */
    const struct freshness *freshness;
    struct tail *tail;  /* its mark judges the rows of the replica */
    int64_t timeout_ms; /* of a statement; as long again a worker waits for a connection */
    int workers;
};

/* Destroyed by tier_destroy. */
struct tier *tier_database_create(const struct tier_database_options *options);

#endif
