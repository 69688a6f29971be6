#include "common/service/exporter.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/metrics.h"
#include "common/base/ticker.h"
#include "common/base/version.h"
#include "common/http/post.h"
#include "common/service/otlp.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#define TRACES_MAX 2048 /* waiting, at 2 to 3 KiB each */
#define BATCH_SPANS 512 /* some 256 KiB of JSON */
#define HURRY_AT 256    /* traces */
#define EVERY_MS 1000
/* With EXPORTER_END_MS less than the five seconds that the chart grants for an end. */
#define POST_MS 3000
#define TRIES_MAX 5
#define PAUSE_FIRST_MS 1000
#define PAUSE_MAX_MS 30000
#define LOG_EVERY_MS 60000

static struct metric_family spans_counter = METRIC_COUNTER(
    "faststock_trace_spans_total", "Spans of sampled requests, by what became of them.", "result");
static struct metric_family waiting_gauge =
    METRIC_GAUGE("faststock_traces_waiting", "Traces that wait to be sent.", METRIC_NO_LABELS);

/* DROPPED: there was no room. FAILED: the collector was away for too long. REJECTED: it refused. */
enum { SENT, DROPPED, FAILED, REJECTED, WAITING, SERIES };

static const struct metric_row rows[SERIES] = {
    [SENT] = {&spans_counter, {"sent"}},     [DROPPED] = {&spans_counter, {"dropped"}},
    [FAILED] = {&spans_counter, {"failed"}}, [REJECTED] = {&spans_counter, {"rejected"}},
    [WAITING] = {&waiting_gauge, {NULL}},
};

struct exporter {
    struct post_target target;
    const char *service;
    char *instance;
    struct trace_queue *queue;
    struct metric *series[SERIES];
    pthread_mutex_t lock;  /* guards the next */
    struct ticker *ticker; /* NULL at first, and when it is ending */
    /* the rest belongs to the thread that sends */
    struct strbuf batch; /* the one that is being sent; empty: none */
    size_t batch_spans;
    int tries;
    int64_t not_before_us; /* the next try; monotonic */
    int64_t logged_us;     /* when a failure was last logged; 0: never */
};

static int64_t export(void *arg);

static void hurry(void *arg)
{
    struct exporter *exporter = arg;

    pthread_mutex_lock(&exporter->lock);
    if (exporter->ticker != NULL) {
        ticker_hurry(exporter->ticker);
    }
    pthread_mutex_unlock(&exporter->lock);
}

static void update_metrics(void *arg)
{
    struct exporter *exporter = arg;

    metric_set(exporter->series[DROPPED], (double)trace_queue_dropped(exporter->queue));
    metric_set(exporter->series[WAITING], (double)trace_queue_waiting(exporter->queue));
}

struct exporter *exporter_create(const char *endpoint, const char *service, const char *instance)
{
    struct exporter *exporter;
    char why[CONFIG_WHY_SIZE];
    bool is_valid;

    if (endpoint[0] == '\0') {
        return NULL;
    }
    exporter = fs_calloc(1, sizeof(*exporter));
    is_valid = post_parse_url(endpoint, &exporter->target, why);
    assert(is_valid); /* the settings are checked when they are read */
    (void)is_valid;
    exporter->service = service;
    exporter->instance = fs_strdup(instance);
    metric_get_rows(rows, SERIES, NULL, exporter->series);
    exporter->queue = trace_queue_create(&(struct trace_queue_options){
        .traces_max = TRACES_MAX, .hurry_at = HURRY_AT, .hurry = hurry, .arg = exporter});
    pthread_mutex_init(&exporter->lock, NULL);
    metrics_add_hook(update_metrics, exporter);
    exporter->ticker = ticker_create(export, exporter);
    return exporter;
}

struct trace_queue *exporter_queue(struct exporter *exporter)
{
    return exporter == NULL ? NULL : exporter->queue;
}

/* --- on the thread that sends ----------------------------------------------------------------- */

/* Makes the next batch of what waits; false when nothing does. */
static bool take_batch(struct exporter *exporter)
{
    const struct otlp_resource resource = {
        .service = exporter->service, .version = version_number(), .instance = exporter->instance};
    struct trace *traces = trace_queue_take(exporter->queue, BATCH_SPANS, &exporter->batch_spans);

    if (traces == NULL) {
        return false;
    }
    otlp_encode(&resource, traces, &exporter->batch);
    exporter->tries = 0;
    while (traces != NULL) {
        struct trace *next = traces->next;

        trace_destroy(traces);
        traces = next;
    }
    return true;
}

