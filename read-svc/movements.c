#include "read-svc/movements.h"

#include "read-svc/rows.h"

#include "common/base/alloc.h"
#include "common/base/log.h"
#include "common/stores/pg_params.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* --- one movement ----------------------------------------------------------------------------- */

/* Of a FROM item that is called `movement`; the columns of a mark stand before them. */
#define MOVEMENT_COLUMNS                                                                           \
    "movement.product_id, movement.version, movement.kind, movement.delta, movement.stock_after,"  \
    " nullif(movement.reserved_delta, 0), movement.reason, movement.order_id,"                     \
    " movement.reservation_id, extract(epoch FROM movement.created_at)"

enum {
    MOVEMENT_PRODUCT,
    MOVEMENT_VERSION,
    MOVEMENT_KIND,
    MOVEMENT_DELTA,
    MOVEMENT_STOCK,
    MOVEMENT_RESERVED,
    MOVEMENT_REASON,
    MOVEMENT_ORDER,
    MOVEMENT_RESERVATION,
    MOVEMENT_AT
};

/* `first` is the first of its columns. */
static enum status add_movement(struct strbuf *json, const struct pg_result *result, int row,
                                int first)
{
    rows_add_number(json, "{\"productId\":", result, row, first + MOVEMENT_PRODUCT);
    rows_add_number(json, ",\"version\":", result, row, first + MOVEMENT_VERSION);
    rows_add_string(json, ",\"kind\":", result, row, first + MOVEMENT_KIND);
    rows_add_number(json, ",\"delta\":", result, row, first + MOVEMENT_DELTA);
    rows_add_number(json, ",\"stockAfter\":", result, row, first + MOVEMENT_STOCK);
    rows_add_number(json, ",\"reservedDelta\":", result, row, first + MOVEMENT_RESERVED);
    rows_add_string(json, ",\"reason\":", result, row, first + MOVEMENT_REASON);
    rows_add_number(json, ",\"orderId\":", result, row, first + MOVEMENT_ORDER);
    rows_add_number(json, ",\"reservationId\":", result, row, first + MOVEMENT_RESERVATION);
    if (!rows_add_time(json, ",\"at\":", result, row, first + MOVEMENT_AT)) {
        return STATUS_FAILED;
    }
    strbuf_addc(json, '}');
    return STATUS_OK;
}

/* How many of the rows hold a movement; without any, the mark has a row of its own. */
static int count_movements(const struct pg_result *result, int first)
{
    assert(pg_rows(result) > 0);
    return pg_text(result, 0, first + MOVEMENT_PRODUCT) == NULL ? 0 : pg_rows(result);
}

/* The first `limit` of them, with commas between them; sets how many these are. */
static enum status add_movements(struct strbuf *json, const struct pg_result *result, int first,
                                 size_t limit, int *ret_added)
{
    int count = count_movements(result, first);
    enum status status = STATUS_OK;

    *ret_added = count > (int)limit ? (int)limit : count;
    for (int row = 0; row < *ret_added && status == STATUS_OK; row++) {
        strbuf_adds(json, row > 0 ? "," : "");
        status = add_movement(json, result, row, first);
    }
    return status;
}

/* --- of one product --------------------------------------------------------------------------- */

static const struct pg_statement history_statement = {
    .name = "movements",
    .param_count = 3,
    .sql = "SELECT mark.is_there::int, " MOVEMENT_COLUMNS
           " FROM (SELECT EXISTS (SELECT FROM products WHERE id = $1::bigint) AS is_there) AS mark"
           " LEFT JOIN (SELECT * FROM stock_movements"
           "  WHERE product_id = $1::bigint AND version > $2::bigint"
           "  ORDER BY version LIMIT $3::bigint) AS movement ON true ORDER BY movement.version"};

enum { HISTORY_IS_THERE, HISTORY_MOVEMENT };

enum status movements_read_product(struct pg_store *database, int64_t product_id, int64_t after,
                                   size_t limit, int64_t deadline_us, struct strbuf *json,
                                   bool *ret_found, int64_t *ret_next)
{
    struct pg_params params = PG_PARAMS_EMPTY;
    struct pg_result *result = NULL;
    enum status status;
    int added;

    pg_params_add_int(&params, product_id);
    pg_params_add_int(&params, after);
    pg_params_add_int(&params, (int64_t)limit + 1);
    status = rows_ask(database, &history_statement, &params, deadline_us, &result);
    if (status != STATUS_OK) {
        return status;
    }
    *ret_found = pg_int(result, 0, HISTORY_IS_THERE) == 1;
    status = add_movements(json, result, HISTORY_MOVEMENT, limit, &added);
    *ret_next = count_movements(result, HISTORY_MOVEMENT) > added
                    ? pg_int(result, added - 1, HISTORY_MOVEMENT + MOVEMENT_VERSION)
                    : 0;
    pg_result_free(result);
    return status;
}

/* --- where the feed is ------------------------------------------------------------------------ */

