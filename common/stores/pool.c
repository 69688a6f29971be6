#include "common/stores/pool.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/metrics.h"
#include "common/base/thread.h"
#include "common/base/trace.h"
#include "common/stores/url.h"

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BREAKER_TIMEOUTS 5   /* in a row open the breaker */
#define RETRY_LOG_EVERY_S 30 /* between log lines about a store that stays away */
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

enum {
    CONNECTIONS_IDLE,
    CONNECTIONS_BUSY,
    WAIT,
    WAIT_TIMEOUTS,
    ERRORS_CONNECT,
    ERRORS_TIMEOUT,
    ERRORS_BROKEN,
    ERRORS_FAILED,
    BREAKER,
    BREAKER_OPENED,
    SERIES
};

static const struct metric_row rows[SERIES] = {
    [CONNECTIONS_IDLE] = {&connections_gauge, {NULL, "idle"}},
    [CONNECTIONS_BUSY] = {&connections_gauge, {NULL, "busy"}},
    [WAIT] = {&wait_histogram, {NULL}},
    [WAIT_TIMEOUTS] = {&timeouts_counter, {NULL}},
    [ERRORS_CONNECT] = {&errors_counter, {NULL, "connect"}},
    [ERRORS_TIMEOUT] = {&errors_counter, {NULL, "timeout"}},
    [ERRORS_BROKEN] = {&errors_counter, {NULL, "broken"}},
    [ERRORS_FAILED] = {&errors_counter, {NULL, "failed"}},
    [BREAKER] = {&breaker_gauge, {NULL}},
    [BREAKER_OPENED] = {&opened_counter, {NULL}},
};

struct pool {
    struct store_options options; /* without the URL, which holds the password */
    struct pool_ops ops;
    void *context;
    char shown_url[1024];
    pthread_t maintainer;
    struct metric *series[SERIES];

    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t released;
    pthread_cond_t work; /* for the maintainer */
    struct breaker breaker;
    void **idle; /* a stack: the connection used last is used next */
    int idle_count;
    int open_count;     /* idle and busy; idle_count <= open_count <= options.size */
    bool needs_connect; /* an answer does not close the breaker, see pool_trip */
    char away_reason[POOL_ERROR_SIZE];
    bool connect_failed_last;
    bool stopping;
};

static void *maintain(void *arg);
static void update_gauges(void *arg);

struct pool *pool_create(const struct pool_options *options)
{
    struct pool *pool = fs_calloc(1, sizeof(*pool));

    assert(options->store.size > 0 && options->store.size <= INT32_MAX);
    pool->options = options->store;
    pool->options.url = NULL;
    pool->ops = options->ops;
    pool->context = options->context;
    url_redact(options->store.url, pool->shown_url, sizeof(pool->shown_url));
    pool->idle = fs_calloc((size_t)options->store.size, sizeof(*pool->idle));
    breaker_init(&pool->breaker, BREAKER_TIMEOUTS, options->store.probation_ms * CLOCK_US_PER_MS);
    pthread_mutex_init(&pool->lock, NULL);
    clock_cond_init(&pool->released);
    clock_cond_init(&pool->work);
    metric_get_rows(rows, SERIES, options->store.name, pool->series);
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
        pool->ops.close(pool->idle[i]);
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
    metric_set(pool->series[CONNECTIONS_IDLE], pool->idle_count);
    metric_set(pool->series[CONNECTIONS_BUSY], pool->open_count - pool->idle_count);
    metric_set(pool->series[BREAKER], breaker_state(&pool->breaker, clock_mono_us()));
    metric_set(pool->series[BREAKER_OPENED], (double)pool->breaker.opened);
    pthread_mutex_unlock(&pool->lock);
}

static void count_error(struct pool *pool, enum status status)
{
    switch (status) {
    case STATUS_OK:
    case STATUS_UNAVAILABLE:
        break;
    case STATUS_TIMEOUT:
        metric_add(pool->series[ERRORS_TIMEOUT], 1);
        break;
    case STATUS_BROKEN:
        metric_add(pool->series[ERRORS_BROKEN], 1);
        break;
    case STATUS_FAILED:
        metric_add(pool->series[ERRORS_FAILED], 1);
        break;
    }
}

/* --- the breaker; with the lock held ---------------------------------------------------------- */

/* The breaker has just opened: tells the log, the waiting requests, and the maintainer. */
static void tell_away_locked(struct pool *pool, const char *why)
{
    log_warn(log_msg("store is away"), log_str("store", pool->options.name),
             log_str("url", pool->shown_url), log_str("error", why),
             log_int("retry_ms", pool->options.retry_ms));
    snprintf(pool->away_reason, POOL_ERROR_SIZE, "%s", why);
    pthread_cond_broadcast(&pool->released);
    pthread_cond_signal(&pool->work);
}

static void trip_locked(struct pool *pool, const char *why)
{
    assert(pool->breaker.is_open || !pool->needs_connect);
    if (!pool->breaker.is_open) {
        breaker_trip(&pool->breaker);
        tell_away_locked(pool, why);
    }
}