static void end_batch(struct exporter *exporter, int result)
{
    metric_add(exporter->series[result], exporter->batch_spans);
    strbuf_clear(&exporter->batch);
}

static void log_failure(struct exporter *exporter, const struct post_answer *answer)
{
    int64_t now_us = clock_mono_us();

    if (exporter->logged_us == 0 ||
        now_us - exporter->logged_us >= LOG_EVERY_MS * CLOCK_US_PER_MS) {
        exporter->logged_us = now_us;
        log_warn(log_msg("the collector took no traces: those that wait too long are dropped"),
                 log_str("host", exporter->target.host), log_int("port", exporter->target.port),
                 log_int("status", answer->status), log_str("error", answer->error));
    }
}

static void take_answer(struct exporter *exporter, const struct post_answer *answer)
{
    size_t rejected = (size_t)otlp_rejected_spans(strbuf_text(&answer->body));

    rejected = rejected < exporter->batch_spans ? rejected : exporter->batch_spans;
    metric_add(exporter->series[REJECTED], rejected);
    exporter->batch_spans -= rejected;
    end_batch(exporter, SENT);
}

/* How long to wait before the next try. */
static int64_t pause_ms(const struct exporter *exporter, const struct post_answer *answer)
{
    int64_t ms = PAUSE_FIRST_MS << (exporter->tries - 1);

    ms = answer->retry_ms > ms ? answer->retry_ms : ms;
    return ms < PAUSE_MAX_MS ? ms : PAUSE_MAX_MS;
}

/* Sends the batch once. Returns how long to wait before anything else is sent. */
static int64_t send_batch(struct exporter *exporter, int64_t timeout_ms)
{
    struct post_answer answer;
    enum otlp_verdict verdict;
    int64_t ms = 0;

    post_send(&exporter->target, OTLP_PATH, OTLP_CONTENT_TYPE, &exporter->batch,
              clock_after_ms(timeout_ms), &answer);
    exporter->tries++;
    verdict = otlp_judge(answer.status);
    if (verdict != OTLP_TAKEN) {
        log_failure(exporter, &answer);
    }
    switch (verdict) {
    case OTLP_TAKEN:
        take_answer(exporter, &answer);
        break;
    case OTLP_REFUSED:
        end_batch(exporter, REJECTED);
        break;
    case OTLP_AGAIN:
        ms = pause_ms(exporter, &answer);
        if (exporter->tries >= TRIES_MAX) {
            end_batch(exporter, FAILED);
        }
        break;
    }
    strbuf_finish(&answer.body);
    return ms;
}

static int64_t export(void *arg)
{
    struct exporter *exporter = arg;

    if (clock_left_ms(exporter->not_before_us) > 0) { /* it was hurried */
        return clock_left_ms(exporter->not_before_us);
    }
    while (exporter->batch.len > 0 || take_batch(exporter)) {
        int64_t ms = send_batch(exporter, POST_MS);

        if (ms > 0) {
            exporter->not_before_us = clock_after_ms(ms);
            return ms;
        }
        if (trace_queue_waiting(exporter->queue) < HURRY_AT) {
            break;
        }
    }
    return EVERY_MS;
}

/* --- the end ---------------------------------------------------------------------------------- */

/* Each batch gets one more try, until a try fails or the time is over. */
static void send_rest(struct exporter *exporter)
{
    int64_t until_us = clock_after_ms(EXPORTER_END_MS);
    bool is_going = true;

    while (exporter->batch.len > 0 || take_batch(exporter)) {
        if (is_going && clock_left_ms(until_us) > 0) {
            is_going = send_batch(exporter, clock_left_ms(until_us)) == 0;
        }
        if (exporter->batch.len > 0 && !is_going) {
            end_batch(exporter, FAILED);
        }
        is_going = is_going && clock_left_ms(until_us) > 0;
    }
}

void exporter_destroy(struct exporter *exporter)
{
    struct ticker *ticker;

    if (exporter == NULL) {
        return;
    }
    pthread_mutex_lock(&exporter->lock);
    ticker = exporter->ticker;
    exporter->ticker = NULL;
    pthread_mutex_unlock(&exporter->lock);
    ticker_destroy(ticker);
    send_rest(exporter);
    metrics_remove_hook(update_metrics, exporter);
    trace_queue_destroy(exporter->queue);
    strbuf_finish(&exporter->batch);
    pthread_mutex_destroy(&exporter->lock);
    free(exporter->instance);
    free(exporter);
}
