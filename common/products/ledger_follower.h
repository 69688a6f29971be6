/* Following the ledger: the common part of read-svc's catalogue and write-svc's relay.
 *
 * A follower reads by *spans*: the movements that one snapshot did not see and a later one did
 * (ledger.h tells why snapshots).
 *
 *      snapshots:      A          B          C          now
 *      spans:          |--A to B--|--B to C--|--C, no end
 *
 * A statement that reads a span also returns its own snapshot, of the same moment. Once everything
 * that it returned has been dealt with, the next span begins at that snapshot. When it has not (a
 * store did not answer), the follower keeps the span and asks again. So no movement is missed, and
 * some may come twice, which its work on a movement must bear.
 *
 * A follower that knows nothing yet takes a snapshot first and only then reads the state as it is:
 * a change between the two then comes twice, and is not missed.
 *
 * A span may be read in pages, in the order of LEDGER_ORDER, each behind the last movement of the
 * page before (LEDGER_BEHIND).
 *
 * Both structs are for one thread at a time. */
#ifndef FASTSTOCK_COMMON_PRODUCTS_LEDGER_FOLLOWER_H
#define FASTSTOCK_COMMON_PRODUCTS_LEDGER_FOLLOWER_H

#include "common/stores/pg.h"

#include <stdbool.h>
#include <stdint.h>

/* A place in the ledger: behind this movement. */
struct ledger_position {
    uint64_t xid;
    int64_t product_id;
    int64_t version;
};

struct ledger_span {
    char *seen; /* movements that this snapshot sees are of an earlier span; owned; NULL: no span */
    char *until; /* those that this one does not see are of a later span; owned; NULL: no end */
    struct ledger_position after; /* behind the pages that were read */
};

#define LEDGER_SPAN_NONE ((struct ledger_span){.seen = NULL})

/* The span between two snapshots, of which the second may be NULL; both are copied. */
void ledger_span_init(struct ledger_span *span, const char *seen, const char *until);

/* It is no span then; LEDGER_SPAN_NONE is fine. */
void ledger_span_finish(struct ledger_span *span);

bool ledger_span_is_none(const struct ledger_span *span);

/* All of the span has been dealt with, up to `snapshot`: it becomes the one that follows, which has
 * no end. The snapshot may be one of the span's own. */
void ledger_span_move_on(struct ledger_span *span, const char *snapshot);

/* What asks PostgreSQL. */
struct ledger_follower {
    const char *name;          /* for logs; borrowed */
    struct pg_store *database; /* borrowed */
    int64_t deadline_ms;       /* of one statement, with the wait for a connection */
    bool is_connected;         /* PostgreSQL answered the last one, be it with an error */
};

/* Runs one statement; on true the result is the caller's (pg_result_free). On false PostgreSQL is
 * away, or refused the statement; then the log says so. */
bool ledger_follower_ask(struct ledger_follower *follower, const char *sql,
                         const char *const *params, int count, struct pg_result **ret_result);

/* A snapshot of now, to begin at; the caller frees it. Read the state after it, not before. */
bool ledger_follower_snapshot(struct ledger_follower *follower, char **ret_snapshot);

#endif
