/* The pool against a store of this file: it can be away, let connecting wait, break the connections
 * it gave, and want them refreshed. */
#include "support.h"

#include "common/stores/pool.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/metrics.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FOREVER_MS 3600000
#define BREAKER_TIMEOUTS 5 /* in a row open the breaker */

struct store {
    const char *name;
    atomic_bool is_up;
    atomic_bool hold_connects; /* a connect under way does not end */
    atomic_int room;           /* it lets in so many at a time; 0: any number */
    atomic_int connecting;
    atomic_int connects; /* attempts */
    atomic_int opened;
    atomic_int closed;
    atomic_int refreshed;
    atomic_int refresh_status; /* what a refresh returns */
};

struct connection {
    struct store *store;
    int number; /* 1 is the first one that was opened */
    atomic_bool is_dead;
    atomic_int holders;
    atomic_int refreshed;
};

static int open_now(struct store *store)
{
    return atomic_load(&store->opened) - atomic_load(&store->closed);
}

static void *store_connect(void *context, int64_t deadline_us, char error[POOL_ERROR_SIZE])
{
    struct store *store = context;
    struct connection *connection;

    atomic_fetch_add(&store->connects, 1);
    atomic_store(&store->connecting, 1);
    while (atomic_load(&store->hold_connects) && clock_left_ms(deadline_us) > 0) {
        usleep(500);
    }
    atomic_store(&store->connecting, 0);
    if (!atomic_load(&store->is_up) ||
        (atomic_load(&store->room) > 0 && open_now(store) >= atomic_load(&store->room))) {
        snprintf(error, POOL_ERROR_SIZE, "the store is away");
        return NULL;
    }
    connection = fs_calloc(1, sizeof(*connection));
    connection->store = store;
    connection->number = atomic_fetch_add(&store->opened, 1) + 1;
    return connection;
}

static bool connection_is_alive(void *arg)
{
    struct connection *connection = arg;

    return !atomic_load(&connection->is_dead);
}

static enum status connection_refresh(void *arg, int64_t deadline_us, char error[POOL_ERROR_SIZE])
{
    struct connection *connection = arg;

    (void)deadline_us;
    atomic_fetch_add(&connection->refreshed, 1);
    atomic_fetch_add(&connection->store->refreshed, 1);
    snprintf(error, POOL_ERROR_SIZE, "the store says it is of no use");
    return (enum status)atomic_load(&connection->store->refresh_status);
}

static void connection_close(void *arg)
{
    struct connection *connection = arg;

    atomic_fetch_add(&connection->store->closed, 1);
    free(connection); /* a second close is for the sanitizer to see */
}

/* --- a pool to test --------------------------------------------------------------------------- */

struct fixture {
    struct store store;
    struct pool *pool;
    enum status (*refresh)(void *connection, int64_t deadline_us, char error[POOL_ERROR_SIZE]);
};

static struct pool *create_pool(struct fixture *fixture, const char *name, int size,
                                int64_t retry_ms, int64_t probation_ms)
{
    struct pool_options options = {.store = {.name = name,
                                             .url = "unit://store",
                                             .size = size,
                                             .timeout_ms = FOREVER_MS,
                                             .connect_timeout_ms = FOREVER_MS,
                                             .retry_ms = retry_ms,
                                             .probation_ms = probation_ms},
                                   .ops = {.connect = store_connect,
                                           .is_alive = connection_is_alive,
                                           .refresh = fixture->refresh,
                                           .close = connection_close},
                                   .context = &fixture->store};

    fixture->store.name = name;
    fixture->pool = pool_create(&options);
    return fixture->pool;
}

static struct pool *create_filled_pool(struct fixture *fixture, const char *name, int size)
{
    struct pool *pool = create_pool(fixture, name, size, 1, FOREVER_MS);

    wait_until(pool_open_connections(pool) == size);
    return pool;
}

static int setup(void **state)
{
    struct fixture *fixture = fs_calloc(1, sizeof(*fixture));

    atomic_store(&fixture->store.is_up, true);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    atomic_store(&fixture->store.hold_connects, false);
    pool_destroy(fixture->pool);
    free(fixture);
    return 0;
}

static int64_t far_deadline(void)
{
    return support_give_up_us();
}

static struct connection *acquire(struct pool *pool)
{
    void *connection = NULL;

    assert_int_equal(pool_acquire(pool, far_deadline(), &connection), STATUS_OK);
    assert_non_null(connection);
    return connection;
}

static void acquire_all(struct pool *pool, struct connection **held, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        held[i] = acquire(pool);
    }
}

static void release_all(struct pool *pool, struct connection **held, size_t count, enum status last)
{
    for (size_t i = 0; i < count; i++) {
        pool_release(pool, held[i], last);
    }
}

/* The value of a store's series in the metrics; `label` is "" or a further one. */
static long labelled_metric_of(const char *name, const char *store, const char *label)
{
    struct strbuf text = STRBUF_EMPTY;
    char series[128];
    const char *at;
    long value;

    snprintf(series, sizeof(series), "\n%s{store=\"%s\"%s%s} ", name, store,
             *label == '\0' ? "" : ",", label);
    metrics_render(&text);
    at = strstr(text.text, series);
    value = at == NULL ? -1 : strtol(at + strlen(series), NULL, 10);
    strbuf_finish(&text);
    return value;
}

