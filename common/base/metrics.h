/* Metrics in Prometheus' text format 0.0.4. A module declares its families as static tables, next
 * to what they count:
 *
 *   static struct metric_family opened = METRIC_COUNTER("faststock_x_total", "What it counts.",
 * "store"); struct metric *m = metric_get(&opened, "redis");   // once metric_add(m, 1); // often:
 * one relaxed atomic add
 *
 * A family appears in the output once it has a series. Everything here is thread-safe; series live
 * as long as the process. Durations are observed in seconds. */
#ifndef FASTSTOCK_COMMON_BASE_METRICS_H
#define FASTSTOCK_COMMON_BASE_METRICS_H

#include "common/base/strbuf.h"

#include <stdatomic.h>
#include <stdint.h>

#define METRIC_LABELS_MAX 3
#define METRIC_BUCKETS_MAX 20

enum metric_type { METRIC_TYPE_COUNTER, METRIC_TYPE_GAUGE, METRIC_TYPE_HISTOGRAM };

struct metric_family {
    const char *name;
    const char *help;
    enum metric_type type;
    const double *buckets; /* upper bounds, rising, ended by 0; histograms only */
    const char *labels[METRIC_LABELS_MAX];
    /* private */
    struct metric *series;
    struct metric_family *next;
    int registered;
};

struct metric;

#define METRIC_COUNTER(name_, help_, ...)                                                          \
    {                                                                                              \
        .name = name_, .help = help_, .type = METRIC_TYPE_COUNTER, .labels = { __VA_ARGS__ }       \
    }
#define METRIC_GAUGE(name_, help_, ...)                                                            \
    {                                                                                              \
        .name = name_, .help = help_, .type = METRIC_TYPE_GAUGE, .labels = { __VA_ARGS__ }         \
    }
#define METRIC_HISTOGRAM(name_, help_, buckets_, ...)                                              \
    {                                                                                              \
        .name = name_, .help = help_, .type = METRIC_TYPE_HISTOGRAM, .buckets = buckets_,          \
        .labels = {                                                                                \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }
#define METRIC_NO_LABELS NULL

/* 100 us to 10 s: from an answer out of memory to a deadline. */
extern const double metric_buckets_seconds[];
/* 1 to 1024, powers of two: sizes of batches. */
extern const double metric_buckets_size[];

/* The series with these label values (as many as the family has labels), made when it is new.
 * Values are copied. */
struct metric *metric_get(struct metric_family *family, ...);

void metric_add(struct metric *metric, uint64_t n); /* counters */
void metric_set(struct metric *metric,
                double value); /* gauges, and counters that are read elsewhere */
void metric_observe(struct metric *metric, double value); /* histograms */
uint64_t metric_count(const struct metric *metric);       /* a counter's value */

/* `hook(arg)` runs before each output, to set gauges. Call metrics_remove_hook before `arg` goes
 * away: it waits for a run under way. */
void metrics_add_hook(void (*hook)(void *arg), void *arg);
void metrics_remove_hook(void (*hook)(void *arg), void *arg);

/* Adds the whole output to `out`. */
void metrics_render(struct strbuf *out);

#endif
