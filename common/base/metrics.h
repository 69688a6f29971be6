/* Metrics in Prometheus' text format 0.0.4. A module declares its families as static objects, and
 * its series as a table that an enum indexes, so that a series is named in one place:
 *
 *   static struct metric_family fills = METRIC_COUNTER("faststock_x_total", "What.", "result");
 *
 *   enum { FILL_STORED, FILL_OLDER, SERIES };
 *   static const struct metric_row rows[SERIES] = {
 *       [FILL_STORED] = {&fills, {"stored"}},
 *       [FILL_OLDER] = {&fills, {"older"}},
 *   };
 *
 *   struct metric *series[SERIES];                     // a member of the module's struct
 *   metric_get_rows(rows, SERIES, NULL, series);       // once
 *   metric_add(series[FILL_STORED], 1);                // often: one relaxed atomic add
 *
 * A family appears in the output once it has a series. All functions are thread-safe, and threads
 * that count the same do not slow each other down, because a series has counters for several of
 * them, which only the output sums up. Series live as long as the process. Durations are observed
 * in seconds. */
#ifndef FASTSTOCK_COMMON_BASE_METRICS_H
#define FASTSTOCK_COMMON_BASE_METRICS_H

#include "common/base/strbuf.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
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
    bool is_registered;
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

/* A row of a module's table of series. A NULL in `values` where the family has a label stands for
 * the owner's name, e.g. for the store that a pool belongs to. A row without a family has no
 * series. */
struct metric_row {
    struct metric_family *family;
    const char *values[METRIC_LABELS_MAX];
};

/* Sets ret_series[i] to the series of rows[i], or to NULL where the row has no family. `owner` is
 * copied; it may be NULL when no row needs it. */
void metric_get_rows(const struct metric_row *rows, size_t count, const char *owner,
                     struct metric **ret_series);

void metric_add(struct metric *metric, uint64_t n); /* counters */
/* Gauges, and counters whose value is kept elsewhere. */
void metric_set(struct metric *metric, double value);
void metric_observe(struct metric *metric, double value); /* histograms */
uint64_t metric_count(const struct metric *metric);       /* a counter's value */

/* `hook(arg)` runs before each output, to set gauges. Call metrics_remove_hook before `arg` goes
 * away: it waits for a run under way. */
void metrics_add_hook(void (*hook)(void *arg), void *arg);
void metrics_remove_hook(void (*hook)(void *arg), void *arg);

/* Adds the whole output to `out`. */
void metrics_render(struct strbuf *out);

#endif
