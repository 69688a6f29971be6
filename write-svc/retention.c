#include "write-svc/retention.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/metrics.h"
#include "common/base/ticker.h"
#include "common/stores/pg_params.h"

#include <stdbool.h>
#include <stdlib.h>

#define LOOK_MS 60000
#define PAUSE_MS 100 /* between steps: 10,000 movements a second at most */
#define STEP_MAX 1000
#define STATEMENT_MS 5000 /* the store's own timeout is shorter, unless it is set otherwise */
#define DAY_MS INT64_C(86400000)

static struct metric_family removed_counter =
    METRIC_COUNTER("faststock_ledger_movements_removed_total",
                   "Movements that this process removed because they were old.", METRIC_NO_LABELS);

struct retention {
    struct pg_store *database;
    int64_t age_ms;
    struct ticker *ticker;
    struct metric *removed;
    bool is_failing; /* of the thread alone: PostgreSQL refused the last step */
};

static int64_t run(void *arg);

struct retention *retention_create(struct pg_store *database, int64_t days, int64_t entry_ttl_ms)
{
    struct retention *retention;

    if (days == 0) {
        return NULL;
    }
    retention = fs_calloc(1, sizeof(*retention));
    retention->database = database;
    retention->age_ms = days * DAY_MS > 2 * entry_ttl_ms ? days * DAY_MS : 2 * entry_ttl_ms;
    retention->removed = metric_get(&removed_counter);
    retention->ticker = ticker_create(run, retention);
    return retention;
}

void retention_destroy(struct retention *retention)
{
    if (retention == NULL) {
        return;
    }
    ticker_destroy(retention->ticker);
    free(retention);
}

static const struct pg_statement remove_statement = {
    .name = "remove_movements",
    .param_count = 2,
    .sql = "SELECT removed, is_more::int"
           " FROM remove_movements($1::bigint * interval '1 millisecond', $2::int)"};

enum { COLUMN_REMOVED, COLUMN_IS_MORE };

/* A refusal is logged when it begins. */
static void note_end(struct retention *retention, enum status status, const struct pg_error *error)
{
    if (status == STATUS_FAILED && !retention->is_failing) {
        log_error(log_msg("old movements cannot be removed"),
                  log_str("kind", pg_failure_name(error->failure)),
                  log_str("sqlstate", error->sqlstate), log_str("error", error->message));
    }
    retention->is_failing = status == STATUS_FAILED;
}

/* One step; true when another may find more. */
static bool step(struct retention *retention)
{
    struct pg_params params = PG_PARAMS_EMPTY;
    struct pg_result *rows = NULL;
    struct pg_error error;
    enum status status;
    bool is_more = false;

    pg_params_add_int(&params, retention->age_ms);
    pg_params_add_int(&params, STEP_MAX);
    status = pg_run(retention->database, &remove_statement, pg_params_values(&params),
                    clock_after_ms(STATEMENT_MS), &rows, &error);
    pg_params_finish(&params);
    note_end(retention, status, &error);
    if (status == STATUS_OK && pg_rows(rows) > 0) { /* no row: another process is at work */
        metric_add(retention->removed, (uint64_t)pg_int(rows, 0, COLUMN_REMOVED));
        is_more = pg_int(rows, 0, COLUMN_IS_MORE) == 1;
    }
    pg_result_free(rows);
    return is_more;
}

/* Called by the ticker; returns after how many milliseconds to call again. */
static int64_t run(void *arg)
{
    return step(arg) ? PAUSE_MS : LOOK_MS;
}
