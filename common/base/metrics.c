#include "common/base/metrics.h"

#include "common/base/alloc.h"
#include "common/base/thread.h"

#include <assert.h>
#include <math.h>
#include <pthread.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define HOOKS_MAX 16
#define STRIPES 16

/* A histogram's sum is kept in millionths, so that it is one integer add. */
#define SUM_SCALE 1e6

/* What some of the threads have counted. */
struct stripe {
    alignas(FS_CACHE_LINE) _Atomic uint64_t count; /* of a counter */
    _Atomic uint64_t sum_millionths;               /* of a histogram, as are the buckets */
    /* Each observation is counted in one bucket; the output sums them up. */
    _Atomic uint64_t buckets[METRIC_BUCKETS_MAX];
};

struct metric {
    struct metric *next;
    char *labels[METRIC_LABELS_MAX];
    const struct metric_family *family;
    _Atomic double value; /* of a gauge */
    _Atomic bool is_set;  /* `value` holds, not the counts */
    struct stripe stripes[STRIPES];
};

const double metric_buckets_seconds[] = {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005,
                                         0.01,   0.025,   0.05,   0.1,   0.25,   0.5,
                                         1,      2.5,     5,      10,    0};
const double metric_buckets_size[] = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 0};

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER; /* families and series lists */
static struct metric_family *families;

/* Held while hooks run, so that none runs once it is removed. */
static pthread_mutex_t hooks_lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    void (*run)(void *arg);
    void *arg;
} hooks[HOOKS_MAX];

static size_t label_count(const struct metric_family *family)
{
    size_t n = 0;

    while (n < METRIC_LABELS_MAX && family->labels[n] != NULL) {
        n++;
    }
    return n;
}

static struct metric *find_series(const struct metric_family *family, const char *const *values,
                                  size_t n)
{
    struct metric *metric = family->series;

    for (; metric != NULL; metric = metric->next) {
        size_t same = 0;

        while (same < n && strcmp(metric->labels[same], values[same]) == 0) {
            same++;
        }
        if (same == n) {
            return metric;
        }
    }
    return NULL;
}

/* Families are put out in the order of their names, whatever order the code first used them in. */
static void register_family(struct metric_family *family)
{
    struct metric_family **at = &families;

    while (*at != NULL && strcmp((*at)->name, family->name) < 0) {
        at = &(*at)->next;
    }
    family->next = *at;
    *at = family;
    family->is_registered = true;
}

static struct metric *add_series(struct metric_family *family, const char *const *values, size_t n)
{
    struct metric *metric = fs_calloc_aligned(FS_CACHE_LINE, sizeof(*metric));
    struct metric **last = &family->series;

    metric->family = family;
    for (size_t i = 0; i < n; i++) {
        metric->labels[i] = fs_strdup(values[i]);
    }
    if (!family->is_registered) {
        register_family(family);
    }
    while (*last != NULL) {
        last = &(*last)->next;
    }
    *last = metric;
    return metric;
}

/* The series with these `n` values, made when it is new. */
static struct metric *get_series(struct metric_family *family, const char *const *values, size_t n)
{
    struct metric *metric;

    pthread_mutex_lock(&registry_lock);
    metric = find_series(family, values, n);
    if (metric == NULL) {
        metric = add_series(family, values, n);
    }
    pthread_mutex_unlock(&registry_lock);
    return metric;
}

struct metric *metric_get(struct metric_family *family, ...)
{
    const char *values[METRIC_LABELS_MAX] = {NULL};
    size_t n = label_count(family);
    va_list args;

    va_start(args, family);
    for (size_t i = 0; i < n; i++) {
        values[i] = va_arg(args, const char *);
    }
    va_end(args);
    return get_series(family, values, n);
}

void metric_get_rows(const struct metric_row *rows, size_t count, const char *owner,
                     struct metric **ret_series)
{
    for (size_t i = 0; i < count; i++) {
        const char *values[METRIC_LABELS_MAX];
        size_t n = rows[i].family == NULL ? 0 : label_count(rows[i].family);

        for (size_t label = 0; label < n; label++) {
            values[label] = rows[i].values[label] == NULL ? owner : rows[i].values[label];
            assert(values[label] != NULL);
        }
        ret_series[i] = rows[i].family == NULL ? NULL : get_series(rows[i].family, values, n);
    }
}

static struct stripe *own_stripe(struct metric *metric)
{
    return &metric->stripes[thread_number() % STRIPES];
}

void metric_add(struct metric *metric, uint64_t n)
{
    atomic_fetch_add_explicit(&own_stripe(metric)->count, n, memory_order_relaxed);
}

void metric_set(struct metric *metric, double value)
{
    atomic_store_explicit(&metric->value, value, memory_order_relaxed);
    atomic_store_explicit(&metric->is_set, true, memory_order_relaxed);
}

void metric_observe(struct metric *metric, double value)
{
    const double *bounds = metric->family->buckets;
    struct stripe *stripe = own_stripe(metric);
    size_t i = 0;

    while (bounds[i] > 0 && value > bounds[i]) {
        i++;
    }
    atomic_fetch_add_explicit(&stripe->buckets[i], 1, memory_order_relaxed);
    if (value > 0) {
        atomic_fetch_add_explicit(&stripe->sum_millionths, (uint64_t)(value * SUM_SCALE + 0.5),
                                  memory_order_relaxed);
    }
}

uint64_t metric_count(const struct metric *metric)
{
    uint64_t count = 0;

    for (size_t i = 0; i < STRIPES; i++) {
        count += atomic_load_explicit(&metric->stripes[i].count, memory_order_relaxed);
    }
    return count;
}

