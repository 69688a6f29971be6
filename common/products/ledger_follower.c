#include "common/products/ledger_follower.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/log.h"

#include <assert.h>
#include <stdlib.h>

/* --- spans ------------------------------------------------------------------------------------ */

void ledger_span_init(struct ledger_span *span, const char *seen, const char *until)
{
    assert(seen != NULL);
    /* the text of a snapshot begins with its xmin: it sees all transactions before that */
    *span = (struct ledger_span){.seen = fs_strdup(seen),
                                 .until = fs_strdup(until),
                                 .after = {.xid = strtoull(seen, NULL, 10)}};
}

void ledger_span_finish(struct ledger_span *span)
{
    free(span->seen);
    free(span->until);
    *span = LEDGER_SPAN_NONE;
}

bool ledger_span_is_none(const struct ledger_span *span)
{
    return span->seen == NULL;
}

void ledger_span_move_on(struct ledger_span *span, const char *snapshot)
{
    struct ledger_span next;

    ledger_span_init(&next, snapshot, NULL);
    ledger_span_finish(span);
    *span = next;
}

/* --- asking ----------------------------------------------------------------------------------- */

bool ledger_follower_ask(struct ledger_follower *follower, const char *sql,
                         const char *const *params, int count, struct pg_result **ret_result)
{
    struct pg_error error;
    enum status status = pg_query(follower->database, sql, params, count,
                                  clock_after_ms(follower->deadline_ms), ret_result, &error);

    if (status == STATUS_FAILED) {
        log_warn(log_msg("the ledger cannot be read"), log_str("for", follower->name),
                 log_str("sqlstate", error.sqlstate), log_str("error", error.message));
    }
    follower->is_connected = status == STATUS_OK || status == STATUS_FAILED;
    return status == STATUS_OK;
}

bool ledger_follower_snapshot(struct ledger_follower *follower, char **ret_snapshot)
{
    struct pg_result *result = NULL;

    if (!ledger_follower_ask(follower, "SELECT pg_current_snapshot()::text", NULL, 0, &result)) {
        return false;
    }
    *ret_snapshot = fs_strdup(pg_text(result, 0, 0));
    pg_result_free(result);
    return true;
}