static long metric_of(const char *name, const char *store)
{
    return labelled_metric_of(name, store, "");
}

static long times_opened(const struct fixture *fixture)
{
    return metric_of("faststock_breaker_opened_total", fixture->store.name);
}

/* --- taking and giving back ------------------------------------------------------------------- */

static void test_opens_as_many_as_it_is_to_keep(void **state)
{
    struct fixture *fixture = *state;
    struct pool *pool = create_filled_pool(fixture, "fill", 3);

    assert_int_equal(fixture->store.opened, 3);
    assert_int_equal(fixture->store.connects, 3);
    assert_int_equal(pool_breaker_state(pool), BREAKER_CLOSED);
    pool_destroy(pool);
    fixture->pool = NULL;
    assert_int_equal(fixture->store.opened, 3);
    assert_int_equal(fixture->store.closed, 3);
}

static void test_connections_are_given_to_one_at_a_time(void **state)
{
    struct fixture *fixture = *state;
    struct pool *pool = create_filled_pool(fixture, "distinct", 2);
    struct connection *a = acquire(pool);
    struct connection *b = acquire(pool);

    assert_ptr_not_equal(a, b);
    pool_release(pool, a, STATUS_OK);
    assert_ptr_equal(acquire(pool), a);
    pool_release(pool, b, STATUS_OK);
    pool_release(pool, a, STATUS_OK);
    assert_ptr_equal(acquire(pool), a); /* the one used last is used next */
    pool_release(pool, a, STATUS_OK);
    assert_int_equal(fixture->store.opened, 2);
}

static void test_waits_no_longer_than_it_may(void **state)
{
    struct fixture *fixture = *state;
    struct pool *pool = create_filled_pool(fixture, "deadline", 1);
    struct connection *held = acquire(pool);
    int64_t wait_until_us = clock_mono_us() + 50 * CLOCK_US_PER_MS;
    void *connection = NULL;

    assert_int_equal(pool_acquire(pool, wait_until_us, &connection), STATUS_UNAVAILABLE);
    assert_true(clock_mono_us() >= wait_until_us);
    assert_null(connection);
    assert_int_equal(pool_acquire(pool, 0, &connection), STATUS_UNAVAILABLE); /* long over */
    assert_int_equal(metric_of("faststock_pool_timeouts_total", "deadline"), 2);
    assert_int_equal(pool_breaker_state(pool),
                     BREAKER_CLOSED); /* a busy pool is not a store that is away */
    pool_release(pool, held, STATUS_OK);
    assert_int_equal(pool_acquire(pool, 0, &connection),
                     STATUS_OK); /* there is one: nothing to wait for */
    pool_release(pool, connection, STATUS_OK);
}

static void test_waiting_leaves_time_for_the_call(void **state)
{
    int64_t now_us = clock_mono_us();
    int64_t until_us;

    (void)state;
    assert_int_equal(pool_wait_until_us(now_us + 3600 * CLOCK_US_PER_S, 1000),
                     now_us + 3599 * CLOCK_US_PER_S);
    until_us = pool_wait_until_us(now_us + 3600 * CLOCK_US_PER_S, 3599000); /* only half */
    assert_in_range(until_us - now_us, 1800 * CLOCK_US_PER_S, 3000 * CLOCK_US_PER_S);
    assert_true(pool_wait_until_us(now_us - CLOCK_US_PER_S, 1000) <= clock_mono_us());
}

struct taker {
    pthread_t thread;
    struct pool *pool;
    atomic_bool done;
    enum status status;
    void *connection;
};

static void *take(void *arg)
{
    struct taker *taker = arg;

    taker->status = pool_acquire(taker->pool, far_deadline(), &taker->connection);
    if (taker->status == STATUS_OK) {
        pool_release(taker->pool, taker->connection, STATUS_OK);
    }
    atomic_store(&taker->done, true);
    return NULL;
}

static void start_takers(struct taker *takers, size_t count, struct pool *pool)
{
    for (size_t i = 0; i < count; i++) {
        takers[i] = (struct taker){.pool = pool, .status = STATUS_FAILED};
        pthread_create(&takers[i].thread, NULL, take, &takers[i]);
    }
    usleep(5000); /* most of them wait by then; the test holds if not */
    for (size_t i = 0; i < count; i++) {
        assert_false(atomic_load(&takers[i].done));
    }
}

static void check_takers(struct taker *takers, size_t count, enum status status)
{
    for (size_t i = 0; i < count; i++) {
        pthread_join(takers[i].thread, NULL);
        assert_int_equal(takers[i].status, status);
    }
}

static void test_a_release_goes_to_a_waiting_request(void **state)
{
    struct fixture *fixture = *state;
    struct pool *pool = create_filled_pool(fixture, "waiters", 1);
    struct connection *held = acquire(pool);
    struct taker takers[4];

    start_takers(takers, FS_ARRAY_LEN(takers), pool);
    pool_release(pool, held, STATUS_OK);
    check_takers(takers, FS_ARRAY_LEN(takers), STATUS_OK);
    assert_int_equal(fixture->store.opened, 1);
}

