#include "read-svc/tail.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/metrics.h"
#include "common/base/parse.h"
#include "common/base/ticker.h"
#include "common/products/ledger.h"
#include "common/products/ledger_follower.h"
#include "common/products/product_rows.h"

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHANGES_LIMIT "50001"
#define QUERY_MS 2000 /* deadline; the store's own timeout for a statement is usually shorter */

static struct metric_family age_gauge = METRIC_GAUGE(
    "faststock_watermark_age_seconds",
    "Age of the watermark: every change that was committed before it is known here. An answer "
    "from a cache is no older, or was read later.",
    METRIC_NO_LABELS);
static struct metric_family changes_counter =
    METRIC_COUNTER("faststock_tail_changes_total",
                   "Changed products that the ledger's rounds have told.", METRIC_NO_LABELS);
static struct metric_family begins_counter = METRIC_COUNTER(
    "faststock_tail_begins_total",
    "How often the ledger was followed anew, with empty caches, by the reason.", "reason");

enum series { AGE, CHANGES, BEGUN_FIRST, BEGUN_TIMELINE, BEGUN_WENT_BACK, BEGUN_TOO_MANY, SERIES };

static const struct metric_row rows[SERIES] = {
    [AGE] = {&age_gauge, {NULL}},
    [CHANGES] = {&changes_counter, {NULL}},
    [BEGUN_FIRST] = {&begins_counter, {"start"}},
    [BEGUN_TIMELINE] = {&begins_counter, {"timeline"}},
    [BEGUN_WENT_BACK] = {&begins_counter, {"went_back"}},
    [BEGUN_TOO_MANY] = {&begins_counter, {"too_many"}},
};

/* What the first row of a round tells. */
struct round {
    int64_t sent_us;  /* monotonic */
    int64_t began_us; /* PostgreSQL's clock before the snapshot */
    int64_t read_us;  /* and after it */
    uint32_t timeline;
    uint64_t lsn;
    const char *lsn_text; /* borrowed from the result, as the next one */
    const char *snapshot;
    size_t count; /* of changed products */
};

struct tail {
    struct tail_options options;
    struct ticker *ticker;
    struct metric *series[SERIES];
    int64_t created_us;

    /* of the thread alone */
    struct ledger_follower follower;
    char *seen;        /* the snapshot of the last round; LEDGER_SEES_ALL before the first one */
    struct round last; /* sent_us is 0 before the first one */
    struct product_version *changes; /* TAIL_CHANGES_MAX */

    pthread_mutex_t lock; /* guards the rest */
    struct tail_mark mark;
    bool has_mark;
};

static int64_t run(void *arg);
static void update_gauge(void *arg);

struct tail *tail_create(const struct tail_options *options)
{
    struct tail *tail = fs_calloc(1, sizeof(*tail));

    tail->options = *options;
    tail->created_us = clock_mono_us();
    tail->follower = (struct ledger_follower){
        .name = "L1", .database = options->database, .deadline_ms = QUERY_MS};
    tail->seen = fs_strdup(LEDGER_SEES_ALL);
    tail->changes = fs_calloc(TAIL_CHANGES_MAX, sizeof(*tail->changes));
    pthread_mutex_init(&tail->lock, NULL);
    metric_get_rows(rows, SERIES, NULL, tail->series);
    metrics_add_hook(update_gauge, tail);
    tail->ticker = ticker_create(run, tail);
    return tail;
}

void tail_destroy(struct tail *tail)
{
    if (tail == NULL) {
        return;
    }
    ticker_destroy(tail->ticker);
    metrics_remove_hook(update_gauge, tail);
    pthread_mutex_destroy(&tail->lock);
    free(tail->seen);
    free(tail->changes);
    free(tail);
}

/* Before the first round it is as old as the tail. */
static void update_gauge(void *arg)
{
    struct tail *tail = arg;
    int64_t now_us = clock_mono_us();
    int64_t as_of_us = watermark_get(tail->options.watermark);
    int64_t age_us = as_of_us == 0 ? now_us - tail->created_us
                                   : watermark_age_us(tail->options.watermark, as_of_us, now_us);

    metric_set(tail->series[AGE], (double)age_us / (double)CLOCK_US_PER_S);
}

bool tail_get_mark(struct tail *tail, struct tail_mark *ret_mark)
{
    bool has_mark;

    pthread_mutex_lock(&tail->lock);
    has_mark = tail->has_mark;
    if (has_mark) {
        *ret_mark = tail->mark;
    }
    pthread_mutex_unlock(&tail->lock);
    return has_mark;
}

/* --- the statement ---------------------------------------------------------------------------- */

/* now() is of before the snapshot, clock_timestamp() of after it. The insert position is behind
 * every commit record, whether it is on disk yet or not; a primary of ours that is itself a replica
 * has replayed what its readers see. */
/* clang-format off */
#define MARK                                                                                       \
    "SELECT extract(epoch FROM now()) AS began, extract(epoch FROM clock_timestamp()) AS read, "   \
    PRODUCT_ROWS_TIMELINE " AS wal_file,"                                                          \
    " coalesce(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()"                        \
    "  ELSE pg_current_wal_insert_lsn() END, '0/0')::text AS lsn,"                                 \
    " pg_current_snapshot()::text AS snapshot"
/* clang-format on */

static const char round_sql[] =
    "SELECT mark.*, movement.product_id, movement.version"
    " FROM (" MARK ") AS mark"
    " LEFT JOIN (SELECT product_id, max(version) AS version FROM stock_movements"
    "  WHERE " LEDGER_NOT_SEEN_BY("$1") " GROUP BY product_id"
                                        "  LIMIT " CHANGES_LIMIT ") AS movement ON true";