/* The store said itself that it is of no use. */
static void refuse_locked(struct pool *pool, const char *why)
{
    trip_locked(pool, why);
    pool->needs_connect = true;
}

static void log_presence(const struct pool *pool)
{
    log_info(log_msg("store is there"), log_str("store", pool->options.name),
             log_str("url", pool->shown_url));
}

/* The store answered the probe, or a call. */
static void succeed_locked(struct pool *pool)
{
    if (pool->breaker.is_open) {
        log_presence(pool);
    }
    breaker_succeed(&pool->breaker, clock_mono_us());
}

/* The end of a call says whether the store answers. */
static void judge_locked(struct pool *pool, enum status last)
{
    if (last == STATUS_OK || last == STATUS_FAILED) {
        if (!pool->needs_connect) {
            succeed_locked(pool);
        }
    } else if (last == STATUS_TIMEOUT && breaker_fail(&pool->breaker, clock_mono_us())) {
        tell_away_locked(pool, "it does not answer in time");
    }
}

/* --- idle connections; with the lock held ----------------------------------------------------- */

static void push_idle_locked(struct pool *pool, void *connection)
{
    assert(pool->idle_count < pool->open_count && pool->open_count <= pool->options.size);
    pool->idle[pool->idle_count++] = connection;
    pthread_cond_signal(&pool->released);
}

/* The connection used last. */
static void *pop_idle_locked(struct pool *pool)
{
    assert(pool->idle_count > 0 && pool->idle_count <= pool->open_count);
    return pool->idle[--pool->idle_count];
}

/* The connection that has been idle for longest. */
static void *shift_idle_locked(struct pool *pool)
{
    void *connection = pool->idle[0];

    assert(pool->idle_count > 0 && pool->idle_count <= pool->open_count);
    pool->idle_count--;
    memmove(pool->idle, pool->idle + 1, (size_t)pool->idle_count * sizeof(*pool->idle));
    return connection;
}

