#include "read-svc/wal_mark.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/metrics.h"
#include "common/base/ticker.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EVERY_MS 250
#define QUERY_MS 2000 /* deadline; the store's own timeout for a statement is usually shorter */

static struct metric_family age_gauge = METRIC_GAUGE(
    "faststock_wal_mark_age_seconds",
    "Age of the primary's WAL position by which rows of a replica are judged.", METRIC_NO_LABELS);

enum { AGE, SERIES };

static const struct metric_row rows[SERIES] = {[AGE] = {&age_gauge, {NULL}}};

struct wal_mark {
    struct pg_store *primary;
    struct ticker *ticker;
    struct metric *series[SERIES];

    pthread_mutex_t lock; /* guards the rest */
    char lsn[WAL_MARK_LSN_SIZE];
    int64_t taken_us; /* monotonic; of the creation before the first one */
    bool is_there;
};

static int64_t take(void *arg);
static void update_gauge(void *arg);

struct wal_mark *wal_mark_create(struct pg_store *primary)
{
    struct wal_mark *mark = fs_calloc(1, sizeof(*mark));

    mark->primary = primary;
    mark->taken_us = clock_mono_us();
    pthread_mutex_init(&mark->lock, NULL);
    metric_get_rows(rows, SERIES, NULL, mark->series);
    metrics_add_hook(update_gauge, mark);
    mark->ticker = ticker_create(take, mark);
    return mark;
}

void wal_mark_destroy(struct wal_mark *mark)
{
    if (mark == NULL) {
        return;
    }
    ticker_destroy(mark->ticker);
    metrics_remove_hook(update_gauge, mark);
    pthread_mutex_destroy(&mark->lock);
    free(mark);
}

static void update_gauge(void *arg)
{
    struct wal_mark *mark = arg;
    int64_t taken_us;

    pthread_mutex_lock(&mark->lock);
    taken_us = mark->taken_us;
    pthread_mutex_unlock(&mark->lock);
    metric_set(mark->series[AGE], (double)(clock_mono_us() - taken_us) / (double)CLOCK_US_PER_S);
}

/* The insert position: behind every commit record, whether it is on disk yet or not. A primary of
 * ours that is itself a replica has replayed what its readers see. */
static const struct pg_statement position_statement = {
    .name = "wal_position",
    .sql = "SELECT coalesce(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()"
           " ELSE pg_current_wal_insert_lsn() END, '0/0')::text"};

/* Called by the ticker; returns after how many milliseconds to call again. */
static int64_t take(void *arg)
{
    struct wal_mark *mark = arg;
    struct pg_result *result = NULL;
    struct pg_error error;
    int64_t sent_us = clock_mono_us();
    enum status status = pg_run(mark->primary, &position_statement, NULL,
                                sent_us + QUERY_MS * CLOCK_US_PER_MS, &result, &error);

    if (status == STATUS_FAILED) {
        log_warn(log_msg("the primary's WAL position cannot be read"),
                 log_str("sqlstate", error.sqlstate), log_str("error", error.message));
    }
    if (status == STATUS_OK) {
        pthread_mutex_lock(&mark->lock);
        snprintf(mark->lsn, sizeof(mark->lsn), "%s", pg_text(result, 0, 0));
        mark->taken_us = sent_us;
        mark->is_there = true;
        pthread_mutex_unlock(&mark->lock);
        pg_result_free(result);
    }
    return EVERY_MS;
}

bool wal_mark_get(struct wal_mark *mark, int64_t age_ms_max, char ret_lsn[WAL_MARK_LSN_SIZE])
{
    bool is_recent;

    pthread_mutex_lock(&mark->lock);
    is_recent = mark->is_there && clock_mono_us() - mark->taken_us <= age_ms_max * CLOCK_US_PER_MS;
    if (is_recent) {
        memcpy(ret_lsn, mark->lsn, WAL_MARK_LSN_SIZE);
    }
    pthread_mutex_unlock(&mark->lock);
    return is_recent;
}