void metrics_add_hook(void (*hook)(void *arg), void *arg)
{
    pthread_mutex_lock(&hooks_lock);
    for (size_t i = 0; i < HOOKS_MAX; i++) {
        if (hooks[i].run == NULL) {
            hooks[i].run = hook;
            hooks[i].arg = arg;
            pthread_mutex_unlock(&hooks_lock);
            return;
        }
    }
    abort(); /* HOOKS_MAX is too small for this program */
}

void metrics_remove_hook(void (*hook)(void *arg), void *arg)
{
    pthread_mutex_lock(&hooks_lock);
    for (size_t i = 0; i < HOOKS_MAX; i++) {
        if (hooks[i].run == hook && hooks[i].arg == arg) {
            hooks[i].run = NULL;
        }
    }
    pthread_mutex_unlock(&hooks_lock);
}

static void add_escaped(struct strbuf *out, const char *text, bool quotes)
{
    for (; *text != '\0'; text++) {
        if (*text == '\n') {
            strbuf_adds(out, "\\n");
        } else if (*text == '\\' || (quotes && *text == '"')) {
            strbuf_addc(out, '\\');
            strbuf_addc(out, *text);
        } else {
            strbuf_addc(out, *text);
        }
    }
}

static void add_number(struct strbuf *out, double value)
{
    if (value == floor(value) && fabs(value) < 1e15) {
        strbuf_add_int(out, (int64_t)value);
    } else {
        strbuf_addf(out, "%.15g", value);
    }
}

/* name_suffix{labels...,le="bound"} and a space; bound 0 is none, infinity is +Inf */
static void add_series_name(struct strbuf *out, const struct metric *metric, const char *suffix,
                            double bound)
{
    size_t n = label_count(metric->family);

    strbuf_addf(out, "%s%s", metric->family->name, suffix);
    if (n > 0 || bound > 0) {
        strbuf_addc(out, '{');
        for (size_t i = 0; i < n; i++) {
            strbuf_addf(out, "%s%s=\"", i > 0 ? "," : "", metric->family->labels[i]);
            add_escaped(out, metric->labels[i], true);
            strbuf_addc(out, '"');
        }
        if (bound > 0) {
            strbuf_adds(out, n > 0 ? ",le=\"" : "le=\"");
            if (isinf(bound)) {
                strbuf_adds(out, "+Inf");
            } else {
                add_number(out, bound);
            }
            strbuf_addc(out, '"');
        }
        strbuf_addc(out, '}');
    }
    strbuf_addc(out, ' ');
}

static uint64_t count_of_bucket(const struct metric *metric, size_t bucket)
{
    uint64_t count = 0;

    for (size_t i = 0; i < STRIPES; i++) {
        count += atomic_load_explicit(&metric->stripes[i].buckets[bucket], memory_order_relaxed);
    }
    return count;
}

static double sum_of(const struct metric *metric)
{
    uint64_t millionths = 0;

    for (size_t i = 0; i < STRIPES; i++) {
        millionths +=
            atomic_load_explicit(&metric->stripes[i].sum_millionths, memory_order_relaxed);
    }
    return (double)millionths / SUM_SCALE;
}

static void add_histogram(struct strbuf *out, const struct metric *metric)
{
    const double *bounds = metric->family->buckets;
    uint64_t total = 0;

    for (size_t i = 0;; i++) {
        total += count_of_bucket(metric, i);
        add_series_name(out, metric, "_bucket", bounds[i] > 0 ? bounds[i] : INFINITY);
        strbuf_add_int(out, (int64_t)total);
        strbuf_addc(out, '\n');
        if (bounds[i] <= 0) {
            break;
        }
    }
    add_series_name(out, metric, "_sum", 0);
    add_number(out, sum_of(metric));
    strbuf_addc(out, '\n');
    add_series_name(out, metric, "_count", 0);
    strbuf_add_int(out, (int64_t)total);
    strbuf_addc(out, '\n');
}

static void add_simple(struct strbuf *out, const struct metric *metric)
{
    add_series_name(out, metric, "", 0);
    if (atomic_load_explicit(&metric->is_set, memory_order_relaxed)) {
        add_number(out, atomic_load_explicit(&metric->value, memory_order_relaxed));
    } else {
        strbuf_add_int(out, (int64_t)metric_count(metric));
    }
    strbuf_addc(out, '\n');
}

static void add_family(struct strbuf *out, const struct metric_family *family)
{
    static const char *const types[] = {"counter", "gauge", "histogram"};

    strbuf_addf(out, "# HELP %s ", family->name);
    add_escaped(out, family->help, false);
    strbuf_addf(out, "\n# TYPE %s %s\n", family->name, types[family->type]);
    for (const struct metric *metric = family->series; metric != NULL; metric = metric->next) {
        if (family->type == METRIC_TYPE_HISTOGRAM) {
            add_histogram(out, metric);
        } else {
            add_simple(out, metric);
        }
    }
}

void metrics_render(struct strbuf *out)
{
    pthread_mutex_lock(&hooks_lock);
    for (size_t i = 0; i < HOOKS_MAX; i++) {
        if (hooks[i].run != NULL) {
            hooks[i].run(hooks[i].arg);
        }
    }
    pthread_mutex_unlock(&hooks_lock);
    pthread_mutex_lock(&registry_lock);
    for (const struct metric_family *family = families; family != NULL; family = family->next) {
        add_family(out, family);
    }
    pthread_mutex_unlock(&registry_lock);
}