enum {
    COLUMN_BEGAN,
    COLUMN_READ,
    COLUMN_WAL_FILE,
    COLUMN_LSN,
    COLUMN_SNAPSHOT,
    COLUMN_PRODUCT,
    COLUMN_VERSION
};

/* "16/B374D848" as a number; 0 when it is none. */
static uint64_t lsn_number(const char *text)
{
    char *slash;
    uint64_t high = strtoull(text, &slash, 16);

    return *slash == '/' ? high << 32 | strtoull(slash + 1, NULL, 16) : 0;
}

static void take_round(const struct pg_result *result, struct round *round)
{
    bool is_time = parse_seconds_us(pg_text(result, 0, COLUMN_BEGAN), &round->began_us) &&
                   parse_seconds_us(pg_text(result, 0, COLUMN_READ), &round->read_us);

    assert(is_time); /* it is PostgreSQL's clock */
    (void)is_time;
    round->timeline = product_rows_timeline(pg_text(result, 0, COLUMN_WAL_FILE));
    round->lsn_text = pg_text(result, 0, COLUMN_LSN);
    round->lsn = lsn_number(round->lsn_text);
    round->snapshot = pg_text(result, 0, COLUMN_SNAPSHOT);
    round->count = pg_text(result, 0, COLUMN_PRODUCT) == NULL ? 0 : (size_t)pg_rows(result);
}

/* --- a round ---------------------------------------------------------------------------------- */

/* Why what this round tells cannot be joined to what is known; SERIES: it can. */
static enum series reason_to_begin(const struct tail *tail, const struct round *round)
{
    if (tail->last.sent_us == 0) {
        return BEGUN_FIRST;
    }
    if (round->timeline != tail->last.timeline) {
        return BEGUN_TIMELINE;
    }
    if (round->began_us < tail->last.began_us || round->lsn < tail->last.lsn) {
        return BEGUN_WENT_BACK;
    }
    return round->count > TAIL_CHANGES_MAX ? BEGUN_TOO_MANY : SERIES;
}

/* Readers stop trusting the caches first, and trust them again once these are empty. */
static void begin_anew(struct tail *tail, const struct round *round, enum series reason)
{
    int64_t since_us = round->read_us;

    /* states that were read before a clock was set back claim to be of later */
    if (reason == BEGUN_WENT_BACK &&
        tail->last.read_us + round->sent_us > since_us + tail->last.sent_us) {
        since_us = tail->last.read_us + round->sent_us - tail->last.sent_us + CLOCK_US_PER_S;
    }
    watermark_reset(tail->options.watermark);
    l1_drop_all(tail->options.l1);
    versions_begin(tail->options.versions, round->timeline, since_us);
    if (reason == BEGUN_TIMELINE || reason == BEGUN_WENT_BACK) {
        catalog_load_anew(tail->options.catalog);
    }
    metric_add(tail->series[reason], 1);
    log_info(log_msg("the ledger is followed anew, with empty caches"),
             log_str("reason", rows[reason].values[0]), log_int("timeline", round->timeline),
             log_int("changes", (int64_t)round->count));
}

static void note_changes(struct tail *tail, const struct pg_result *result,
                         const struct round *round)
{
    for (size_t i = 0; i < round->count; i++) {
        tail->changes[i] =
            (struct product_version){.id = pg_int(result, (int)i, COLUMN_PRODUCT),
                                     .version = pg_int(result, (int)i, COLUMN_VERSION)};
    }
    versions_note(tail->options.versions, tail->changes, round->count, round->read_us);
    for (size_t i = 0; i < round->count; i++) {
        l1_drop_older(tail->options.l1, tail->changes[i].id, tail->changes[i].version);
    }
    metric_add(tail->series[CHANGES], round->count);
}

static void keep_mark(struct tail *tail, const struct round *round)
{
    pthread_mutex_lock(&tail->lock);
    snprintf(tail->mark.lsn, sizeof(tail->mark.lsn), "%s", round->lsn_text);
    tail->mark.read = (struct product_read){.us = round->began_us, .timeline = round->timeline};
    tail->has_mark = true;
    pthread_mutex_unlock(&tail->lock);
}

static void finish_round(struct tail *tail, const struct round *round)
{
    watermark_move(tail->options.watermark, round->began_us, round->sent_us);
    keep_mark(tail, round);
    free(tail->seen);
    tail->seen = fs_strdup(round->snapshot);
    tail->last = *round;
}

static void deal_with(struct tail *tail, const struct pg_result *result, int64_t sent_us)
{
    struct round round = {.sent_us = sent_us};
    enum series reason;

    take_round(result, &round);
    reason = reason_to_begin(tail, &round);
    if (reason != SERIES) {
        begin_anew(tail, &round, reason);
    } else {
        note_changes(tail, result, &round);
    }
    finish_round(tail, &round);
}

/* Called by the ticker; returns after how many milliseconds to call again. */
static int64_t run(void *arg)
{
    struct tail *tail = arg;
    const char *const params[] = {tail->seen};
    struct pg_result *result = NULL;
    int64_t sent_us = clock_mono_us();

    if (ledger_follower_ask(&tail->follower, round_sql, params, 1, &result)) {
        deal_with(tail, result, sent_us);
        pg_result_free(result);
    }
    return tail->options.every_ms;
}