static void test_a_request_before_the_first_connection_waits(void **state)
{
    struct fixture *fixture = *state;
    struct taker takers[3];

    atomic_store(&fixture->store.hold_connects, true);
    create_pool(fixture, "early", 1, 1, 0);
    start_takers(takers, FS_ARRAY_LEN(takers), fixture->pool);
    atomic_store(&fixture->store.hold_connects, false);
    check_takers(takers, FS_ARRAY_LEN(takers), STATUS_OK);
}

/* --- connections that break ------------------------------------------------------------------- */

static void test_an_answer_keeps_the_connection(void **state)
{
    struct fixture *fixture = *state;
    struct pool *pool = create_filled_pool(fixture, "keep", 1);
    struct connection *connection = acquire(pool);

    pool_release(pool, connection, STATUS_FAILED); /* an error of the store is an answer */
    assert_ptr_equal(acquire(pool), connection);
    pool_release(pool, connection, STATUS_OK);
    assert_int_equal(fixture->store.closed, 0);
}

static void check_replaced(struct fixture *fixture, const char *name, enum status last)
{
    struct pool *pool = create_filled_pool(fixture, name, 1);
    struct connection *connection = acquire(pool);

    pool_release(pool, connection, last);
    connection = acquire(pool); /* waits for the maintainer */
    assert_int_equal(connection->number, 2);
    assert_int_equal(fixture->store.closed, 1);
    assert_int_equal(pool_breaker_state(pool), BREAKER_CLOSED);
    pool_release(pool, connection, STATUS_OK);
}

static void test_a_broken_connection_is_replaced(void **state)
{
    check_replaced(*state, "broken", STATUS_BROKEN);
}

/* Its answer may still come: nobody else may get it. */
static void test_a_connection_that_timed_out_is_replaced(void **state)
{
    check_replaced(*state, "timed-out", STATUS_TIMEOUT);
}

static void test_dead_idle_connections_are_not_given_out(void **state)
{
    struct fixture *fixture = *state;
    struct pool *pool = create_filled_pool(fixture, "dead", 3);
    struct connection *held[3];

    acquire_all(pool, held, 3);
    for (size_t i = 0; i < 3; i++) {
        atomic_store(&held[i]->is_dead, true);
    }
    release_all(pool, held, 3, STATUS_OK);
    acquire_all(pool, held, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_in_range(held[i]->number, 4, 6);
    }
    assert_int_equal(fixture->store.closed, 3);
    release_all(pool, held, 3, STATUS_OK);
}

static void test_dead_idle_connections_are_replaced_unasked(void **state)
{
    struct fixture *fixture = *state;
    struct pool *pool = create_filled_pool(fixture, "hung-up", 3);
    struct connection *held[3];

    acquire_all(pool, held, 3);
    release_all(pool, held, 3, STATUS_OK);
    atomic_store(&held[1]->is_dead, true);
    wait_until(atomic_load(&fixture->store.opened) == 4);
    assert_int_equal(fixture->store.closed, 1);
    assert_int_equal(pool_breaker_state(pool), BREAKER_CLOSED);
}

static void test_an_outage_is_noticed_without_requests(void **state)
{
    struct fixture *fixture = *state;
    struct pool *pool = create_filled_pool(fixture, "unasked", 3);
    struct connection *held[3];

    acquire_all(pool, held, 3);
    atomic_store(&fixture->store.is_up, false);
    for (size_t i = 0; i < 3; i++) {
        atomic_store(&held[i]->is_dead, true);
    }
    release_all(pool, held, 3, STATUS_OK);
    wait_until(pool_breaker_state(pool) == BREAKER_OPEN);
    assert_int_equal(fixture->store.closed, 3);
    atomic_store(&fixture->store.is_up, true);
    wait_until(pool_open_connections(pool) == 3);
    assert_int_not_equal(pool_breaker_state(pool), BREAKER_OPEN);
}

static void test_broken_connections_alone_do_not_open_the_breaker(void **state)
{
    struct fixture *fixture = *state;
    struct pool *pool = create_filled_pool(fixture, "only-broken", 2);

    for (int i = 0; i < 4 * BREAKER_TIMEOUTS; i++) {
        pool_release(pool, acquire(pool), STATUS_BROKEN);
    }
    assert_int_equal(pool_breaker_state(pool), BREAKER_CLOSED);
    assert_int_equal(times_opened(fixture), 0);
    assert_int_equal(
        labelled_metric_of("faststock_store_errors_total", "only-broken", "kind=\"broken\""),
        4 * BREAKER_TIMEOUTS);
}

/* A connect that fails while others are open: the store is there. */
static void test_a_failed_connect_beside_open_connections(void **state)
{
    struct fixture *fixture = *state;
    struct pool *pool = create_filled_pool(fixture, "beside", 2);
    struct connection *held = acquire(pool);
    int attempts = fixture->store.connects;

    atomic_store(&fixture->store.is_up, false);
    pool_release(pool, acquire(pool), STATUS_BROKEN);
    wait_until(atomic_load(&fixture->store.connects) > attempts + 2);
    assert_int_equal(pool_breaker_state(pool), BREAKER_CLOSED);
    pool_release(pool, held, STATUS_OK);
    assert_ptr_equal(acquire(pool), held);
    pool_release(pool, held, STATUS_OK);
    atomic_store(&fixture->store.is_up, true);
    wait_until(pool_open_connections(pool) == 2);
}

/* --- upkeep ------------------------------------------------------------------------------------
 */