/* What each statement of the feed tells beside movements: the server, the snapshot of the
 * statement, and up to where movements may have been removed. */
#define FEED_MARK                                                                                  \
    "SELECT (pg_control_system()).system_identifier AS server,"                                    \
    " pg_current_snapshot()::text AS snapshot,"                                                    \
    " (SELECT removed_xid FROM ledger_removal) AS removed"

enum { FEED_SERVER, FEED_SNAPSHOT, FEED_REMOVED, FEED_ORDER_XID, FEED_MOVEMENT };

static enum status take_snapshot(const struct pg_result *result, struct feed_snapshot *ret_snapshot)
{
    if (!feed_snapshot_parse(pg_text(result, 0, FEED_SNAPSHOT), ret_snapshot)) {
        log_error(log_msg("the feed cannot be read: too many transactions at a time"));
        return STATUS_FAILED;
    }
    return STATUS_OK;
}

static const struct pg_statement mark_statement = {
    .name = "feed_mark", .param_count = 0, .sql = FEED_MARK};

enum status movements_begin(struct pg_store *database, bool is_now, int64_t deadline_us,
                            struct feed_cursor *ret_cursor)
{
    struct pg_params params = PG_PARAMS_EMPTY;
    struct pg_result *result = NULL;
    struct feed_snapshot seen;
    enum status status = rows_ask(database, &mark_statement, &params, deadline_us, &result);

    if (status != STATUS_OK) {
        return status;
    }
    if (is_now) {
        status = take_snapshot(result, &seen);
    } else {
        seen = feed_snapshot_up_to(pg_int(result, 0, FEED_REMOVED));
    }
    if (status == STATUS_OK) {
        feed_cursor_init(ret_cursor, pg_int(result, 0, FEED_SERVER), seen);
    }
    pg_result_free(result);
    return status;
}

/* --- a page of the feed ----------------------------------------------------------------------- */

/* $1 and $2 are the ranges of transactions, $3 to $5 the place behind which to read. Each range is
 * read from the later one of its beginning and that place: the index is entered there, by one
 * comparison of rows, because PostgreSQL enters it at the first of several, wherever that is.
 *
 * Movements in time are read by the index stock_movements_pages, late ones by ledger_late_pages;
 * those of one transaction that was running for long by ledger_late_xid. (No index serves xid8cmp,
 * so PostgreSQL does not read all late ones of a wide range by ledger_late_xid: 116 ms for
 * 100,000.) */
#define FEED_RANGES                                                                                \
    "(SELECT first, last, greatest(first, $3::xid8) AS from_xid,"                                  \
    "  CASE WHEN first > $3::xid8 THEN 0 ELSE $4::bigint END AS from_product,"                     \
    "  CASE WHEN first > $3::xid8 THEN 0 ELSE $5::bigint END AS from_version"                      \
    "  FROM unnest($1::xid8[], $2::xid8[]) AS u (first, last)) AS range"
#define BEHIND_RANGE "(range.from_xid, range.from_product, range.from_version)"
static const char feed_sql[] =
    "SELECT mark.*, movement.order_xid, " MOVEMENT_COLUMNS " FROM (" FEED_MARK ") AS mark"
    " LEFT JOIN (SELECT place.order_xid, m.*"
    "  FROM ((SELECT in_time.* FROM " FEED_RANGES " CROSS JOIN LATERAL"
    "    (SELECT i.xid AS order_xid, i.product_id, i.version FROM stock_movements AS i"
    "     WHERE (i.xid, i.product_id, i.version) > " BEHIND_RANGE " AND i.xid <= range.last"
    "      AND NOT EXISTS (SELECT FROM ledger_late AS l"
    "       WHERE l.product_id = i.product_id AND l.version = i.version)"
    "     ORDER BY i.xid, i.product_id, i.version LIMIT $6::bigint) AS in_time)"
    "   UNION ALL"
    "   (SELECT late.* FROM " FEED_RANGES " CROSS JOIN LATERAL"
    "    (SELECT l.order_xid, l.product_id, l.version FROM ledger_late AS l"
    "     WHERE range.first < range.last"
    "      AND (l.order_xid, l.product_id, l.version) > " BEHIND_RANGE
    "      AND xid8cmp(l.xid, range.first) >= 0 AND xid8cmp(l.xid, range.last) <= 0"
    "     ORDER BY l.order_xid, l.product_id, l.version LIMIT $6::bigint) AS late)"
    "   UNION ALL"
    "   (SELECT l.order_xid, l.product_id, l.version FROM " FEED_RANGES
    "    JOIN ledger_late AS l ON l.xid = range.first WHERE range.first = range.last"
    "     AND (l.order_xid, l.product_id, l.version) > " BEHIND_RANGE ")"
    "   ORDER BY order_xid, product_id, version LIMIT $6::bigint) AS place"
    "  JOIN stock_movements AS m"
    "   ON m.product_id = place.product_id AND m.version = place.version) AS movement ON true"
    " ORDER BY movement.order_xid, movement.product_id, movement.version";

