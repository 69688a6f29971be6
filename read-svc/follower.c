#include "read-svc/follower.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/metrics.h"
#include "common/base/parse.h"
#include "common/base/ticker.h"
#include "common/stores/redis_stream.h"

#include <stdlib.h>

/* After entries have come: those that follow shortly after are then read together. Redis has less
 * to do, which its writers feel; a change waits for half of this, on the average, while they come
 * thick and fast, and not at all else. */
#define PAUSE_MS 2

static struct metric_family entries_counter =
    METRIC_COUNTER("faststock_stream_entries_total",
                   "Entries read from the change stream of Redis.", METRIC_NO_LABELS);
static struct metric_family states_counter =
    METRIC_COUNTER("faststock_stream_states_total",
                   "States read from the change stream, by what came of them.", "result");
static struct metric_family attached_gauge = METRIC_GAUGE(
    "faststock_stream_attached", "1 while the change stream is read.", METRIC_NO_LABELS);
static struct metric_family breaks_counter = METRIC_COUNTER(
    "faststock_stream_breaks_total",
    "How often the change stream was away or may have missed entries, by the reason.", "reason");
static struct metric_family propagation_histogram = METRIC_HISTOGRAM(
    "faststock_propagation_seconds",
    "Time from the transaction of a change to its application here, of states that replaced one.",
    metric_buckets_seconds, METRIC_NO_LABELS);

enum {
    ENTRIES,
    REPLACED,
    IGNORED,
    UNREADABLE,
    ATTACHED,
    PROPAGATION,
    BREAK_CONNECTION,
    BREAK_EPOCH,
    BREAK_TRIMMED,
    BREAK_REPLACED,
    SERIES
};

static const struct metric_row series_rows[SERIES] = {
    [ENTRIES] = {&entries_counter, {NULL}},
    [REPLACED] = {&states_counter, {"replaced"}},
    [IGNORED] = {&states_counter, {"ignored"}},
    [UNREADABLE] = {&states_counter, {"unreadable"}},
    [ATTACHED] = {&attached_gauge, {NULL}},
    [PROPAGATION] = {&propagation_histogram, {NULL}},
    [BREAK_CONNECTION] = {&breaks_counter, {"connection"}},
    [BREAK_EPOCH] = {&breaks_counter, {"epoch"}},
    [BREAK_TRIMMED] = {&breaks_counter, {"trimmed"}},
    [BREAK_REPLACED] = {&breaks_counter, {"replaced"}},
};

/* A gap's name, and its series; the beginning is no break. */
static const struct {
    const char *reason;
    int series;
} gaps[REDIS_STREAM_GAPS] = {
    [REDIS_STREAM_BEGUN] = {"begun", SERIES},
    [REDIS_STREAM_EPOCH] = {"epoch", BREAK_EPOCH},
    [REDIS_STREAM_TRIMMED] = {"trimmed", BREAK_TRIMMED},
    [REDIS_STREAM_REPLACED] = {"replaced", BREAK_REPLACED},
};

struct follower {
    struct follower_options options;
    struct redis_stream *stream;
    struct ticker *ticker;
    struct metric *series[SERIES];
    /* of the thread alone */
    bool is_attached;
    bool is_told;     /* that it is not, in the log */
    bool has_entries; /* of the step */
};

static int64_t step(void *arg);

struct follower *follower_create(const struct follower_options *options)
{
    struct follower *follower = fs_calloc(1, sizeof(*follower));

    follower->options = *options;
    if (options->cache != NULL) {
        metric_get_rows(series_rows, SERIES, NULL, follower->series);
        follower->stream = product_cache_changes(options->cache);
        follower->ticker = ticker_create(step, follower);
    }
    return follower;
}

void follower_destroy(struct follower *follower)
{
    if (follower == NULL) {
        return;
    }
    ticker_destroy(follower->ticker);
    redis_stream_destroy(follower->stream);
    free(follower);
}

/* --- entries ---------------------------------------------------------------------------------- */

static void on_entry(void *context)
{
    struct follower *follower = context;

    follower->has_entries = true;
    metric_add(follower->series[ENTRIES], 1);
}

static void apply(const struct follower *follower, struct product *product)
{
    const struct follower_options *options = &follower->options;

    if (!options->apply(options->context, product)) {
        metric_add(follower->series[IGNORED], 1);
        return;
    }
    metric_add(follower->series[REPLACED], 1);
    if (options->age_us != NULL) {
        metric_observe(follower->series[PROPAGATION],
                       (double)options->age_us(options->context, product->read.us) /
                           (double)CLOCK_US_PER_S);
    }
}

/* A state that cannot be decoded is of a write-svc of another version. */
static void on_field(void *context, struct redis_bytes name, struct redis_bytes value)
{
    const struct follower *follower = context;
    struct product *product = NULL;
    int64_t id;

    if (parse_id(name.data, name.len, &id)) {
        product = product_decode(id, value.data, value.len);
    }
    if (product == NULL) {
        metric_add(follower->series[UNREADABLE], 1);
        return;
    }
    apply(follower, product);
    product_unref(product);
}

static void on_gap(void *context, enum redis_stream_gap gap)
{
    const struct follower *follower = context;

    if (gaps[gap].series != SERIES) {
        metric_add(follower->series[gaps[gap].series], 1);
    }
    if (follower->options.lost != NULL) {
        follower->options.lost(follower->options.context, gaps[gap].reason);
    }
}

/* --- steps ------------------------------------------------------------------------------------ */

/* A connection that is back at once is not worth a line. */
static void tell_state(struct follower *follower, bool is_attached, const char *note)
{
    bool was_attached = follower->is_attached;

    follower->is_attached = is_attached;
    metric_set(follower->series[ATTACHED], is_attached);
    if (was_attached && !is_attached) {
        metric_add(follower->series[BREAK_CONNECTION], 1);
    } else if (!is_attached && !follower->is_told) {
        follower->is_told = true;
        log_warn(log_msg("the change stream is away: changes are found in the ledger alone"),
                 log_str("error", note));
    } else if (is_attached && follower->is_told) {
        follower->is_told = false;
        log_info(log_msg("the change stream is read again"));
    }
}

/* Called by the ticker; the stream itself waits. */
static int64_t step(void *arg)
{
    struct follower *follower = arg;
    const struct redis_stream_calls calls = {
        .context = follower, .entry = on_entry, .field = on_field, .gap = on_gap};
    char note[REDIS_NOTE_SIZE] = "";
    bool is_attached;

    follower->has_entries = false;
    is_attached = redis_stream_step(follower->stream, &calls, note);
    tell_state(follower, is_attached, note);
    return follower->has_entries ? PAUSE_MS : 0;
}