static struct pool *create_refreshed_pool(struct fixture *fixture, const char *name, int size,
                                          enum status status)
{
    fixture->refresh = connection_refresh;
    atomic_store(&fixture->store.refresh_status, (int)status);
    return create_filled_pool(fixture, name, size);
}

static void test_idle_connections_are_refreshed(void **state)
{
    struct fixture *fixture = *state;
    struct pool *pool = create_refreshed_pool(fixture, "refresh", 3, STATUS_OK);
    struct connection *held[3];

    wait_until(atomic_load(&fixture->store.refreshed) >= 3);
    acquire_all(pool, held, 3); /* waits for the one that is being refreshed */
    for (size_t i = 0; i < 3; i++) {
        assert_true(atomic_load(&held[i]->refreshed) >= 1);
    }
    release_all(pool, held, 3, STATUS_OK);
    assert_int_equal(fixture->store.closed, 0);
}

static void test_busy_connections_are_not_refreshed(void **state)
{
    struct fixture *fixture = *state;
    struct pool *pool = create_refreshed_pool(fixture, "refresh-busy", 2, STATUS_OK);
    struct connection *held = acquire(pool);
    int before = atomic_load(&held->refreshed);
    int all = atomic_load(&fixture->store.refreshed);

    wait_until(atomic_load(&fixture->store.refreshed) >= all + 2);
    assert_int_equal(held->refreshed, before);
    pool_release(pool, held, STATUS_OK);
}

static void test_a_connection_that_cannot_be_refreshed_is_replaced(void **state)
{
    struct fixture *fixture = *state;
    struct pool *pool = create_refreshed_pool(fixture, "refresh-broken", 1, STATUS_BROKEN);

    wait_until(atomic_load(&fixture->store.closed) >= 1);
    atomic_store(&fixture->store.refresh_status, STATUS_FAILED); /* an answer: it is kept */
    wait_until(pool_open_connections(pool) == 1);
    assert_int_equal(pool_breaker_state(pool), BREAKER_CLOSED);
    assert_int_equal(
        labelled_metric_of("faststock_store_errors_total", "refresh-broken", "kind=\"broken\""),
        fixture->store.closed);
}

/* The store answers no call, and no request has noticed yet. */
static void test_refreshes_that_time_out_open_the_breaker(void **state)
{
    struct fixture *fixture = *state;
    struct pool *pool =
        create_refreshed_pool(fixture, "refresh-slow", BREAKER_TIMEOUTS, STATUS_TIMEOUT);

    wait_until(times_opened(fixture) >= 1);
    assert_true(fixture->store.refreshed >= BREAKER_TIMEOUTS);
    atomic_store(&fixture->store.refresh_status, STATUS_OK);
    wait_until(pool_open_connections(pool) == BREAKER_TIMEOUTS);
}

/* Upkeep that succeeds is no answer to the calls that timed out. */
static void test_a_refresh_does_not_forget_timeouts(void **state)
{
    struct fixture *fixture = *state;
    struct pool *pool =
        create_refreshed_pool(fixture, "refresh-hides", 2 * BREAKER_TIMEOUTS, STATUS_OK);
    struct connection *held[BREAKER_TIMEOUTS];
    int all;

    acquire_all(pool, held, BREAKER_TIMEOUTS);
    atomic_store(&fixture->store.is_up, false);
    release_all(pool, held, BREAKER_TIMEOUTS - 1, STATUS_TIMEOUT);
    all = atomic_load(&fixture->store.refreshed);
    wait_until(atomic_load(&fixture->store.refreshed) >= all + BREAKER_TIMEOUTS);
    assert_int_equal(times_opened(fixture), 0);
    pool_release(pool, held[BREAKER_TIMEOUTS - 1], STATUS_TIMEOUT);
    assert_int_equal(pool_breaker_state(pool), BREAKER_OPEN);
}

static void test_a_store_that_says_it_is_of_no_use_is_away(void **state)
{
    struct fixture *fixture = *state;
    struct pool *pool = create_refreshed_pool(fixture, "refresh-useless", 2, STATUS_OK);
    struct support_capture capture;
    struct strbuf text = STRBUF_EMPTY;

    log_init("unit", LOG_INFO);
    capture = support_capture_start();
    atomic_store(&fixture->store.is_up, false);
    atomic_store(&fixture->store.refresh_status, STATUS_UNAVAILABLE);
    wait_until(pool_open_connections(pool) == 0);
    support_capture_end(&capture, &text);
    log_init("unit", LOG_ERROR);
    assert_int_equal(pool_breaker_state(pool), BREAKER_OPEN);
    assert_int_equal(times_opened(fixture), 1);
    assert_contains(text.text, "the store says it is of no use");
    strbuf_finish(&text);
}

/* --- a store that is away --------------------------------------------------------------------- */

/* The answer comes at once: with a deadline that is far away, waiting would be a timeout of the
 * test. */
static void check_unavailable(struct pool *pool)
{
    void *connection = NULL;

    assert_int_equal(
        pool_acquire(pool, clock_mono_us() + FOREVER_MS * CLOCK_US_PER_MS, &connection),
        STATUS_UNAVAILABLE);
    assert_null(connection);
}