/* Closes a connection that is not among the idle ones. Gives the lock up meanwhile. */
static void close_locked(struct pool *pool, void *connection)
{
    assert(pool->open_count > pool->idle_count);
    pool->open_count--;
    pthread_cond_signal(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    pool->ops.close(connection);
    pthread_mutex_lock(&pool->lock);
}

/* An idle connection that shows no hang-up, or NULL; closes those that do. Gives the lock up
 * meanwhile. */
static void *take_idle_locked(struct pool *pool)
{
    while (pool->idle_count > 0) {
        void *connection = pop_idle_locked(pool);
        bool is_alive;

        pthread_mutex_unlock(&pool->lock);
        is_alive = pool->ops.is_alive(connection);
        pthread_mutex_lock(&pool->lock);
        if (is_alive) {
            return connection;
        }
        close_locked(pool, connection);
    }
    return NULL;
}

/* --- requests --------------------------------------------------------------------------------- */

int64_t pool_wait_until_us(int64_t deadline_us, int64_t timeout_ms)
{
    int64_t now_us = clock_mono_us();
    int64_t half_us = now_us + (deadline_us - now_us) / 2;
    int64_t latest_us = deadline_us - timeout_ms * CLOCK_US_PER_MS;

    return latest_us > half_us ? latest_us : half_us;
}

static const struct trace_kind wait_kind = {.name = "wait for a connection",
                                            .detail_key = "faststock.store"};

enum status pool_acquire(struct pool *pool, int64_t wait_until_us, void **ret_connection)
{
    int64_t start_us = clock_mono_us();
    int64_t now_us = start_us;
    enum status status = STATUS_UNAVAILABLE;
    int span = TRACE_NONE;

    pthread_mutex_lock(&pool->lock);
    while (!pool->stopping && breaker_state(&pool->breaker, now_us) == BREAKER_CLOSED) {
        void *connection = take_idle_locked(pool);
        bool in_time;

        if (connection != NULL) {
            *ret_connection = connection;
            status = STATUS_OK;
            break;
        }
        if (span == TRACE_NONE) {
            span = trace_begin(&wait_kind, pool->options.name, NULL);
        }
        in_time = clock_cond_wait(&pool->released, &pool->lock, wait_until_us);
        now_us = clock_mono_us();
        if (!in_time && pool->idle_count == 0) {
            metric_add(pool->series[WAIT_TIMEOUTS], 1);
            break;
        }
    }
    pthread_mutex_unlock(&pool->lock);
    trace_end(span, status);
    metric_observe(pool->series[WAIT], (double)(now_us - start_us) / (double)CLOCK_US_PER_S);
    return status;
}

void pool_release(struct pool *pool, void *connection, enum status last)
{
    count_error(pool, last);
    pthread_mutex_lock(&pool->lock);
    judge_locked(pool, last);
    if (last == STATUS_TIMEOUT || last == STATUS_BROKEN || pool->needs_connect) {
        close_locked(pool, connection);
    } else {
        push_idle_locked(pool, connection);
    }
    pthread_mutex_unlock(&pool->lock);
}

void pool_trip(struct pool *pool, const char *why)
{
    pthread_mutex_lock(&pool->lock);
    refuse_locked(pool, why);
    pthread_mutex_unlock(&pool->lock);
}

enum breaker_state pool_breaker_state(struct pool *pool)
{
    enum breaker_state state;

    pthread_mutex_lock(&pool->lock);
    state = breaker_state(&pool->breaker, clock_mono_us());
    pthread_mutex_unlock(&pool->lock);
    return state;
}

void pool_away_reason(struct pool *pool, char ret_why[POOL_ERROR_SIZE])
{
    pthread_mutex_lock(&pool->lock);
    snprintf(ret_why, POOL_ERROR_SIZE, "%s", pool->breaker.is_open ? pool->away_reason : "");
    pthread_mutex_unlock(&pool->lock);
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

/* A connect while the breaker is closed is no answer to the calls that timed out: it does not reset
 * their count, because a store may let clients in and still answer no call. */
static void connected_locked(struct pool *pool, void *connection)
{
    pool->needs_connect = false;
    if (pool->breaker.is_open) {
        succeed_locked(pool);
    } else if (pool->open_count == 0) {
        log_presence(pool);
    }
    pool->connect_failed_last = false;
    pool->open_count++;
    push_idle_locked(pool, connection);
}

/* While at least one connection is open, the store merely lets no more in. */
static void connect_failed_locked(struct pool *pool, const char *error, int64_t *last_log_us)
{
    int64_t now_us = clock_mono_us();

    metric_add(pool->series[ERRORS_CONNECT], 1);
    pool->connect_failed_last = true;
    if (pool->breaker.is_open) {
        snprintf(pool->away_reason, POOL_ERROR_SIZE, "%s", error);
    }
    if (!pool->breaker.is_open && pool->open_count == 0) {
        trip_locked(pool, error);
        *last_log_us = now_us;
    } else if (pool->breaker.is_open &&
               now_us - *last_log_us >= RETRY_LOG_EVERY_S * CLOCK_US_PER_S) {
        log_warn(log_msg("store is still away"), log_str("store", pool->options.name),
                 log_str("url", pool->shown_url), log_str("error", error));
        *last_log_us = now_us;
    }
}

/* One attempt to connect, the lock given up meanwhile. */
static void connect_one_locked(struct pool *pool, int64_t *last_log_us)
{
    int64_t deadline_us = clock_after_ms(pool->options.connect_timeout_ms);
    char error[POOL_ERROR_SIZE] = "";
    void *connection;

    pthread_mutex_unlock(&pool->lock);
    connection = pool->ops.connect(pool->context, deadline_us, error);
    pthread_mutex_lock(&pool->lock);
    if (connection != NULL) {
        connected_locked(pool, connection);
    } else {
        connect_failed_locked(pool, error, last_log_us);
    }
}

/* Looks for a hang-up, and does the upkeep. Called without the lock. */
static enum status look_at(struct pool *pool, void *connection, char error[POOL_ERROR_SIZE])
{
    enum status status = STATUS_OK;

    if (!pool->ops.is_alive(connection)) {
        return STATUS_BROKEN;
    }
    if (pool->ops.refresh != NULL) {
        int64_t deadline_us = clock_after_ms(pool->options.timeout_ms);

        status = pool->ops.refresh(connection, deadline_us, error);
        count_error(pool, status);
    }
    return status;
}

/* Looks at the connection that has been idle for longest, the lock given up meanwhile. Upkeep that
 * succeeds is no answer to the calls that timed out, like a connect (connected_locked). */
static void look_at_one_locked(struct pool *pool)
{
    void *connection = shift_idle_locked(pool);
    char error[POOL_ERROR_SIZE] = "";
    enum status status;

    pthread_mutex_unlock(&pool->lock);
    status = look_at(pool, connection, error);
    pthread_mutex_lock(&pool->lock);
    if (status == STATUS_TIMEOUT) {
        judge_locked(pool, status);
    } else if (status == STATUS_UNAVAILABLE) {
        refuse_locked(pool, error);
    }
    if (status == STATUS_OK || status == STATUS_FAILED) {
        push_idle_locked(pool, connection);
    } else {
        close_locked(pool, connection);
    }
}

/* Looks at all that are idle now. After a whole round their order is as before. */
static void look_locked(struct pool *pool)
{
    int left = pool->idle_count;

    while (left-- > 0 && pool->idle_count > 0 && !pool->breaker.is_open && !pool->stopping) {
        look_at_one_locked(pool);
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
    int64_t look_us = clock_after_ms(LOOK_MS);

    pthread_mutex_lock(&pool->lock);
    while (!pool->stopping) {
        if (pool->breaker.is_open && pool->idle_count > 0) {
            close_locked(pool, pop_idle_locked(pool));
        } else if (clock_mono_us() >= look_us) {
            look_locked(pool);
            look_us = clock_after_ms(LOOK_MS);
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
