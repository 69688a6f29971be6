/* What the relay asks of PostgreSQL: its lock, and the movements of the ledger.
 *
 * Movements are read by spans and pages. A *span* is what one snapshot did not see and a later one
 * did; ledger.h tells why snapshots. A *page* is the next few movements of a span, in the order
 * of the transactions and behind the last movement of the page before, so a page costs the same
 * however long its span is. For one thread. */
#ifndef FASTSTOCK_WRITE_SVC_RELAY_LEDGER_H
#define FASTSTOCK_WRITE_SVC_RELAY_LEDGER_H

#include "common/products/cache.h"
#include "common/stores/pg.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Movements a page: as many as one call of Redis takes. */
#define RELAY_PAGE_MAX PRODUCT_CACHE_DROP_MAX

struct relay_ledger {
    struct pg_store *direct; /* one connection, because the lock belongs to its session; borrowed */
    bool is_connected;       /* it answered the last question */
};

/* A place in the ledger: behind this movement. */
struct relay_position {
    uint64_t xid;
    int64_t product_id;
    int64_t version;
};

struct relay_span {
    char *seen;  /* movements that this snapshot sees are of an earlier span; owned */
    char *until; /* those that this one does not see are of a later span; owned, NULL: no end */
    struct relay_position after; /* behind the pages that were read */
};

/* The span between two snapshots, of which the second may be NULL; both are copied. */
void relay_span_init(struct relay_span *span, const char *seen, const char *until);
void relay_span_finish(struct relay_span *span); /* all NULL is fine */

struct relay_page {
    bool has_lock;              /* else the session was lost, and another process has the lock */
    char *snapshot;             /* with which it was read; owned */
    size_t count;               /* less than RELAY_PAGE_MAX: the span has no more */
    struct relay_position last; /* where the next page begins; as before when count is 0 */
    struct product_version versions[RELAY_PAGE_MAX]; /* in no order of the ids; one id may recur */
};

/* The next page of a span. Each of these functions returns false, with a message logged unless
 * PostgreSQL is merely away, when it got no answer; the outputs are not set then. */
bool relay_ledger_read(struct relay_ledger *ledger, const struct relay_span *span,
                       struct relay_page *ret_page);
void relay_page_finish(struct relay_page *page);

/* Takes the lock unless another session has it; taking it again is harmless, and keeps the session
 * from ending because it is idle. */
bool relay_ledger_lock(struct relay_ledger *ledger, bool *ret_has_lock);

/* The span of all transactions of the last `age_ms`, and at most of the last million movements, up
 * to now. */
bool relay_ledger_recent(struct relay_ledger *ledger, int64_t age_ms, struct relay_span *ret_span);

#endif