static void test_a_store_away_at_the_start(void **state)
{
    struct fixture *fixture = *state;
    char why[POOL_ERROR_SIZE];
    struct pool *pool;
    struct connection *connection;

    atomic_store(&fixture->store.is_up, false);
    pool = create_pool(fixture, "away", 2, 1, 0);
    check_unavailable(pool); /* the first connect fails under its feet */
    check_unavailable(pool);
    assert_int_equal(pool_breaker_state(pool), BREAKER_OPEN);
    pool_away_reason(pool, why);
    assert_string_equal(why, "the store is away");
    assert_int_equal(pool_open_connections(pool), 0);
    wait_until(atomic_load(&fixture->store.connects) >= 4); /* it tries again and again, */
    assert_int_equal(times_opened(fixture), 1);             /* which is still the same outage */
    assert_true(labelled_metric_of("faststock_store_errors_total", "away", "kind=\"connect\"") >=
                3);
    atomic_store(&fixture->store.is_up, true);
    wait_until(pool_breaker_state(pool) == BREAKER_CLOSED);
    pool_away_reason(pool, why);
    assert_string_equal(why, "");
    connection = acquire(pool);
    pool_release(pool, connection, STATUS_OK);
    wait_until(pool_open_connections(pool) == 2);
}

static void test_timeouts_in_a_row_open_the_breaker(void **state)
{
    struct fixture *fixture = *state;
    struct pool *pool = create_filled_pool(fixture, "slow", BREAKER_TIMEOUTS + 2);
    struct connection *held[BREAKER_TIMEOUTS];

    for (size_t i = 0; i < BREAKER_TIMEOUTS; i++) {
        held[i] = acquire(pool);
    }
    atomic_store(&fixture->store.is_up, false);
    release_all(pool, held, BREAKER_TIMEOUTS - 1, STATUS_TIMEOUT);
    assert_int_equal(times_opened(fixture), 0);
    pool_release(pool, held[BREAKER_TIMEOUTS - 1], STATUS_TIMEOUT);
    assert_int_equal(pool_breaker_state(pool), BREAKER_OPEN);
    check_unavailable(pool);
    wait_until(pool_open_connections(pool) == 0); /* the idle ones lead to the same store */
    wait_until(open_now(&fixture->store) == 0);
    assert_int_equal(times_opened(fixture), 1);
}

/* Takes `count` connections; no new ones come until connects are held no longer, so that the pool
 * hears of each only what the test says. */
static void take_all(struct fixture *fixture, struct connection **held, size_t count)
{
    wait_until(pool_open_connections(fixture->pool) == (int)count);
    acquire_all(fixture->pool, held, count);
    atomic_store(&fixture->store.hold_connects, true);
}

static void test_an_answer_forgets_the_timeouts_before(void **state)
{
    struct fixture *fixture = *state;
    struct connection *held[2 * BREAKER_TIMEOUTS];
    struct pool *pool = create_filled_pool(fixture, "slow-at-times", 2 * BREAKER_TIMEOUTS);

    take_all(fixture, held, FS_ARRAY_LEN(held));
    release_all(pool, held, BREAKER_TIMEOUTS - 1, STATUS_TIMEOUT);
    pool_release(pool, held[BREAKER_TIMEOUTS - 1],
                 STATUS_FAILED); /* an error of the store is an answer */
    release_all(pool, &held[BREAKER_TIMEOUTS], BREAKER_TIMEOUTS - 1, STATUS_TIMEOUT);
    assert_int_equal(pool_breaker_state(pool), BREAKER_CLOSED);
    pool_release(pool, held[FS_ARRAY_LEN(held) - 1], STATUS_TIMEOUT);
    assert_int_equal(pool_breaker_state(pool), BREAKER_OPEN);
    assert_int_equal(
        labelled_metric_of("faststock_store_errors_total", "slow-at-times", "kind=\"timeout\""),
        2 * BREAKER_TIMEOUTS - 1);
    assert_int_equal(
        labelled_metric_of("faststock_store_errors_total", "slow-at-times", "kind=\"failed\""), 1);
}

/* A store that lets one in and then answers no request is away too. */
static void test_reconnecting_does_not_forget_timeouts(void **state)
{
    struct fixture *fixture = *state;
    struct pool *pool = create_filled_pool(fixture, "hangs", 1);

    for (int i = 0; i < BREAKER_TIMEOUTS; i++) {
        assert_int_equal(times_opened(fixture), 0);
        pool_release(pool, acquire(pool), STATUS_TIMEOUT); /* acquire waits for the maintainer */
    }
    assert_int_equal(times_opened(fixture), 1);
}

static void test_a_waiting_request_hears_that_the_store_is_away(void **state)
{
    struct fixture *fixture = *state;
    struct pool *pool = create_filled_pool(fixture, "away-while-waiting", 1);
    struct connection *held = acquire(pool);
    struct taker takers[3];

    start_takers(takers, FS_ARRAY_LEN(takers), pool);
    atomic_store(&fixture->store.is_up, false);
    pool_release(pool, held, STATUS_BROKEN);
    check_takers(takers, FS_ARRAY_LEN(takers), STATUS_UNAVAILABLE);
    assert_int_equal(pool_breaker_state(pool), BREAKER_OPEN);
}

/* Opens the breaker of a pool of BREAKER_TIMEOUTS + 1 and returns the connection that is still in
 * use. The store lets the next one in. */
static struct connection *open_breaker(struct fixture *fixture)
{
    struct connection *held[BREAKER_TIMEOUTS + 1];

