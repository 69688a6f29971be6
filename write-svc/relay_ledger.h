/* What the relay asks of PostgreSQL: its lock, and the movements of the ledger in pages
 * (ledger_follower.h). For one thread. */
#ifndef FASTSTOCK_WRITE_SVC_RELAY_LEDGER_H
#define FASTSTOCK_WRITE_SVC_RELAY_LEDGER_H

#include "common/products/cache.h"
#include "common/products/ledger_follower.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Movements a page: as many as one call of Redis takes. */
#define RELAY_PAGE_MAX PRODUCT_CACHE_DROP_MAX

struct relay_page {
    bool has_lock;               /* else the session was lost, and another process has the lock */
    char *snapshot;              /* with which it was read; owned */
    size_t count;                /* less than RELAY_PAGE_MAX: the span has no more */
    struct ledger_position last; /* where the next page begins; that of the span when count is 0 */
    struct product_version versions[RELAY_PAGE_MAX]; /* in no order of the ids; one id may recur */
};

/* The follower's store must be one connection straight to PostgreSQL, because the lock belongs to
 * its session. Each function returns false when it got no answer, or the statement was refused, and
 * sets its outputs on true only. */

/* The next page of a span; relay_page_finish frees what it owns. */
bool relay_ledger_read(struct ledger_follower *follower, const struct ledger_span *span,
                       struct relay_page *ret_page);
void relay_page_finish(struct relay_page *page);

/* Takes the lock unless another session has it. Taking it again is harmless, and keeps the session
 * from ending because it is idle. */
bool relay_ledger_lock(struct ledger_follower *follower, bool *ret_has_lock);

/* The span of all transactions of the last `age_ms`, and at most of the last million movements, up
 * to now. */
bool relay_ledger_recent(struct ledger_follower *follower, int64_t age_ms,
                         struct ledger_span *ret_span);

#endif
