#include "common/stores/pool.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/metrics.h"
#include "common/base/thread.h"
#include "common/stores/url.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define BREAKER_TIMEOUTS 5   /* in a row open the breaker */
#define RETRY_LOG_EVERY_S 30 /* a store that stays away is mentioned that often */
#define LOOK_MS 1000         /* between looks of the maintainer at the idle connections */

static struct metric_family connections_gauge =
    METRIC_GAUGE("faststock_pool_connections", "Open connections of a pool.", "store", "state");
static struct metric_family wait_histogram =
    METRIC_HISTOGRAM("faststock_pool_wait_seconds", "How long requests waited for a connection.",
                     metric_buckets_seconds, "store");
static struct metric_family timeouts_counter = METRIC_COUNTER(
    "faststock_pool_timeouts_total", "Requests that waited for a connection in vain.", "store");
static struct metric_family errors_counter = METRIC_COUNTER(
    "faststock_store_errors_total", "Calls to a store that failed.", "store", "kind");
static struct metric_family breaker_gauge = METRIC_GAUGE(
    "faststock_breaker_state", "Circuit breaker: 0 closed, 1 half-open, 2 open.", "store");
static struct metric_family opened_counter = METRIC_COUNTER(
    "faststock_breaker_opened_total", "How often the circuit breaker opened.", "store");

struct pool {
    struct pool_options options;
    char shown_url[1024];
    pthread_t maintainer;
    struct metric *idle_gauge;
    struct metric *busy_gauge;
    struct metric *wait;
    struct metric *timeouts;
    struct metric *errors[STATUS_FAILED + 1];
    struct metric *connect_errors;
    struct metric *breaker_state;
    struct metric *opened;

    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t released;
    pthread_cond_t work; /* for the maintainer */
    struct breaker breaker;
    void **idle; /* a stack: the connection used last is used next */
    int idle_count;
    int open_count; /* idle and busy */
    bool connect_failed_last;
    bool stopping;
};

static void *maintain(void *arg);
static void update_gauges(void *arg);

struct pool *pool_create(const struct pool_options *options)
{
    static const char *const kinds[] = {NULL, "timeout", NULL, "broken", "failed"};
    struct pool *pool = fs_calloc(1, sizeof(*pool));

    assert(options->size > 0);
    pool->options = *options;
    pool->options.url = NULL; /* it has the password, and is borrowed */
    url_redact(options->url, pool->shown_url, sizeof(pool->shown_url));
    pool->idle = fs_calloc((size_t)options->size, sizeof(*pool->idle));
    breaker_init(&pool->breaker, BREAKER_TIMEOUTS, options->probation_ms * CLOCK_US_PER_MS);
    pthread_mutex_init(&pool->lock, NULL);
    clock_cond_init(&pool->released);
    clock_cond_init(&pool->work);

    pool->idle_gauge = metric_get(&connections_gauge, options->store, "idle");
    pool->busy_gauge = metric_get(&connections_gauge, options->store, "busy");
    pool->wait = metric_get(&wait_histogram, options->store);
    pool->timeouts = metric_get(&timeouts_counter, options->store);
    for (size_t i = 0; i < FS_ARRAY_LEN(kinds); i++) {
        pool->errors[i] =
            kinds[i] == NULL ? NULL : metric_get(&errors_counter, options->store, kinds[i]);
    }
    pool->connect_errors = metric_get(&errors_counter, options->store, "connect");
    pool->breaker_state = metric_get(&breaker_gauge, options->store);
    pool->opened = metric_get(&opened_counter, options->store);
    metrics_add_hook(update_gauges, pool);

    pool->maintainer = thread_start(maintain, pool);
    return pool;
}

void pool_destroy(struct pool *pool)
{
    if (pool == NULL) {
        return;
    }
    pthread_mutex_lock(&pool->lock);
    pool->stopping = true;
    pthread_cond_broadcast(&pool->work);
    pthread_cond_broadcast(&pool->released);
    pthread_mutex_unlock(&pool->lock);
    pthread_join(pool->maintainer, NULL);
    metrics_remove_hook(update_gauges, pool);
    assert(pool->idle_count == pool->open_count);
    for (int i = 0; i < pool->idle_count; i++) {
        pool->options.ops.close(pool->idle[i]);
    }
    pthread_cond_destroy(&pool->work);
    pthread_cond_destroy(&pool->released);
    pthread_mutex_destroy(&pool->lock);
    free(pool->idle);
    free(pool);
}

