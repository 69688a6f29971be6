/* The catalogue: which products there are, as sorted ids in memory (8 bytes each), so that a page
 * at any depth is a slice.
 *
 * A thread loads it and then follows the ledger: each round reads the movements that created or
 * deleted a product and that the snapshot of the round before did not see
 * (products/ledger_follower.h). A round comes earlier when the change stream hints at such a
 * movement, or a request waits for it.
 *
 * Before the catalogue is loaded, or when it is larger than products_max, pages come from
 * PostgreSQL. Once such a page tells that nine tenths of products_max are not reached any more, the
 * catalogue is loaded again. All functions are thread-safe. */
#ifndef FASTSTOCK_READ_SVC_CATALOG_H
#define FASTSTOCK_READ_SVC_CATALOG_H

#include "common/base/status.h"
#include "common/stores/pg.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CATALOG_PAGE_MAX 100
#define CATALOG_NEW_IDS 10000 /* more than an import creates in a round */

#define CATALOG_AT_ONCE 0 /* for a deadline */
#define CATALOG_CATCH_UP_MS 500

struct catalog;

struct catalog_page {
    int64_t ids[CATALOG_PAGE_MAX];
    size_t count;
    int64_t total;    /* products in all; of catalog_page only */
    bool more;        /* products follow; of catalog_after only */
    int64_t as_of_us; /* every change that was committed before (monotonic) is in it */
};

/* Starts the thread. `database` is borrowed, and must be the primary. */
struct catalog *catalog_create(struct pg_store *database, int64_t refresh_ms, int64_t products_max);
void catalog_destroy(struct catalog *catalog); /* NULL is fine */

/* `limit` <= CATALOG_PAGE_MAX ids from the offset-th on. Not STATUS_OK only when PostgreSQL had to
 * be asked and did not answer. With CATALOG_AT_ONCE for a deadline it waits neither for PostgreSQL
 * nor for the catalogue's thread: then STATUS_TIMEOUT tells that it would have to. */
enum status catalog_page(struct catalog *catalog, int64_t offset, size_t limit, int64_t deadline_us,
                         struct catalog_page *ret_page);

/* `limit` <= CATALOG_PAGE_MAX ids that are greater than `after`. */
enum status catalog_after(struct catalog *catalog, int64_t after, size_t limit, int64_t deadline_us,
                          struct catalog_page *ret_page);

/* Waits until every change that was committed before the call is in the ids; not at all when they
 * are not in memory, because pages come from PostgreSQL then. All that wait share a round. False:
 * that did not come about by the deadline, nor in CATALOG_CATCH_UP_MS, or PostgreSQL is away. */
bool catalog_catch_up(struct catalog *catalog, int64_t deadline_us);

/* A product may have been created or deleted just now: the next round comes soon. */
void catalog_hint(struct catalog *catalog);

/* Is there no such product? False also when the ids are not in memory, and for the next
 * CATALOG_NEW_IDS behind the last one, because a product that was created a moment ago has one of
 * these. *ret_age_us tells how long ago that was so. */
bool catalog_lacks(struct catalog *catalog, int64_t id, int64_t *ret_age_us);

/* Loads the catalogue anew in the next round, because commits may be lost. */
void catalog_load_anew(struct catalog *catalog);

/* Was it read from PostgreSQL once? */
bool catalog_is_loaded(struct catalog *catalog);

#endif
