#include "common/http/traffic.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/metrics.h"
#include "common/base/thread.h"

#include <math.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATUSES_MAX 24

static struct metric_family requests_counter =
    METRIC_COUNTER("http_requests_total", "HTTP requests answered, by route template.", "method",
                   "route", "status");
static struct metric_family duration_histogram = METRIC_HISTOGRAM(
    "http_request_duration_seconds", "From the end of a request's head to the end of its answer.",
    metric_buckets_seconds, "method", "route");
static const char *const methods[] = {"GET",   "HEAD",   "POST",    "PUT",
                                      "PATCH", "DELETE", "OPTIONS", "OTHER"};
#define METHODS FS_ARRAY_LEN(methods)

/* The series of one route and method. */
struct route_metrics {
    const char *route;
    _Atomic(struct metric *) duration[METHODS];
    _Atomic(struct metric *) requests[METHODS][STATUSES_MAX];
    _Atomic int statuses[STATUSES_MAX]; /* which status has which place in `requests` */
};

struct traffic {
    const struct http_route *routes;
    size_t route_count;
    struct route_metrics *metrics; /* one per route, and a last one for requests that match none */
    int64_t log_sample;
    int64_t log_slow_us;
};

struct traffic *traffic_create(const struct http_route *routes, int64_t log_sample,
                               int64_t log_slow_ms)
{
    struct traffic *traffic = fs_calloc(1, sizeof(*traffic));

    traffic->routes = routes;
    traffic->log_sample = log_sample;
    traffic->log_slow_us = log_slow_ms * CLOCK_US_PER_MS;
    while (routes[traffic->route_count].method != NULL) {
        traffic->route_count++;
    }
    traffic->metrics = fs_calloc(traffic->route_count + 1, sizeof(*traffic->metrics));
    for (size_t i = 0; i <= traffic->route_count; i++) {
        traffic->metrics[i].route = i < traffic->route_count ? routes[i].path : "unmatched";
    }
    return traffic;
}

void traffic_destroy(struct traffic *traffic)
{
    if (traffic != NULL) {
        free(traffic->metrics);
        free(traffic);
    }
}

static size_t method_index(const char *method)
{
    size_t i = 0;

    while (i + 1 < METHODS && (method == NULL || strcmp(methods[i], method) != 0)) {
        i++;
    }
    return i;
}

/* The place of a status in the tables of a route; claimed without a lock. */
static size_t status_index(struct route_metrics *metrics, int status)
{
    for (size_t i = 0; i + 1 < STATUSES_MAX; i++) {
        int found = atomic_load_explicit(&metrics->statuses[i], memory_order_relaxed);

        if (found == status ||
            (found == 0 && (atomic_compare_exchange_strong(&metrics->statuses[i], &found, status) ||
                            found == status))) {
            return i;
        }
    }
    return STATUSES_MAX - 1;
}

static void count_request(struct route_metrics *metrics, const char *method, int status,
                          int64_t took_us)
{
    size_t m = method_index(method);
    size_t s = status_index(metrics, status);
    struct metric *requests = atomic_load_explicit(&metrics->requests[m][s], memory_order_acquire);
    struct metric *duration = atomic_load_explicit(&metrics->duration[m], memory_order_acquire);

    if (requests == NULL) {
        char text[16];

        snprintf(text, sizeof(text), "%d", status);
        requests = metric_get(&requests_counter, methods[m], metrics->route, text);
        atomic_store_explicit(&metrics->requests[m][s], requests, memory_order_release);
    }
    if (duration == NULL) {
        duration = metric_get(&duration_histogram, methods[m], metrics->route);
        atomic_store_explicit(&metrics->duration[m], duration, memory_order_release);
    }
    metric_add(requests, 1);
    if (took_us >= 0) { /* else it had no beginning */
        metric_observe(duration, (double)took_us / (double)CLOCK_US_PER_S);
    }
}

/* A 504 is no failure: the client asked for it, with only-if-cached. */
static bool is_failure(int status)
{
    return status >= 500 && status != 504;
}

/* Is it this answer's turn to be logged? Each thread counts its own, because a count that all share
 * would slow them down. */
static bool is_sampled(const struct traffic *traffic)
{
    static _Thread_local uint64_t count;

    return (thread_number() + count++) % (uint64_t)traffic->log_sample == 0;
}

static void log_answer(struct traffic *traffic, const char *route,
                       const struct traffic_answer *answer)
{
    bool slow = answer->took_us >= traffic->log_slow_us;

    if (!is_failure(answer->status) && !slow && !is_sampled(traffic)) {
        return;
    }
    log_write(is_failure(answer->status) ? LOG_WARN : LOG_INFO,
              LOG_FIELDS(log_msg("request"), log_str("method", answer->request->method),
                         log_str("route", route), log_str("path", answer->request->path),
                         log_int("status", answer->status),
                         log_num("took_ms", (double)(answer->took_us < 0 ? 0 : answer->took_us) /
                                                (double)CLOCK_US_PER_MS),
                         log_int("bytes", (int64_t)answer->body_bytes),
                         log_str("request_id", answer->request->id),
                         log_str("trace_id", answer->request->trace_id),
                         log_str("peer", answer->peer)));
}

void traffic_note(struct traffic *traffic, const struct traffic_answer *answer)
{
    size_t place =
        answer->route == NULL ? traffic->route_count : (size_t)(answer->route - traffic->routes);

    count_request(&traffic->metrics[place], answer->request->method, answer->status,
                  answer->took_us);
    log_answer(traffic, traffic->metrics[place].route, answer);
}