static void update_gauges(void *arg)
{
    struct pool *pool = arg;

    pthread_mutex_lock(&pool->lock);
    breaker_allows(&pool->breaker, clock_mono_us());
    metric_set(pool->idle_gauge, pool->idle_count);
    metric_set(pool->busy_gauge, pool->open_count - pool->idle_count);
    metric_set(pool->breaker_state, pool->breaker.state);
    metric_set(pool->opened, (double)pool->breaker.opened);
    pthread_mutex_unlock(&pool->lock);
}

/* With the lock held: the store counts as away from now on. */
static void open_breaker_locked(struct pool *pool, const char *why)
{
    if (pool->breaker.state != BREAKER_OPEN) {
        log_warn(log_msg("store is away"), log_str("store", pool->options.store),
                 log_str("url", pool->shown_url), log_str("error", why),
                 log_int("retry_ms", pool->options.retry_ms));
    }
    breaker_trip(&pool->breaker);
    pthread_cond_broadcast(&pool->released);
    pthread_cond_signal(&pool->work);
}

static void log_presence(const struct pool *pool)
{
    log_info(log_msg("store is there"), log_str("store", pool->options.store),
             log_str("url", pool->shown_url));
}

/* With the lock held: the store answered the probe, or a call that was under way when it was given
 * up. */
static void answered_locked(struct pool *pool)
{
    if (pool->breaker.state == BREAKER_OPEN) {
        log_presence(pool);
    }
    breaker_success(&pool->breaker, clock_mono_us());
}

/* With the lock held, which it gives up meanwhile: closes one connection that is in nobody's
 * hands. */
