/* The tail: reads the ledger in commit order, and tells the caches of this process what has
 * changed. It is why an answer from memory is never older than it may be (docs/coherence.md).
 *
 * One statement a round reads PostgreSQL's clock, its timeline, and the newest version of each
 * product whose movements the snapshot of the round before did not see
 * (products/ledger.h). Then, in this order:
 *
 *      1. versions_note     a state that comes from elsewhere is judged by these
 *      2. l1_drop_older     an entry that is older goes
 *      3. watermark_move    every commit before that clock reading has been dealt with
 *
 * The tail begins anew, with empty caches, when it cannot know what it missed: another timeline of
 * PostgreSQL, or a clock or a WAL position that went back (a failover, a restored backup: commits
 * may be lost), or more changed products in a round than TAIL_CHANGES_MAX.
 *
 * It also keeps the *mark* of the last round, by which the rows of a PostgreSQL replica are judged:
 * every commit before the mark's moment is in the WAL before the mark's position, so a replica that
 * has replayed the WAL up to there holds it. */
#ifndef FASTSTOCK_READ_SVC_TAIL_H
#define FASTSTOCK_READ_SVC_TAIL_H

#include "read-svc/catalog.h"
#include "read-svc/l1.h"
#include "read-svc/versions.h"
#include "read-svc/watermark.h"

#include "common/products/product.h"
#include "common/stores/pg.h"

#include <stdbool.h>
#include <stdint.h>

/* Their ids and versions are read in a tenth of a second, as long as a round may take. */
#define TAIL_CHANGES_MAX 50000

#define TAIL_LSN_SIZE 24 /* "FFFFFFFF/FFFFFFFF" and NUL */

struct tail_mark {
    char lsn[TAIL_LSN_SIZE];
    struct product_read read; /* as the rows of a replica that has replayed the WAL up to there */
};

/* All are borrowed. */
struct tail_options {
    struct pg_store *database; /* the primary, on a connection that nobody else keeps busy */
    int64_t every_ms;          /* pause between rounds */
    struct watermark *watermark;
    struct versions *versions;
    struct l1 *l1;
    struct catalog *catalog; /* is loaded anew when commits may be lost */
};

struct tail;

/* Starts the thread. */
struct tail *tail_create(const struct tail_options *options);
void tail_destroy(struct tail *tail); /* NULL is fine */

/* The mark of the last round; false before the first one. Thread-safe. */
bool tail_get_mark(struct tail *tail, struct tail_mark *ret_mark);

#endif
