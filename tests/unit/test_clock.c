#include "support.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"

#include <limits.h>
#include <string.h>
#include <time.h>

static void test_a_deadline_after_some_ms(void **state)
{
    int64_t before_us = clock_mono_us();
    int64_t deadline_us = clock_after_ms(1500);
    int64_t after_us = clock_mono_us();

    (void)state;
    assert_true(deadline_us >= before_us + 1500000);
    assert_true(deadline_us <= after_us + 1500000);
    assert_true(clock_after_ms(-1) < clock_mono_us());
}

static void test_rfc3339(void **state)
{
    static const struct {
        int64_t wall_us;
        const char *text;
    } rows[] = {
        {0, "1970-01-01T00:00:00.000000Z"},
        {1, "1970-01-01T00:00:00.000001Z"},
        {999999, "1970-01-01T00:00:00.999999Z"},
        {1000000, "1970-01-01T00:00:01.000000Z"},
        {-1, "1969-12-31T23:59:59.999999Z"},
        {-1000000, "1969-12-31T23:59:59.000000Z"},
        {-1000001, "1969-12-31T23:59:58.999999Z"},
        {INT64_C(951782400123456), "2000-02-29T00:00:00.123456Z"},
        {INT64_C(2147483648000000), "2038-01-19T03:14:08.000000Z"},
        {INT64_C(4107542399000001), "2100-02-28T23:59:59.000001Z"},
        {INT64_C(4107542400000000), "2100-03-01T00:00:00.000000Z"}, /* no leap year */
        {INT64_C(253402300799999999), "9999-12-31T23:59:59.999999Z"},
        {INT64_C(-62135596800000000), "0001-01-01T00:00:00.000000Z"},
    };

    (void)state;
    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        char text[CLOCK_RFC3339_SIZE];

        clock_format_rfc3339(rows[i].wall_us, text);
        assert_string_equal(text, rows[i].text);
    }
}

/* PostgreSQL's infinity and other nonsense must stay inside of the buffer. */
static void test_rfc3339_of_extremes_is_of_the_same_length(void **state)
{
    static const int64_t rows[] = {INT64_MAX, INT64_MIN, INT64_C(253402300800000000)};

    (void)state;
    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        char text[CLOCK_RFC3339_SIZE];

        clock_format_rfc3339(rows[i], text);
        assert_int_equal(strlen(text), CLOCK_RFC3339_SIZE - 1);
    }
}

static void test_left_ms(void **state)
{
    int64_t now_us = clock_mono_us();

    (void)state;
    assert_int_equal(clock_left_ms(0), 0);
    assert_int_equal(clock_left_ms(now_us - 1), 0);
    assert_int_equal(clock_left_ms(now_us), 0);
    assert_int_equal(clock_left_ms(now_us + (int64_t)INT_MAX * 10 * CLOCK_US_PER_MS), INT_MAX);
    assert_in_range(clock_left_ms(now_us + 3600 * CLOCK_US_PER_S), 1, 3600000);
}

/* Rounded up: a deadline that is not over is never 0, which poll(2) takes as "do not wait". */
static void test_left_ms_is_rounded_up(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++) {
        int64_t deadline_us = clock_mono_us() + 900;
        int left_ms = clock_left_ms(deadline_us);

        if (clock_mono_us() < deadline_us) { /* else this thread was away meanwhile */
            assert_int_equal(left_ms, 1);
            return;
        }
    }
    fail_msg("never got 900 us at a time");
}

static void test_clocks(void **state)
{
    int64_t before_us = clock_mono_us();
    time_t wall = time(NULL);

    (void)state;
    assert_true(clock_mono_us() >= before_us);
    assert_in_range(clock_wall_us() / CLOCK_US_PER_S, wall, wall + 60);
}

static void test_cond_wait_ends_at_its_deadline(void **state)
{
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t cond;
    int64_t deadline_us = clock_mono_us() + 5 * CLOCK_US_PER_MS;

    (void)state;
    clock_cond_init(&cond);
    pthread_mutex_lock(&mutex);
    assert_false(clock_cond_wait(&cond, &mutex, 0)); /* long over */
    while (clock_cond_wait(&cond, &mutex, deadline_us)) {
    }
    assert_true(clock_mono_us() >= deadline_us);
    pthread_mutex_unlock(&mutex);
    pthread_cond_destroy(&cond);
}

struct waiter {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    bool waiting;
    bool done;
    bool in_time;
};

static void *wait_for_signal(void *arg)
{
    struct waiter *waiter = arg;

    pthread_mutex_lock(&waiter->mutex);
    waiter->waiting = true;
    waiter->in_time = true;
    while (!waiter->done && waiter->in_time) {
        waiter->in_time = clock_cond_wait(&waiter->cond, &waiter->mutex, support_give_up_us());
    }
    pthread_mutex_unlock(&waiter->mutex);
    return NULL;
}

static bool is_waiting(struct waiter *waiter)
{
    bool waiting;

    pthread_mutex_lock(&waiter->mutex);
    waiting = waiter->waiting;
    pthread_mutex_unlock(&waiter->mutex);
    return waiting;
}

static void test_cond_wait_ends_with_a_signal(void **state)
{
    struct waiter waiter = {.mutex = PTHREAD_MUTEX_INITIALIZER};
    pthread_t thread;

    (void)state;
    clock_cond_init(&waiter.cond);
    pthread_create(&thread, NULL, wait_for_signal, &waiter);
    wait_until(is_waiting(&waiter));
    pthread_mutex_lock(&waiter.mutex);
    waiter.done = true;
    pthread_cond_signal(&waiter.cond);
    pthread_mutex_unlock(&waiter.mutex);
    pthread_join(thread, NULL);
    assert_true(waiter.in_time);
    pthread_cond_destroy(&waiter.cond);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_deadline_after_some_ms),
        cmocka_unit_test(test_rfc3339),
        cmocka_unit_test(test_rfc3339_of_extremes_is_of_the_same_length),
        cmocka_unit_test(test_left_ms),
        cmocka_unit_test(test_left_ms_is_rounded_up),
        cmocka_unit_test(test_clocks),
        cmocka_unit_test(test_cond_wait_ends_at_its_deadline),
        cmocka_unit_test(test_cond_wait_ends_with_a_signal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