    take_all(fixture, held, BREAKER_TIMEOUTS + 1);
    release_all(fixture->pool, held, BREAKER_TIMEOUTS, STATUS_TIMEOUT);
    assert_int_equal(pool_breaker_state(fixture->pool), BREAKER_OPEN);
    atomic_store(&fixture->store.hold_connects, false);
    return held[BREAKER_TIMEOUTS];
}

static void test_probation_refuses_requests(void **state)
{
    struct fixture *fixture = *state;
    struct pool *pool = create_pool(fixture, "probation", BREAKER_TIMEOUTS + 1, 1, FOREVER_MS);
    struct connection *held;

    wait_until(pool_open_connections(pool) == BREAKER_TIMEOUTS + 1);
    assert_int_equal(pool_breaker_state(pool),
                     BREAKER_CLOSED); /* the first connection is no return from an outage */
    held = open_breaker(fixture);
    wait_until(pool_breaker_state(pool) == BREAKER_HALF_OPEN);
    check_unavailable(pool);
    wait_until(pool_open_connections(pool) == BREAKER_TIMEOUTS + 1); /* it gets ready meanwhile */
    check_unavailable(pool);
    assert_int_equal(metric_of("faststock_breaker_state", "probation"), BREAKER_HALF_OPEN);
    pool_release(pool, held, STATUS_OK);
    assert_int_equal(pool_breaker_state(pool), BREAKER_HALF_OPEN);
}

static void test_probation_ends(void **state)
{
    struct fixture *fixture = *state;
    struct pool *pool = create_pool(fixture, "probation-ends", BREAKER_TIMEOUTS + 1, 1, 50);
    int64_t start_us;
    void *connection = NULL;

    wait_until(pool_open_connections(pool) == BREAKER_TIMEOUTS + 1);
    start_us = clock_mono_us();
    pool_release(pool, open_breaker(fixture), STATUS_OK);
    wait_until(pool_acquire(pool, 0, &connection) == STATUS_OK);
    assert_true(clock_mono_us() - start_us >= 50 * CLOCK_US_PER_MS);
    assert_int_equal(metric_of("faststock_breaker_state", "probation-ends"), BREAKER_CLOSED);
    pool_release(pool, connection, STATUS_OK);
}

static void test_one_timeout_in_probation_opens_again(void **state)
{
    struct fixture *fixture = *state;
    struct pool *pool =
        create_pool(fixture, "probation-fails", BREAKER_TIMEOUTS + 1, 1, FOREVER_MS);
    struct connection *held;

    held = open_breaker(fixture);
    wait_until(pool_open_connections(pool) ==
               BREAKER_TIMEOUTS + 1); /* no connect is under way any more */
    assert_int_equal(pool_breaker_state(pool), BREAKER_HALF_OPEN);
    assert_int_equal(times_opened(fixture), 1);
    atomic_store(&fixture->store.is_up, false);
    pool_release(pool, held, STATUS_TIMEOUT);
    assert_int_equal(pool_breaker_state(pool), BREAKER_OPEN);
    assert_int_equal(times_opened(fixture), 2);
    wait_until(open_now(&fixture->store) == 0);
}

/* A call that was under way when the breaker opened may be the first to be answered. */
static void test_the_first_answer_after_an_outage_is_logged(void **state)
{
    struct fixture *fixture = *state;
    struct pool *pool = create_pool(fixture, "back", BREAKER_TIMEOUTS + 1, 1, 0);
    struct connection *held[BREAKER_TIMEOUTS + 1];
    struct support_capture capture;
    struct strbuf text = STRBUF_EMPTY;

    take_all(fixture, held, FS_ARRAY_LEN(held));
    log_init("unit", LOG_INFO);
    capture = support_capture_start();
    release_all(pool, held, BREAKER_TIMEOUTS, STATUS_TIMEOUT);
    pool_release(pool, held[BREAKER_TIMEOUTS], STATUS_OK);
    support_capture_end(&capture, &text);
    log_init("unit", LOG_ERROR);
    assert_int_equal(pool_breaker_state(pool), BREAKER_CLOSED);
    assert_contains(text.text, "store is away");
    assert_contains(text.text, "store is there");
    strbuf_finish(&text);
}

/* A store that says it is of no use is not back because a call that was under way is answered. */
static void test_an_answer_does_not_undo_a_trip(void **state)
{
    struct fixture *fixture = *state;
    struct pool *pool = create_pool(fixture, "trip", 2, 1, 0);
    struct connection *held[2];

    take_all(fixture, held, FS_ARRAY_LEN(held));
    pool_trip(pool, "it takes no writes");
    pool_release(pool, held[0], STATUS_OK);
    assert_int_equal(pool_breaker_state(pool), BREAKER_OPEN);
    check_unavailable(pool);
    wait_until(atomic_load(&fixture->store.closed) == 1); /* it leads to the same store */
    pool_release(pool, held[1], STATUS_FAILED);
    assert_int_equal(pool_breaker_state(pool), BREAKER_OPEN);
    wait_until(atomic_load(&fixture->store.closed) == 2);
    atomic_store(&fixture->store.hold_connects, false);
    wait_until(pool_breaker_state(pool) == BREAKER_CLOSED);
    pool_release(pool, acquire(pool), STATUS_OK);
    assert_int_equal(times_opened(fixture), 1);
}

