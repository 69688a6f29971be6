#include "write-svc/relay_ledger.h"

#include "common/base/alloc.h"
#include "common/products/ledger.h"
#include "common/stores/pg_params.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* The session holds the lock. PostgreSQL ends a session from which it has heard nothing for
 * LOST_MS, and the lock with it, because then the process hangs or its machine is gone. */
#define LOCK "pg_try_advisory_lock(hashtext('faststock.relay'))"
#define LOST_MS "5000"
#define LIMIT_SESSION                                                                              \
    "set_config('idle_session_timeout', '" LOST_MS                                                 \
    "', false), set_config('tcp_user_timeout', '" LOST_MS "', false)"

/* --- pages ------------------------------------------------------------------------------------ */

#define OF_SPAN LEDGER_BETWEEN("$1", "$2")
#define BEHIND_LAST LEDGER_BEHIND("$3", "$4", "$5")

/* The mark tells whether the lock is still held, and the snapshot of this page. */
static const char page_sql[] =
    "SELECT mark.has_lock, mark.snapshot, movement.xid, movement.product_id, movement.version"
    " FROM (SELECT " LOCK "::int AS has_lock, pg_current_snapshot()::text AS snapshot) AS mark"
    " LEFT JOIN (SELECT xid, product_id, version FROM stock_movements"
    "  WHERE " BEHIND_LAST " AND " OF_SPAN " ORDER BY " LEDGER_ORDER
    "  LIMIT $6::bigint) AS movement ON true"
    " ORDER BY " LEDGER_ORDER;

enum { COLUMN_HAS_LOCK, COLUMN_SNAPSHOT, COLUMN_XID, COLUMN_PRODUCT, COLUMN_VERSION };

static void take_page(const struct pg_result *result, struct relay_page *page)
{
    bool has_rows = pg_text(result, 0, COLUMN_XID) != NULL; /* else the mark alone */

    page->has_lock = pg_int(result, 0, COLUMN_HAS_LOCK) == 1;
    page->snapshot = fs_strdup(pg_text(result, 0, COLUMN_SNAPSHOT));
    page->count = has_rows ? (size_t)pg_rows(result) : 0;
    assert(page->count <= RELAY_PAGE_MAX);
    for (size_t i = 0; i < page->count; i++) {
        page->versions[i] =
            (struct product_version){.id = pg_int(result, (int)i, COLUMN_PRODUCT),
                                     .version = pg_int(result, (int)i, COLUMN_VERSION)};
        page->last =
            (struct ledger_position){.xid = strtoull(pg_text(result, (int)i, COLUMN_XID), NULL, 10),
                                     .product_id = page->versions[i].id,
                                     .version = page->versions[i].version};
    }
}

bool relay_ledger_read(struct ledger_follower *follower, const struct ledger_span *span,
                       struct relay_page *ret_page)
{
    struct pg_params params = PG_PARAMS_EMPTY;
    struct pg_result *result = NULL;
    bool is_answered;

    pg_params_add_text(&params, span->seen);
    pg_params_add_text(&params, span->until == NULL ? LEDGER_SEES_ALL : span->until);
    pg_params_add_int(&params, (int64_t)span->after.xid);
    pg_params_add_int(&params, span->after.product_id);
    pg_params_add_int(&params, span->after.version);
    pg_params_add_int(&params, RELAY_PAGE_MAX);
    is_answered = ledger_follower_ask(follower, page_sql, pg_params_values(&params),
                                      (int)params.count, &result);
    pg_params_finish(&params);
    if (!is_answered) {
        return false;
    }
    ret_page->last = span->after;
    take_page(result, ret_page);
    pg_result_free(result);
    return true;
}

void relay_page_finish(struct relay_page *page)
{
    free(page->snapshot);
    page->snapshot = NULL;
}

/* --- the lock, and where to begin ------------------------------------------------------------- */

bool relay_ledger_lock(struct ledger_follower *follower, bool *ret_has_lock)
{
    struct pg_result *result = NULL;

    if (!ledger_follower_ask(follower, "SELECT " LOCK "::int, " LIMIT_SESSION, NULL, 0, &result)) {
        return false;
    }
    *ret_has_lock = pg_int(result, 0, 0) == 1;
    pg_result_free(result);
    return true;
}

/* The lowest transaction id among the recent movements and those under way; the order of the ids is
 * nearly that of time. */
static const char recent_sql[] =
    "SELECT xid || ':' || xid || ':', pg_current_snapshot()"
    " FROM (SELECT pg_snapshot_xmin(pg_current_snapshot()) AS xid"
    "  UNION ALL"
    "  SELECT xid FROM (SELECT xid, created_at FROM stock_movements"
    "   ORDER BY xid DESC LIMIT 1000000) AS newest"
    "  WHERE created_at > now() - $1::bigint * interval '1 millisecond') AS recent"
    " ORDER BY recent.xid LIMIT 1";

bool relay_ledger_recent(struct ledger_follower *follower, int64_t age_ms,
                         struct ledger_span *ret_span)
{
    struct pg_params params = PG_PARAMS_EMPTY;
    struct pg_result *result = NULL;
    bool is_answered;

    pg_params_add_int(&params, age_ms);
    is_answered = ledger_follower_ask(follower, recent_sql, pg_params_values(&params), 1, &result);
    pg_params_finish(&params);
    if (!is_answered) {
        return false;
    }
    ledger_span_init(ret_span, pg_text(result, 0, 0), pg_text(result, 0, 1));
    pg_result_free(result);
    return true;
}
