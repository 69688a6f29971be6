#include "read-svc/orders.h"

#include "read-svc/rows.h"

#include <assert.h>

/* --- orders ----------------------------------------------------------------------------------- */

static const struct pg_statement orders_statement = {
    .name = "orders",
    .param_count = 3,
    .sql = "SELECT o.id, o.status, o.total,"
           " (SELECT string_agg('{\"productId\":' || i.product_id || ',\"qty\":' || i.qty"
           "   || ',\"price\":' || i.price || '}', ',' ORDER BY i.product_id)"
           "  FROM order_items AS i WHERE i.order_id = o.id),"
           " extract(epoch FROM o.created_at), extract(epoch FROM o.cancelled_at), o.reservation_id"
           " FROM orders AS o WHERE o.id BETWEEN $1::bigint AND $2::bigint"
           " ORDER BY o.id LIMIT $3::bigint"};

enum {
    ORDER_ID,
    ORDER_STATUS,
    ORDER_TOTAL,
    ORDER_ITEMS,
    ORDER_CREATED,
    ORDER_CANCELLED,
    ORDER_RESERVATION
};

static enum status ask_orders(struct pg_store *database, int64_t first, int64_t last, size_t limit,
                              int64_t deadline_us, struct pg_result **ret_result)
{
    struct pg_params params = PG_PARAMS_EMPTY;

    pg_params_add_int(&params, first);
    pg_params_add_int(&params, last);
    pg_params_add_int(&params, (int64_t)limit);
    return rows_ask(database, &orders_statement, &params, deadline_us, ret_result);
}

static enum status add_order(struct strbuf *json, const struct pg_result *result, int row)
{
    rows_add_number(json, "{\"id\":", result, row, ORDER_ID);
    rows_add_string(json, ",\"status\":", result, row, ORDER_STATUS);
    rows_add_number(json, ",\"total\":", result, row, ORDER_TOTAL);
    strbuf_adds(json, ",\"items\":[");
    rows_add_number(json, "", result, row, ORDER_ITEMS); /* JSON already */
    strbuf_addc(json, ']');
    if (!rows_add_time(json, ",\"createdAt\":", result, row, ORDER_CREATED) ||
        !rows_add_time(json, ",\"cancelledAt\":", result, row, ORDER_CANCELLED)) {
        return STATUS_FAILED;
    }
    rows_add_number(json, ",\"reservationId\":", result, row, ORDER_RESERVATION);
    strbuf_addc(json, '}');
    return STATUS_OK;
}

enum status orders_read_order(struct pg_store *database, int64_t id, int64_t deadline_us,
                              struct strbuf *json, bool *ret_found)
{
    struct pg_result *result = NULL;
    enum status status = ask_orders(database, id, id, 1, deadline_us, &result);

    if (status == STATUS_OK) {
        *ret_found = pg_rows(result) > 0;
        if (*ret_found) {
            status = add_order(json, result, 0);
        }
        pg_result_free(result);
    }
    return status;
}

enum status orders_read_page(struct pg_store *database, int64_t after, size_t limit,
                             int64_t deadline_us, struct strbuf *json, int64_t *ret_next)
{
    struct pg_result *result = NULL;
    int64_t first = after < INT64_MAX ? after + 1 : INT64_MAX;
    int64_t last = after < INT64_MAX ? INT64_MAX : 0; /* nothing is behind that */
    enum status status = ask_orders(database, first, last, limit + 1, deadline_us, &result);
    int count;

    assert(limit > 0 && limit <= ORDERS_PAGE_MAX);
    if (status != STATUS_OK) {
        return status;
    }
    count = pg_rows(result) > (int)limit ? (int)limit : pg_rows(result);
    for (int row = 0; row < count && status == STATUS_OK; row++) {
        strbuf_adds(json, row > 0 ? "," : "");
        status = add_order(json, result, row);
    }
    *ret_next = pg_rows(result) > count ? pg_int(result, count - 1, ORDER_ID) : 0;
    pg_result_free(result);
    return status;
}

/* --- reservations ----------------------------------------------------------------------------- */

static const struct pg_statement reservation_statement = {
    .name = "reservation",
    .param_count = 1,
    .sql = "SELECT r.id, r.status,"
           " (SELECT string_agg('{\"productId\":' || i.product_id || ',\"qty\":' || i.qty || '}',"
           "   ',' ORDER BY i.product_id)"
           "  FROM reservation_items AS i WHERE i.reservation_id = r.id),"
           " extract(epoch FROM r.created_at), extract(epoch FROM r.expires_at),"
           " extract(epoch FROM r.ended_at), r.order_id"
           " FROM reservations AS r WHERE r.id = $1::bigint"};

enum {
    RESERVATION_ID,
    RESERVATION_STATUS,
    RESERVATION_ITEMS,
    RESERVATION_CREATED,
    RESERVATION_EXPIRES,
    RESERVATION_ENDED,
    RESERVATION_ORDER
};

static enum status add_reservation(struct strbuf *json, const struct pg_result *result)
{
    rows_add_number(json, "{\"id\":", result, 0, RESERVATION_ID);
    rows_add_string(json, ",\"status\":", result, 0, RESERVATION_STATUS);
    strbuf_adds(json, ",\"items\":[");
    rows_add_number(json, "", result, 0, RESERVATION_ITEMS); /* JSON already */
    strbuf_addc(json, ']');
    if (!rows_add_time(json, ",\"createdAt\":", result, 0, RESERVATION_CREATED) ||
        !rows_add_time(json, ",\"expiresAt\":", result, 0, RESERVATION_EXPIRES) ||
        !rows_add_time(json, ",\"endedAt\":", result, 0, RESERVATION_ENDED)) {
        return STATUS_FAILED;
    }
    rows_add_number(json, ",\"orderId\":", result, 0, RESERVATION_ORDER);
    strbuf_addc(json, '}');
    return STATUS_OK;
}

enum status orders_read_reservation(struct pg_store *database, int64_t id, int64_t deadline_us,
                                    struct strbuf *json, bool *ret_found)
{
    struct pg_params params = PG_PARAMS_EMPTY;
    struct pg_result *result = NULL;
    enum status status;

    pg_params_add_int(&params, id);
    status = rows_ask(database, &reservation_statement, &params, deadline_us, &result);
    if (status == STATUS_OK) {
        *ret_found = pg_rows(result) > 0;
        if (*ret_found) {
            status = add_reservation(json, result);
        }
        pg_result_free(result);
    }
    return status;
}
