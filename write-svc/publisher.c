#include "write-svc/publisher.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/metrics.h"

#include <assert.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#define FAILING_MS 5000 /* how long a failure shows in the readiness, unless a success follows */
#define LOG_EVERY_MS 10000

static struct metric_family publish_counter = METRIC_COUNTER(
    "faststock_publish_total", "Committed states sent to Redis, by what came of it.", "result");

enum series { STORED, OLDER, FORGOTTEN, ERROR, SKIPPED, SERIES };

static const struct metric_row series_rows[SERIES] = {
    [STORED] = {&publish_counter, {"stored"}},       [OLDER] = {&publish_counter, {"older"}},
    [FORGOTTEN] = {&publish_counter, {"forgotten"}}, [ERROR] = {&publish_counter, {"error"}},
    [SKIPPED] = {&publish_counter, {"skipped"}},
};

struct publisher {
    struct product_cache *cache;
    struct metric *series[SERIES];
    _Atomic int64_t failed_us;     /* the last failure, if no success followed; else 0 */
    _Atomic int64_t logged_us;     /* when failures were last logged; 0: never */
    atomic_uint_fast64_t failures; /* states that could not be published, since the last log */
};

struct publisher *publisher_create(struct product_cache *cache)
{
    struct publisher *publisher = fs_calloc(1, sizeof(*publisher));

    publisher->cache = cache;
    metric_get_rows(series_rows, SERIES, NULL, publisher->series);
    return publisher;
}

void publisher_destroy(struct publisher *publisher)
{
    free(publisher);
}

void publisher_begin(struct publisher *publisher, int64_t deadline_us,
                     struct generation *ret_generation)
{
    *ret_generation = (struct generation){.epoch = ""};
    if (publisher->cache != NULL) {
        product_cache_known_generation(publisher->cache, deadline_us, ret_generation);
    }
}

/* Counts states that Redis refused or did not answer for; logs them once in a while, because under
 * load each would be a line. */
static void note_failure(struct publisher *publisher, uint64_t count)
{
    int64_t now_us = clock_mono_us();
    int64_t logged_us = atomic_load(&publisher->logged_us);

    metric_add(publisher->series[ERROR], count);
    atomic_fetch_add(&publisher->failures, count);
    atomic_store(&publisher->failed_us, now_us);
    if ((logged_us == 0 || now_us - logged_us >= LOG_EVERY_MS * CLOCK_US_PER_MS) &&
        atomic_compare_exchange_strong(&publisher->logged_us, &logged_us, now_us)) {
        log_warn(log_msg("committed changes cannot be published: readers see them when the relay "
                         "has removed the older states from Redis"),
                 log_int("states", (int64_t)atomic_exchange(&publisher->failures, 0)));
    }
}

/* The states that are there; returns how many. */
static size_t leave_out_missing(struct product *const *products, size_t count,
                                struct product **shown)
{
    size_t shown_count = 0;

    for (size_t i = 0; i < count; i++) {
        if (products[i] != NULL) {
            shown[shown_count++] = products[i];
        }
    }
    return shown_count;
}

void publisher_publish(struct publisher *publisher, struct product *const *products, size_t count,
                       const struct generation *generation)
{
    struct product *shown[PRODUCT_CACHE_BATCH_MAX];
    size_t shown_count;
    size_t stored = 0;
    enum status status = STATUS_UNAVAILABLE;

    assert(count <= PRODUCT_CACHE_BATCH_MAX);
    shown_count = leave_out_missing(products, count, shown);
    if (shown_count < count) {
        note_failure(publisher, count - shown_count);
    }
    if (shown_count == 0) {
        return;
    }
    if (publisher->cache != NULL) {
        status = product_cache_publish(publisher->cache, shown, shown_count, generation,
                                       clock_after_ms(PRODUCT_CACHE_PUBLISH_MS), &stored);
    }
    if (status == STATUS_OK) {
        atomic_store(&publisher->failed_us, 0);
        metric_add(publisher->series[STORED], stored);
        metric_add(publisher->series[OLDER], shown_count - stored);
    } else if (status == STATUS_UNAVAILABLE) {
        metric_add(publisher->series[SKIPPED], shown_count);
    } else {
        note_failure(publisher, shown_count);
    }
}

static void forget(struct publisher *publisher, const struct product_version *versions,
                   size_t count)
{
    enum status status = STATUS_UNAVAILABLE;
    size_t removed = 0;

    if (publisher->cache != NULL) {
        status = product_cache_drop_older(publisher->cache, versions, count,
                                          clock_after_ms(PRODUCT_CACHE_PUBLISH_MS), &removed);
    }
    if (status == STATUS_OK) {
        atomic_store(&publisher->failed_us, 0);
        metric_add(publisher->series[FORGOTTEN], count);
    } else if (status == STATUS_UNAVAILABLE) {
        metric_add(publisher->series[SKIPPED], count);
    } else {
        note_failure(publisher, count);
    }
}

void publisher_forget(struct publisher *publisher, const struct product_version *versions,
                      size_t count)
{
    for (size_t i = 0; i < count; i += PRODUCT_CACHE_DROP_MAX) {
        forget(publisher, versions + i,
               count - i < PRODUCT_CACHE_DROP_MAX ? count - i : PRODUCT_CACHE_DROP_MAX);
    }
}

enum breaker_state publisher_state(void *publisher)
{
    int64_t failed_us = atomic_load(&((struct publisher *)publisher)->failed_us);
    bool is_failing = failed_us != 0 && clock_mono_us() - failed_us < FAILING_MS * CLOCK_US_PER_MS;

    return is_failing ? BREAKER_OPEN : BREAKER_CLOSED;
}
