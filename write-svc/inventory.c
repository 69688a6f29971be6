#include "write-svc/inventory.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/metrics.h"
#include "common/products/product_rows.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRIES_MAX 3     /* of a transaction that PostgreSQL aborted in favour of another */
#define PUBLISH_MS 1000 /* at most; also when the commit has used up the time of the request */

static struct metric_family changes_counter =
    METRIC_COUNTER("faststock_stock_changes_total",
                   "Stock changes that were asked for, by what came of them.", "outcome");
static struct metric_family retries_counter = METRIC_COUNTER(
    "faststock_transaction_retries_total",
    "Transactions begun again after a deadlock or a serialization failure.", METRIC_NO_LABELS);
static struct metric_family publish_counter = METRIC_COUNTER(
    "faststock_publish_total", "Committed states sent to Redis, by what came of it.", "result");

static const char *const outcome_names[] = {
    [STOCK_APPLIED] = "applied",
    [STOCK_NOT_FOUND] = "not_found",
    [STOCK_INSUFFICIENT] = "insufficient_stock",
    [STOCK_VERSION_MISMATCH] = "version_mismatch",
    [STOCK_OUT_OF_RANGE] = "out_of_range",
    [STOCK_LOCKED] = "locked",
};

enum publish_result {
    PUBLISH_STORED,
    PUBLISH_OLDER,
    PUBLISH_ERROR,
    PUBLISH_SKIPPED,
    PUBLISH_RESULTS
};

struct inventory {
    struct pg_store *database;
    struct product_cache *cache;
    struct metric *outcomes[FS_ARRAY_LEN(outcome_names)];
    struct metric *failed;
    struct metric *retries;
    struct metric *published[PUBLISH_RESULTS];
};

struct inventory *inventory_create(struct pg_store *database, struct product_cache *cache)
{
    static const char *const results[] = {"stored", "older", "error", "skipped"};
    struct inventory *inventory = fs_calloc(1, sizeof(*inventory));

    inventory->database = database;
    inventory->cache = cache;
    for (size_t i = 0; i < FS_ARRAY_LEN(outcome_names); i++) {
        inventory->outcomes[i] = metric_get(&changes_counter, outcome_names[i]);
    }
    inventory->failed = metric_get(&changes_counter, "failed");
    inventory->retries = metric_get(&retries_counter);
    for (size_t i = 0; i < PUBLISH_RESULTS; i++) {
        inventory->published[i] = metric_get(&publish_counter, results[i]);
    }
    return inventory;
}

void inventory_destroy(struct inventory *inventory)
{
    free(inventory);
}

/* --- publishing ------------------------------------------------------------------------------- */

static void publish(struct inventory *inventory, struct product *product,
                    const struct generation *generation)
{
    int64_t deadline_us = clock_mono_us() + PUBLISH_MS * CLOCK_US_PER_MS;
    enum publish_result result = PUBLISH_SKIPPED;
    size_t stored = 0;

    if (product == NULL) {
        result = PUBLISH_ERROR; /* it cannot be shown; the constraints of products let none in */
    } else if (inventory->cache != NULL) {
        enum status status =
            product_cache_publish(inventory->cache, &product, 1, generation, deadline_us, &stored);

        if (status == STATUS_OK) {
            result = stored > 0 ? PUBLISH_STORED : PUBLISH_OLDER;
        } else if (status != STATUS_UNAVAILABLE) {
            result = PUBLISH_ERROR;
        }
    }
    metric_add(inventory->published[result], 1);
}

/* --- changes ---------------------------------------------------------------------------------- */

static const struct pg_statement change_statement = {
    .name = "change_stock",
    .param_count = 5,
    .sql = "SELECT " PRODUCT_ROWS_COLUMNS ", product.outcome, product.delta"
           " FROM change_stock($1::bigint[], $2::bigint[], $3::boolean[], $4::bigint[],"
           "  ARRAY[$5::text]) AS product"};