/* Its max_connections are taken by others: it is there all the same. */
static void test_a_store_that_lets_in_only_some_is_used(void **state)
{
    struct fixture *fixture = *state;
    struct pool *pool = create_pool(fixture, "crowded", BREAKER_TIMEOUTS + 1, 1, 20);
    struct connection *held;

    held = open_breaker(fixture);
    atomic_store(&fixture->store.room, 2);
    pool_release(pool, held, STATUS_BROKEN);
    wait_until(pool_breaker_state(pool) == BREAKER_CLOSED);
    held = acquire(pool);
    wait_until(labelled_metric_of("faststock_store_errors_total", "crowded", "kind=\"connect\"") >
               3);
    assert_int_equal(pool_open_connections(pool), 2);
    assert_int_equal(pool_breaker_state(pool), BREAKER_CLOSED);
    assert_int_equal(times_opened(fixture), 1);
    pool_release(pool, held, STATUS_OK);
}

/* --- metrics and the end ---------------------------------------------------------------------- */

static void test_metrics_count_connections(void **state)
{
    struct fixture *fixture = *state;
    struct pool *pool = create_filled_pool(fixture, "counted", 3);
    struct connection *held = acquire(pool);

    assert_int_equal(labelled_metric_of("faststock_pool_connections", "counted", "state=\"idle\""),
                     2);
    assert_int_equal(labelled_metric_of("faststock_pool_connections", "counted", "state=\"busy\""),
                     1);
    assert_int_equal(metric_of("faststock_breaker_state", "counted"), BREAKER_CLOSED);
    assert_int_equal(metric_of("faststock_pool_wait_seconds_count", "counted"), 1);
    pool_release(pool, held, STATUS_OK);
    assert_int_equal(labelled_metric_of("faststock_pool_connections", "counted", "state=\"idle\""),
                     3);
}

static void test_destroy_while_the_store_is_away(void **state)
{
    struct fixture *fixture = *state;

    pool_destroy(NULL);
    atomic_store(&fixture->store.is_up, false);
    create_pool(fixture, "destroy-away", 2, FOREVER_MS, 0); /* the maintainer sleeps for an hour */
    wait_until(pool_breaker_state(fixture->pool) == BREAKER_OPEN);
    pool_destroy(fixture->pool);
    fixture->pool = NULL;
    assert_int_equal(fixture->store.connects, 1);
}

struct destroyer {
    struct pool *pool;
    atomic_bool done;
};

static void *destroy(void *arg)
{
    struct destroyer *destroyer = arg;

    pool_destroy(destroyer->pool);
    atomic_store(&destroyer->done, true);
    return NULL;
}

static void test_destroy_waits_for_a_connect_under_way(void **state)
{
    struct fixture *fixture = *state;
    struct destroyer destroyer;
    pthread_t thread;

    atomic_store(&fixture->store.hold_connects, true);
    destroyer = (struct destroyer){.pool = create_pool(fixture, "destroy-connecting", 2, 1, 0)};
    wait_until(atomic_load(&fixture->store.connecting) == 1);
    fixture->pool = NULL;
    pthread_create(&thread, NULL, destroy, &destroyer);
    usleep(2000);
    assert_false(atomic_load(&destroyer.done));
    atomic_store(&fixture->store.hold_connects, false);
    pthread_join(thread, NULL);
    assert_int_equal(fixture->store.closed,
                     fixture->store.opened); /* the one that came too late too */
}

/* --- many threads ----------------------------------------------------------------------------- */

#define HAMMERS 12
#define HAMMER_SIZE 4
#define ROUNDS 3000

struct hammer {
    pthread_t thread;
    struct pool *pool;
    unsigned seed;
    bool with_faults;
    int counts[STATUS_FAILED + 1];
    int shared; /* how often a connection was in other hands too */
};

static enum status random_end(struct hammer *hammer)
{
    static const enum status ends[] = {STATUS_FAILED, STATUS_BROKEN, STATUS_TIMEOUT};
    unsigned random = hammer->with_faults ? (unsigned)rand_r(&hammer->seed) % 64 : 64;

    return random < FS_ARRAY_LEN(ends) ? ends[random] : STATUS_OK;
}

static void *run_hammer(void *arg)
{
    struct hammer *hammer = arg;

    for (int i = 0; i < ROUNDS; i++) {
        int64_t deadline_us = i % 8 == 0 ? clock_mono_us() + 50 : far_deadline();
        void *taken = NULL;
        enum status status = pool_acquire(hammer->pool, deadline_us, &taken);
        struct connection *connection = taken;

        hammer->counts[status]++;
        if (status != STATUS_OK) {
            continue;
        }
        hammer->shared += atomic_fetch_add(&connection->holders, 1) != 0;
        if (i % 16 == 0) {
            usleep(50);
        }
        if (hammer->with_faults && rand_r(&hammer->seed) % 64 == 0) {
            atomic_store(&connection->is_dead, true); /* the store hangs up on it */
        }
        hammer->shared += atomic_fetch_sub(&connection->holders, 1) != 1;
        pool_release(hammer->pool, connection, random_end(hammer));
    }
    return NULL;
}