enum { FEED_PARAMS = 6 };

static void add_ranges(struct pg_params *params, const struct feed_cursor *cursor)
{
    struct feed_range *ranges;
    size_t count = feed_cursor_ranges(cursor, &ranges);

    pg_params_begin_array(params);
    for (size_t i = 0; i < count; i++) {
        pg_params_add_int(params, ranges[i].first);
    }
    pg_params_end_array(params);
    pg_params_begin_array(params);
    for (size_t i = 0; i < count; i++) {
        pg_params_add_int(params, ranges[i].last);
    }
    pg_params_end_array(params);
    free(ranges);
}

/* Never prepared, because the best plan depends on the ranges. */
static enum status ask_page(struct pg_store *database, const struct feed_cursor *cursor,
                            size_t limit, int64_t deadline_us, struct pg_result **ret_result)
{
    struct pg_params params = PG_PARAMS_EMPTY;
    struct pg_error error;
    enum status status;

    add_ranges(&params, cursor);
    pg_params_add_int(&params, cursor->after.order_xid);
    pg_params_add_int(&params, cursor->after.product_id);
    pg_params_add_int(&params, cursor->after.version);
    pg_params_add_int(&params, (int64_t)limit + 1);
    status = pg_query(database, feed_sql, pg_params_values(&params), FEED_PARAMS, deadline_us,
                      ret_result, &error);
    pg_params_finish(&params);
    if (status == STATUS_FAILED) {
        log_error(log_msg("PostgreSQL refuses a read"), log_str("statement", "feed"),
                  log_str("sqlstate", error.sqlstate), log_str("error", error.message));
    }
    return status;
}

/* A snapshot of this server from after `now` is of commits that it has lost, because it was set
 * back to a state from before. */
static bool is_gone(const struct feed_cursor *cursor, const struct pg_result *result,
                    const struct feed_snapshot *now)
{
    return cursor->server != pg_int(result, 0, FEED_SERVER) || cursor->seen.xmax > now->xmax ||
           (cursor->is_inside && cursor->until.xmax > now->xmax) ||
           feed_cursor_lacks(cursor, pg_int(result, 0, FEED_REMOVED));
}

static struct feed_snapshot copy_snapshot(const struct feed_snapshot *from)
{
    struct feed_snapshot copy = *from;

    if (from->running_count > 0) {
        copy.running = fs_calloc(from->running_count, sizeof(*copy.running));
        memcpy(copy.running, from->running, from->running_count * sizeof(*copy.running));
    }
    return copy;
}

static struct feed_place read_place(const struct pg_result *result, int row)
{
    return (struct feed_place){.order_xid = pg_int(result, row, FEED_ORDER_XID),
                               .product_id = pg_int(result, row, FEED_MOVEMENT + MOVEMENT_PRODUCT),
                               .version = pg_int(result, row, FEED_MOVEMENT + MOVEMENT_VERSION)};
}

/* The cursor behind a page of `added` movements. A cursor without a span was read up to the
 * snapshot of the statement, `now`, which is taken over. */
static void move_on(const struct feed_cursor *cursor, const struct pg_result *result, int added,
                    struct feed_snapshot *now, struct movements_page *page)
{
    bool is_more = count_movements(result, FEED_MOVEMENT) > added;
    struct feed_snapshot until = cursor->is_inside ? copy_snapshot(&cursor->until) : *now;

    if (cursor->is_inside) {
        feed_snapshot_finish(now);
    }
    page->is_last = !is_more && !cursor->is_inside;
    if (is_more) {
        feed_cursor_init(&page->next, cursor->server, copy_snapshot(&cursor->seen));
        page->next.is_inside = true;
        page->next.until = until;
        page->next.after = read_place(result, added - 1);
    } else {
        feed_cursor_init(&page->next, cursor->server, until);
    }
}

enum status movements_read_changes(struct pg_store *database, const struct feed_cursor *cursor,
                                   size_t limit, int64_t deadline_us, struct strbuf *json,
                                   struct movements_page *ret_page)
{
    struct pg_result *result = NULL;
    struct feed_snapshot now;
    enum status status = ask_page(database, cursor, limit, deadline_us, &result);
    int added;

    assert(limit > 0 && limit <= MOVEMENTS_PAGE_MAX);
    if (status != STATUS_OK) {
        return status;
    }
    status = take_snapshot(result, &now);
    if (status == STATUS_OK) {
        ret_page->is_gone = is_gone(cursor, result, &now);
        status = ret_page->is_gone ? STATUS_OK
                                   : add_movements(json, result, FEED_MOVEMENT, limit, &added);
        if (status == STATUS_OK && !ret_page->is_gone) {
            move_on(cursor, result, added, &now, ret_page);
        } else {
            feed_snapshot_finish(&now);
        }
    }
    pg_result_free(result);
    return status;
}
