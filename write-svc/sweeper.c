#include "write-svc/sweeper.h"

#include "write-svc/batch.h"
#include "write-svc/command.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/metrics.h"
#include "common/base/ticker.h"
#include "common/products/cache.h"
#include "common/stores/pg_params.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

#define SWEEP_MS 250
#define TIDY_MS 60000
#define STATEMENT_MS 5000 /* the store's own timeout is shorter, unless it is set otherwise */

/* Reservations of one call: few enough that the products which it holds are free again soon. */
#define EXPIRE_MAX 100

/* After another transaction has held a product for long: how long no call waits for one. */
#define CAREFUL_MS 5000

#define KEYS_STEP "1000"
#define KEYS_STEP_MAX 1000

static struct metric_family expired_counter = METRIC_COUNTER(
    "faststock_reservations_expired_total",
    "Reservations that this process ended because their time was over.", METRIC_NO_LABELS);
static struct metric_family removed_counter = METRIC_COUNTER(
    "faststock_idempotency_keys_removed_total",
    "Kept answers that this process removed because they were old.", METRIC_NO_LABELS);

struct sweeper {
    struct pg_store *database;
    struct publisher *publisher;
    int64_t key_ttl_hours;
    struct ticker *ticker;
    struct metric *expired;
    struct metric *removed;

    /* of the thread alone */
    int64_t careful_until_us; /* until then no call waits for a product */
    int64_t tidy_us;          /* when the next tidying is due */
    bool is_failing;          /* PostgreSQL refused the last statement, and the log says so */
};

static int64_t run(void *arg);

struct sweeper *sweeper_create(struct pg_store *database, struct publisher *publisher,
                               int64_t key_ttl_hours)
{
    struct sweeper *sweeper = fs_calloc(1, sizeof(*sweeper));

    sweeper->database = database;
    sweeper->publisher = publisher;
    sweeper->key_ttl_hours = key_ttl_hours;
    sweeper->expired = metric_get(&expired_counter);
    sweeper->removed = metric_get(&removed_counter);
    sweeper->ticker = ticker_create(run, sweeper);
    return sweeper;
}

void sweeper_destroy(struct sweeper *sweeper)
{
    if (sweeper == NULL) {
        return;
    }
    ticker_destroy(sweeper->ticker);
    free(sweeper);
}

static bool expire(struct sweeper *sweeper);
static bool tidy(struct sweeper *sweeper);

/* Called by the ticker; returns after how many milliseconds to call again. */
static int64_t run(void *arg)
{
    struct sweeper *sweeper = arg;
    bool is_more = expire(sweeper);

    if (clock_mono_us() >= sweeper->tidy_us) {
        is_more = tidy(sweeper) || is_more;
    }
    return is_more ? 0 : SWEEP_MS;
}

/* --- statements ------------------------------------------------------------------------------- */

/* A refusal is logged when it begins, because the next try comes soon. */
static void note_refusal(struct sweeper *sweeper, const struct pg_error *error)
{
    if (!sweeper->is_failing) {
        log_error(log_msg("PostgreSQL refuses what the sweeper asks"),
                  log_str("kind", pg_failure_name(error->failure)),
                  log_str("sqlstate", error->sqlstate), log_str("error", error->message));
    }
    sweeper->is_failing = true;
}

/* On true the rows are the caller's. */
static bool ask(struct sweeper *sweeper, const struct pg_statement *statement,
                struct pg_params *params, struct pg_result **ret_rows)
{
    struct pg_error error;
    enum status status = pg_run(sweeper->database, statement, pg_params_values(params),
                                clock_after_ms(STATEMENT_MS), ret_rows, &error);

    if (status == STATUS_OK) {
        sweeper->is_failing = false;
    } else if (status == STATUS_FAILED && error.failure == PG_FAILURE_LOCKED) {
        sweeper->careful_until_us = clock_after_ms(CAREFUL_MS);
    } else if (status == STATUS_FAILED) {
        note_refusal(sweeper, &error);
    }
    return status == STATUS_OK;
}

/* --- reservations ----------------------------------------------------------------------------- */

static size_t count_applied(const struct pg_result *rows)
{
    struct write_result results[EXPIRE_MAX];
    size_t applied = 0;

    batch_read_results(rows, results, EXPIRE_MAX);
    for (size_t i = 0; i < EXPIRE_MAX; i++) {
        applied += results[i].outcome == WRITE_APPLIED;
        write_result_finish(&results[i]);
    }
    return applied;
}

/* Ends reservations whose time is over; true when there may be more of them. */
static bool expire(struct sweeper *sweeper)
{
    bool waits = clock_mono_us() >= sweeper->careful_until_us;
    struct pg_params params = PG_PARAMS_EMPTY;
    struct pg_result *rows = NULL;
    struct generation generation;
    size_t applied = 0;

    publisher_begin(sweeper->publisher, clock_after_ms(PRODUCT_CACHE_PUBLISH_MS), &generation);
    pg_params_add_int(&params, EXPIRE_MAX);
    pg_params_add_bool(&params, waits);
    if (ask(sweeper, &batch_expire_statement, &params, &rows)) {
        applied = count_applied(rows);
        batch_publish(rows, sweeper->publisher, &generation);
        metric_add(sweeper->expired, applied);
    }
    pg_result_free(rows);
    pg_params_finish(&params);
    return applied == EXPIRE_MAX;
}

/* --- tidying ---------------------------------------------------------------------------------- */

static const struct pg_statement keys_statement = {
    .name = "remove_keys",
    .param_count = 1,
    .sql = "WITH removed AS ("
           " DELETE FROM idempotency_keys WHERE key IN"
           "  (SELECT key FROM idempotency_keys"
           "   WHERE created_at < clock_timestamp() - make_interval(hours => $1::int)"
           "   ORDER BY created_at LIMIT " KEYS_STEP " FOR UPDATE SKIP LOCKED) RETURNING 1)"
           " SELECT count(*) FROM removed"};

static const struct pg_statement lanes_statement = {
    .name = "remove_lanes",
    .param_count = 0,
    .sql = "DELETE FROM write_lanes WHERE updated_at < clock_timestamp() - interval '7 days'"};

/* One step; true when another should follow at once. */
static bool remove_keys(struct sweeper *sweeper)
{
    struct pg_params params = PG_PARAMS_EMPTY;
    struct pg_result *rows = NULL;
    int64_t removed = 0;

    pg_params_add_int(&params, sweeper->key_ttl_hours);
    if (ask(sweeper, &keys_statement, &params, &rows)) {
        removed = pg_int(rows, 0, 0);
        metric_add(sweeper->removed, (uint64_t)removed);
    }
    pg_result_free(rows);
    pg_params_finish(&params);
    return removed == KEYS_STEP_MAX;
}

static void remove_lanes(struct sweeper *sweeper)
{
    struct pg_params params = PG_PARAMS_EMPTY;
    struct pg_result *rows = NULL;

    ask(sweeper, &lanes_statement, &params, &rows);
    pg_result_free(rows);
    pg_params_finish(&params);
}

/* One step of the tidying that is due; true when another should follow at once. */
static bool tidy(struct sweeper *sweeper)
{
    if (remove_keys(sweeper)) {
        return true;
    }
    remove_lanes(sweeper);
    sweeper->tidy_us = clock_after_ms(TIDY_MS);
    return false;
}
