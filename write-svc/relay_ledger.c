#include "write-svc/relay_ledger.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/products/ledger.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define QUERY_S 10 /* deadline; as long as main.c lets a statement of the relay take */

/* The session holds the lock. PostgreSQL ends a session from which it has heard nothing for
 * LOST_MS, and the lock with it, because then the process hangs or its machine is gone. */
#define LOCK "pg_try_advisory_lock(hashtext('faststock.relay'))"
#define LOST_MS "5000"
#define LIMIT_SESSION                                                                              \
    "set_config('idle_session_timeout', '" LOST_MS                                                 \
    "', false), set_config('tcp_user_timeout', '" LOST_MS "', false)"

/* A snapshot that sees every transaction. */
#define SEES_ALL "9223372036854775807:9223372036854775807:"

static bool ask(struct relay_ledger *ledger, const char *sql, const char *const *params, int count,
                struct pg_result **ret_result)
{
    struct pg_error error;
    enum status status = pg_query(ledger->direct, sql, params, count,
                                  clock_mono_us() + QUERY_S * CLOCK_US_PER_S, ret_result, &error);

    if (status == STATUS_FAILED) {
        log_warn(log_msg("relay cannot read the ledger"), log_str("sqlstate", error.sqlstate),
                 log_str("error", error.message));
    }
    ledger->is_connected = status == STATUS_OK || status == STATUS_FAILED;
    return status == STATUS_OK;
}

/* --- spans ------------------------------------------------------------------------------------ */

/* The text of a snapshot begins with its xmin: it sees all transactions before that. */
static struct relay_position start_of(const char *seen)
{
    return (struct relay_position){.xid = strtoull(seen, NULL, 10)};
}

void relay_span_init(struct relay_span *span, const char *seen, const char *until)
{
    span->seen = fs_strdup(seen);
    span->until = until == NULL ? NULL : fs_strdup(until);
    span->after = start_of(seen);
}

void relay_span_finish(struct relay_span *span)
{
    free(span->seen);
    free(span->until);
    *span = (struct relay_span){.seen = NULL};
}

/* --- pages ------------------------------------------------------------------------------------ */

/* The mark tells whether the lock is still held, and the snapshot of this page. */
static const char page_sql[] =
    "SELECT mark.has_lock, mark.snapshot, movement.xid, movement.product_id, movement.version"
    " FROM (SELECT " LOCK "::int AS has_lock, pg_current_snapshot()::text AS snapshot) AS mark"
    " LEFT JOIN (SELECT xid, product_id, version FROM stock_movements"
    "  WHERE " LEDGER_BEHIND("$3", "$4", "$5") " AND " LEDGER_BETWEEN(
        "$1", "$2") "  ORDER BY " LEDGER_ORDER " LIMIT $6::bigint) AS movement ON true"
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
            (struct relay_position){.xid = strtoull(pg_text(result, (int)i, COLUMN_XID), NULL, 10),
                                    .product_id = page->versions[i].id,
                                    .version = page->versions[i].version};
    }
}

bool relay_ledger_read(struct relay_ledger *ledger, const struct relay_span *span,
                       struct relay_page *ret_page)
{
    char xid[24];
    char product_id[24];
    char version[24];
    char limit[24];
    const char *const params[] = {
        span->seen, span->until == NULL ? SEES_ALL : span->until, xid, product_id, version, limit};
    struct pg_result *result = NULL;

    snprintf(xid, sizeof(xid), "%" PRIu64, span->after.xid);
    snprintf(product_id, sizeof(product_id), "%" PRId64, span->after.product_id);
    snprintf(version, sizeof(version), "%" PRId64, span->after.version);
    snprintf(limit, sizeof(limit), "%d", RELAY_PAGE_MAX);
    if (!ask(ledger, page_sql, params, (int)FS_ARRAY_LEN(params), &result)) {
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

bool relay_ledger_lock(struct relay_ledger *ledger, bool *ret_has_lock)
{
    struct pg_result *result = NULL;

    if (!ask(ledger, "SELECT " LOCK "::int, " LIMIT_SESSION, NULL, 0, &result)) {
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

bool relay_ledger_recent(struct relay_ledger *ledger, int64_t age_ms, struct relay_span *ret_span)
{
    char age[24];
    const char *const params[] = {age};
    struct pg_result *result = NULL;

    snprintf(age, sizeof(age), "%" PRId64, age_ms);
    if (!ask(ledger, recent_sql, params, 1, &result)) {
        return false;
    }
    relay_span_init(ret_span, pg_text(result, 0, 0), pg_text(result, 0, 1));
    pg_result_free(result);
    return true;
}