enum { COLUMN_OUTCOME = PRODUCT_ROWS_NEXT, COLUMN_DELTA };

static bool is_retryable(const struct pg_error *error)
{
    return strcmp(error->sqlstate, "40001") == 0 || strcmp(error->sqlstate, "40P01") == 0;
}

/* lock_not_available: the function's lock_timeout passed. */
static bool is_locked(const struct pg_error *error)
{
    return strcmp(error->sqlstate, "55P03") == 0;
}

static enum status run_change(struct inventory *inventory, const struct stock_change *change,
                              int64_t deadline_us, struct pg_result **ret_result, bool *ret_locked)
{
    char id[32];
    char amount[32];
    char expected[32];
    const char *const params[] = {id, amount, change->is_absolute ? "{t}" : "{f}", expected,
                                  change->reason};
    struct pg_error error = {.sqlstate = ""};
    enum status status = STATUS_FAILED;

    snprintf(id, sizeof(id), "{%" PRId64 "}", change->product_id);
    snprintf(amount, sizeof(amount), "{%" PRId64 "}", change->amount);
    snprintf(expected, sizeof(expected), change->expected_version > 0 ? "{%" PRId64 "}" : "{NULL}",
             change->expected_version);
    for (int tries = 1; tries <= TRIES_MAX; tries++) {
        status =
            pg_run(inventory->database, &change_statement, params, deadline_us, ret_result, &error);
        if (status != STATUS_FAILED || !is_retryable(&error)) {
            break;
        }
        metric_add(inventory->retries, 1);
    }
    *ret_locked = status == STATUS_FAILED && is_locked(&error);
    if (status == STATUS_FAILED && !*ret_locked) {
        log_error(log_msg("a change failed"), log_str("sqlstate", error.sqlstate),
                  log_str("error", error.message));
    }
    return status;
}

static bool outcome_of(const char *name, enum stock_outcome *ret_outcome)
{
    for (size_t i = 0; i < FS_ARRAY_LEN(outcome_names); i++) {
        if (strcmp(outcome_names[i], name) == 0) {
            *ret_outcome = (enum stock_outcome)i;
            return true;
        }
    }
    return false;
}

enum status inventory_change(struct inventory *inventory, const struct stock_change *change,
                             int64_t deadline_us, struct stock_result *ret_result)
{
    struct stock_result result = {.outcome = STOCK_NOT_FOUND};
    struct generation generation = {.epoch = ""};
    struct pg_result *rows = NULL;
    bool locked = false;
    enum status status;

    if (inventory->cache != NULL) {
        product_cache_known_generation(inventory->cache, deadline_us, &generation);
    }
    status = run_change(inventory, change, deadline_us, &rows, &locked);
    if (locked) {
        metric_add(inventory->outcomes[STOCK_LOCKED], 1);
        *ret_result = (struct stock_result){.outcome = STOCK_LOCKED};
        return STATUS_OK;
    }
    if (status != STATUS_OK) {
        metric_add(inventory->failed, 1);
        return status;
    }
    if (pg_rows(rows) != 1 || !outcome_of(pg_text(rows, 0, COLUMN_OUTCOME), &result.outcome)) {
        log_error(log_msg("change_stock gave an answer that this version does not know"));
        metric_add(inventory->failed, 1);
        pg_result_free(rows);
        return STATUS_BROKEN; /* it is committed, whatever it was */
    }
    if (product_rows_has(rows, 0)) {
        result.version = product_rows_version(rows, 0);
        result.stock = product_rows_stock(rows, 0);
    }
    if (result.outcome == STOCK_APPLIED) {
        struct product *product = product_rows_take(rows, 0);

        result.delta = pg_int(rows, 0, COLUMN_DELTA);
        publish(inventory, product, &generation);
        product_unref(product);
    }
    pg_result_free(rows);
    metric_add(inventory->outcomes[result.outcome], 1);
    *ret_result = result;
    return STATUS_OK;
}