static void close_one_locked(struct pool *pool, void *connection)
{
    pool->open_count--;
    pthread_cond_signal(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    pool->options.ops.close(connection);
    pthread_mutex_lock(&pool->lock);
}

/* With the lock held, which it gives up meanwhile: is this connection, that is in nobody's hands,
 * of use? Else it is closed. */
static bool keep_if_alive_locked(struct pool *pool, void *connection)
{
    int alive;

    pthread_mutex_unlock(&pool->lock);
    alive = pool->options.ops.alive(connection);
    pthread_mutex_lock(&pool->lock);
    if (!alive) {
        close_one_locked(pool, connection);
    }
    return alive != 0;
}

/* With the lock held: an idle connection that is alive, or NULL. */
static void *take_idle_locked(struct pool *pool)
{
    while (pool->idle_count > 0) {
        void *connection = pool->idle[--pool->idle_count];

        if (keep_if_alive_locked(pool, connection)) {
            return connection;
        }
    }
    return NULL;
}

enum status pool_acquire(struct pool *pool, int64_t deadline_us, void **ret_connection)
{
    int64_t start_us = clock_mono_us();
    int64_t until_us = start_us + (deadline_us - start_us) / 2;
    enum status status = STATUS_UNAVAILABLE;
    bool waited = false;

    pthread_mutex_lock(&pool->lock);
    while (!pool->stopping && breaker_allows(&pool->breaker, waited ? clock_mono_us() : start_us)) {
        void *connection = take_idle_locked(pool);

        if (connection != NULL) {
            *ret_connection = connection;
            status = STATUS_OK;
            break;
        }
        waited = true;
        if (!clock_cond_wait(&pool->released, &pool->lock, until_us) && pool->idle_count == 0) {
            metric_add(pool->timeouts, 1);
            break;
        }
    }
    pthread_mutex_unlock(&pool->lock);
    metric_observe(pool->wait,
                   waited ? (double)(clock_mono_us() - start_us) / (double)CLOCK_US_PER_S : 0);
    return status;
}

void pool_release(struct pool *pool, void *connection, enum status last)
{
    bool keep = last != STATUS_TIMEOUT && last != STATUS_BROKEN;

    if (pool->errors[last] != NULL) {
        metric_add(pool->errors[last], 1);
    }
    pthread_mutex_lock(&pool->lock);
    if (last == STATUS_OK || last == STATUS_FAILED) {
        answered_locked(pool);
    } else if (last == STATUS_TIMEOUT && breaker_failure(&pool->breaker)) {
        open_breaker_locked(pool, "it does not answer in time");
    }
    if (keep) {
        pool->idle[pool->idle_count++] = connection;
        pthread_cond_signal(&pool->released);
    } else {
        close_one_locked(pool, connection);
    }
    pthread_mutex_unlock(&pool->lock);
}

void pool_trip(struct pool *pool, const char *why)
{
    pthread_mutex_lock(&pool->lock);
    open_breaker_locked(pool, why);
    pthread_mutex_unlock(&pool->lock);
}

enum breaker_state pool_breaker_state(struct pool *pool)
{
    enum breaker_state state;

    pthread_mutex_lock(&pool->lock);
    breaker_allows(&pool->breaker, clock_mono_us());
    state = pool->breaker.state;
    pthread_mutex_unlock(&pool->lock);
    return state;
}

int pool_open_connections(struct pool *pool)
{
    int count;

    pthread_mutex_lock(&pool->lock);
    count = pool->open_count;
    pthread_mutex_unlock(&pool->lock);
    return count;
}

/* --- the maintainer --------------------------------------------------------------------------- */

static void connected_locked(struct pool *pool, void *connection)
{
    if (pool->breaker.state ==
        BREAKER_OPEN) { /* else the store only let one in: no answer to what timed out */
        answered_locked(pool);
    } else if (pool->open_count == 0) {
        log_presence(pool);
    }
    pool->connect_failed_last = false;
    pool->idle[pool->idle_count++] = connection;
    pool->open_count++;
    pthread_cond_signal(&pool->released);
}

/* One attempt to connect, the lock given up meanwhile. */
static void connect_one_locked(struct pool *pool, int64_t *last_log_us)
{
    int64_t now_us = clock_mono_us();
    char error[POOL_ERROR_SIZE] = "";
    void *connection;

    pthread_mutex_unlock(&pool->lock);
    connection = pool->options.ops.connect(
        pool->options.context, now_us + pool->options.connect_timeout_ms * CLOCK_US_PER_MS, error);
    pthread_mutex_lock(&pool->lock);
    if (connection != NULL) {
        connected_locked(pool, connection);
        return;
    }
    metric_add(pool->connect_errors, 1);
    pool->connect_failed_last = true;
    if (pool->open_count == 0 || pool->breaker.state == BREAKER_OPEN) {
        if (pool->breaker.state == BREAKER_OPEN &&
            now_us - *last_log_us >= RETRY_LOG_EVERY_S * CLOCK_US_PER_S) {
            log_warn(log_msg("store is still away"), log_str("store", pool->options.store),
                     log_str("url", pool->shown_url), log_str("error", error));
            *last_log_us = now_us;
        } else if (pool->breaker.state != BREAKER_OPEN) {
            *last_log_us = now_us;
        }
        open_breaker_locked(pool, error);
    }
}

/* With the lock held, which it gives up meanwhile: closes the idle connections that are of no use
 * any more, so that it is known of a store that nobody asks when it is away. Requests that take
 * some meanwhile look for themselves. */
static void look_locked(struct pool *pool)
{
    for (int left = pool->idle_count; left > 0 && pool->idle_count > 0; left--) {
        void *connection = pool->idle[0];

        pool->idle_count--;
        memmove(pool->idle, pool->idle + 1, (size_t)pool->idle_count * sizeof(*pool->idle));
        if (keep_if_alive_locked(pool, connection)) {
            pool->idle[pool->idle_count++] =
                connection; /* after a whole round the order is as before */
            pthread_cond_signal(&pool->released);
        }
    }
}

/* Spread over [3/4, 5/4] of retry_ms, so that the processes of a fleet do not knock at the same
 * instant. */
static int64_t retry_at_us(const struct pool *pool, unsigned *seed)
{
    int64_t retry_us = pool->options.retry_ms * CLOCK_US_PER_MS;

    return clock_mono_us() + retry_us * 3 / 4 + rand_r(seed) % (retry_us / 2 + 1);
}

static void *maintain(void *arg)
{
    struct pool *pool = arg;
    unsigned seed = (unsigned)clock_mono_us();
    int64_t last_log_us = 0;
    int64_t look_us = clock_mono_us() + LOOK_MS * CLOCK_US_PER_MS;

    pthread_mutex_lock(&pool->lock);
    while (!pool->stopping) {
        if (pool->breaker.state == BREAKER_OPEN && pool->idle_count > 0) {
            close_one_locked(pool, pool->idle[--pool->idle_count]);
        } else if (clock_mono_us() >= look_us) {
            look_locked(pool);
            look_us = clock_mono_us() + LOOK_MS * CLOCK_US_PER_MS;
        } else if (pool->open_count < pool->options.size) {
            connect_one_locked(pool, &last_log_us);
            if (pool->connect_failed_last) {
                int64_t until_us = retry_at_us(pool, &seed);

                while (!pool->stopping && clock_cond_wait(&pool->work, &pool->lock, until_us)) {
                }
            }
        } else {
            clock_cond_wait(&pool->work, &pool->lock, look_us);
        }
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}
