#include "write-svc/inventory.h"

#include "write-svc/transaction.h"

#include "common/base/alloc.h"
#include "common/base/log.h"
#include "common/base/metrics.h"
#include "common/products/product_rows.h"
#include "common/stores/pg_params.h"

#include <stdlib.h>

static struct metric_family changes_counter =
    METRIC_COUNTER("faststock_stock_changes_total",
                   "Stock changes that were asked for, by what came of them.", "outcome");

struct inventory {
    struct publisher *publisher;
    struct transactions *transactions;
    struct metric *outcomes[STOCK_OUTCOMES];
};

struct inventory *inventory_create(struct pg_store *database, struct publisher *publisher)
{
    struct inventory *inventory = fs_calloc(1, sizeof(*inventory));

    inventory->publisher = publisher;
    inventory->transactions = transactions_create(database);
    for (enum stock_outcome outcome = 0; outcome < STOCK_OUTCOMES; outcome++) {
        inventory->outcomes[outcome] = metric_get(&changes_counter, stock_outcome_name(outcome));
    }
    return inventory;
}

void inventory_destroy(struct inventory *inventory)
{
    if (inventory == NULL) {
        return;
    }
    transactions_destroy(inventory->transactions);
    free(inventory);
}

/* --- changes ---------------------------------------------------------------------------------- */

static const struct pg_statement change_statement = {
    .name = "change_stock",
    .param_count = 5,
    .sql = "SELECT " PRODUCT_ROWS_COLUMNS ", product.outcome, product.delta"
           " FROM change_stock($1::bigint[], $2::bigint[], $3::boolean[], $4::bigint[],"
           "  $5::text[]) AS product"};

enum { COLUMN_OUTCOME = PRODUCT_ROWS_NEXT, COLUMN_DELTA };

static enum transaction_end run_change(struct inventory *inventory,
                                       const struct stock_change *change, int64_t deadline_us,
                                       struct pg_result **ret_rows)
{
    struct pg_params params = PG_PARAMS_EMPTY;
    enum transaction_end end;

    pg_params_begin_array(&params);
    pg_params_add_int(&params, change->product_id);
    pg_params_end_array(&params);
    pg_params_begin_array(&params);
    pg_params_add_int(&params, change->amount);
    pg_params_end_array(&params);
    pg_params_begin_array(&params);
    pg_params_add_bool(&params, change->is_absolute);
    pg_params_end_array(&params);
    pg_params_begin_array(&params);
    if (change->expected_version > 0) {
        pg_params_add_int(&params, change->expected_version);
    } else {
        pg_params_add_text(&params, NULL);
    }
    pg_params_end_array(&params);
    pg_params_begin_array(&params);
    pg_params_add_text(&params, change->reason);
    pg_params_end_array(&params);
    end = transaction_run(inventory->transactions, &change_statement, pg_params_values(&params),
                          deadline_us, ret_rows);
    pg_params_finish(&params);
    return end;
}

/* The outcome of a transaction that was not committed. Of all values that are sent only the reason
 * is a text, so it is the one that cannot be stored. */
static enum stock_outcome outcome_of_end(enum transaction_end end,
                                         const struct stock_change *change)
{
    switch (end) {
    case TRANSACTION_UNAVAILABLE:
        return STOCK_UNAVAILABLE;
    case TRANSACTION_LOCKED:
        return STOCK_LOCKED;
    case TRANSACTION_UNSTORABLE:
        return change->reason == NULL ? STOCK_REFUSED : STOCK_BAD_REASON;
    case TRANSACTION_REFUSED:
        return STOCK_REFUSED;
    case TRANSACTION_COMMITTED:
    case TRANSACTION_UNKNOWN:
        break;
    }
    return STOCK_UNKNOWN;
}

/* What change_stock answered. */
static struct stock_result read_result(const struct pg_result *rows)
{
    struct stock_result result = {.outcome = STOCK_UNKNOWN};

    if (pg_rows(rows) != 1 ||
        !stock_outcome_parse(pg_text(rows, 0, COLUMN_OUTCOME), &result.outcome)) {
        log_error(log_msg("change_stock gave an answer that this version does not know"));
        return result; /* it is committed, so the answer must not be that nothing was done */
    }
    if (product_rows_has(rows, 0)) {
        result.version = product_rows_version(rows, 0);
        result.stock = product_rows_stock(rows, 0);
    }
    if (result.outcome == STOCK_APPLIED) {
        result.delta = pg_int(rows, 0, COLUMN_DELTA);
    }
    return result;
}

struct stock_result inventory_change(struct inventory *inventory, const struct stock_change *change,
                                     int64_t deadline_us)
{
    struct stock_result result = {.outcome = STOCK_UNKNOWN};
    struct generation generation;
    struct pg_result *rows = NULL;
    enum transaction_end end;

    publisher_begin(inventory->publisher, deadline_us, &generation);
    end = run_change(inventory, change, deadline_us, &rows);
    if (end == TRANSACTION_COMMITTED) {
        result = read_result(rows);
    } else {
        result.outcome = outcome_of_end(end, change);
    }
    if (result.outcome == STOCK_APPLIED) {
        struct product *product = product_rows_take(rows, 0);

        publisher_publish(inventory->publisher, &product, 1, &generation);
        product_unref(product);
    }
    pg_result_free(rows);
    metric_add(inventory->outcomes[result.outcome], 1);
    return result;
}