static void start_hammers(struct hammer *hammers, struct pool *pool, bool with_faults)
{
    for (size_t i = 0; i < HAMMERS; i++) {
        hammers[i] =
            (struct hammer){.pool = pool, .seed = (unsigned)i + 1, .with_faults = with_faults};
        pthread_create(&hammers[i].thread, NULL, run_hammer, &hammers[i]);
    }
}

/* How often acquire returned `status`. */
static int join_hammers(struct hammer *hammers, enum status status)
{
    int count = 0;

    for (size_t i = 0; i < HAMMERS; i++) {
        pthread_join(hammers[i].thread, NULL);
        count += hammers[i].counts[status];
        assert_int_equal(hammers[i].shared, 0);
    }
    return count;
}

static void test_many_threads(void **state)
{
    struct fixture *fixture = *state;
    struct pool *pool = create_pool(fixture, "hammer", HAMMER_SIZE, 1, 0);
    struct hammer hammers[HAMMERS];
    int ok;

    start_hammers(hammers, pool, false);
    ok = join_hammers(hammers, STATUS_OK);
    assert_true(ok >= HAMMERS * ROUNDS * 7 / 8); /* those with a far deadline */
    wait_until(pool_open_connections(pool) == HAMMER_SIZE);
    assert_int_equal(fixture->store.opened, HAMMER_SIZE);
    assert_int_equal(metric_of("faststock_pool_timeouts_total", "hammer"), HAMMERS * ROUNDS - ok);
    assert_int_equal(metric_of("faststock_pool_wait_seconds_count", "hammer"), HAMMERS * ROUNDS);
    assert_int_equal(labelled_metric_of("faststock_pool_connections", "hammer", "state=\"idle\""),
                     HAMMER_SIZE);
}

static void test_many_threads_and_a_store_that_comes_and_goes(void **state)
{
    struct fixture *fixture = *state;
    struct pool *pool = create_pool(fixture, "outages", HAMMER_SIZE, 1, 1);
    struct hammer hammers[HAMMERS];
    int most = 0;

    wait_until(pool_open_connections(pool) ==
               HAMMER_SIZE); /* else all rounds may be over before the store is there */
    start_hammers(hammers, pool, true);
    for (int i = 0; i < 40; i++) {
        int open = pool_open_connections(pool);

        most = open > most ? open : most;
        atomic_store(&fixture->store.is_up, i % 4 != 3);
        usleep(2000);
    }
    atomic_store(&fixture->store.is_up, true);
    assert_true(join_hammers(hammers, STATUS_OK) > 0);
    assert_in_range(most, 1, HAMMER_SIZE);
    wait_until(pool_breaker_state(pool) == BREAKER_CLOSED);
    wait_until(pool_open_connections(pool) == HAMMER_SIZE);
    pool_release(pool, acquire(pool), STATUS_OK);
    assert_int_equal(labelled_metric_of("faststock_pool_connections", "outages", "state=\"busy\""),
                     0);
    pool_destroy(pool);
    fixture->pool = NULL;
    assert_int_equal(fixture->store.opened, fixture->store.closed);
}

#define with_fixture(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_fixture(test_opens_as_many_as_it_is_to_keep),
        with_fixture(test_connections_are_given_to_one_at_a_time),
        with_fixture(test_waits_no_longer_than_it_may),
        with_fixture(test_waiting_leaves_time_for_the_call),
        with_fixture(test_a_release_goes_to_a_waiting_request),
        with_fixture(test_a_request_before_the_first_connection_waits),
        with_fixture(test_an_answer_keeps_the_connection),
        with_fixture(test_a_broken_connection_is_replaced),
        with_fixture(test_a_connection_that_timed_out_is_replaced),
        with_fixture(test_dead_idle_connections_are_not_given_out),
        with_fixture(test_dead_idle_connections_are_replaced_unasked),
        with_fixture(test_an_outage_is_noticed_without_requests),
        with_fixture(test_broken_connections_alone_do_not_open_the_breaker),
        with_fixture(test_a_failed_connect_beside_open_connections),
        with_fixture(test_idle_connections_are_refreshed),
        with_fixture(test_busy_connections_are_not_refreshed),
        with_fixture(test_a_connection_that_cannot_be_refreshed_is_replaced),
        with_fixture(test_refreshes_that_time_out_open_the_breaker),
        with_fixture(test_a_refresh_does_not_forget_timeouts),
        with_fixture(test_a_store_that_says_it_is_of_no_use_is_away),
        with_fixture(test_a_store_away_at_the_start),
        with_fixture(test_timeouts_in_a_row_open_the_breaker),
        with_fixture(test_an_answer_forgets_the_timeouts_before),
        with_fixture(test_reconnecting_does_not_forget_timeouts),
        with_fixture(test_a_waiting_request_hears_that_the_store_is_away),
        with_fixture(test_probation_refuses_requests),
        with_fixture(test_probation_ends),
        with_fixture(test_one_timeout_in_probation_opens_again),
        with_fixture(test_the_first_answer_after_an_outage_is_logged),
        with_fixture(test_an_answer_does_not_undo_a_trip),
        with_fixture(test_a_store_that_lets_in_only_some_is_used),
        with_fixture(test_metrics_count_connections),
        with_fixture(test_destroy_while_the_store_is_away),
        with_fixture(test_destroy_waits_for_a_connect_under_way),
        with_fixture(test_many_threads),
        with_fixture(test_many_threads_and_a_store_that_comes_and_goes),
    };

    log_init("unit", LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
