#include "support.h"

#include "read-svc/watermark.h"

#include "common/base/clock.h"

static void test_knows_nothing_at_first(void **state)
{
    struct watermark *watermark = watermark_create();

    (void)state;
    assert_int_equal(watermark_get(watermark), 0);
    assert_false(
        watermark_judges(watermark, (struct product_read){.us = INT64_MAX, .timeline = 1}));
    assert_false(
        watermark_judges(watermark, (struct product_read){.us = INT64_MAX, .timeline = 0}));
    watermark_destroy(watermark);
    watermark_destroy(NULL);
}

static void test_judges_reads_after_since_on_its_timeline(void **state)
{
    struct watermark *watermark = watermark_create();

    (void)state;
    watermark_begin(watermark, 3, 1000);
    assert_true(watermark_judges(watermark, (struct product_read){.us = 1001, .timeline = 3}));
    /* two readings of a clock that are equal do not tell which came first */
    assert_false(watermark_judges(watermark, (struct product_read){.us = 1000, .timeline = 3}));
    assert_false(watermark_judges(watermark, (struct product_read){.us = 1001, .timeline = 2}));
    assert_false(watermark_judges(watermark, (struct product_read){.us = 1001, .timeline = 4}));
    assert_false(watermark_judges(watermark, (struct product_read){.us = 1001, .timeline = 0}));
    watermark_reset(watermark);
    assert_false(watermark_judges(watermark, (struct product_read){.us = 1001, .timeline = 3}));
    watermark_destroy(watermark);
}

static void test_refuses_what_cannot_be(void **state)
{
    struct watermark *watermark = watermark_create();
    int64_t sent_us = clock_mono_us();

    (void)state;
    assert_false(
        watermark_refuses(watermark, (struct product_read){.us = INT64_MAX, .timeline = 3}));
    watermark_begin(watermark, 3, 1000);
    watermark_move(watermark, 900000000, sent_us);
    assert_false(
        watermark_refuses(watermark, (struct product_read){.us = 900000000, .timeline = 3}));
    assert_false(watermark_refuses(watermark, (struct product_read){.us = 1, .timeline = 3}));
    assert_true(
        watermark_refuses(watermark, (struct product_read){.us = 900000000, .timeline = 2}));
    /* a day later than PostgreSQL's clock can show */
    assert_true(watermark_refuses(
        watermark, (struct product_read){.us = 900000000 + INT64_C(86400000000), .timeline = 3}));
    watermark_destroy(watermark);
}

static void test_ages_are_upper_bounds_and_grow(void **state)
{
    struct watermark *watermark = watermark_create();
    int64_t sent_us = 5000;

    (void)state;
    watermark_begin(watermark, 1, 1);
    watermark_move(watermark, 900000000, sent_us);
    assert_int_equal(watermark_get(watermark), 900000000);
    /* what was committed before the question was sent is as old as the question at most */
    assert_int_equal(watermark_age_us(watermark, 900000000, sent_us), 1);
    assert_int_equal(watermark_age_us(watermark, 900000000, sent_us + 1000000), 1000000 + 200 + 1);
    assert_int_equal(watermark_age_us(watermark, 900000000 - 7, sent_us), 8);
    /* a read after the round is younger, and never from the future */
    assert_int_equal(watermark_age_us(watermark, 900500000, sent_us + 1000000), 500000 + 200 + 1);
    assert_int_equal(watermark_age_us(watermark, 999000000, sent_us), 0);
    watermark_reset(watermark);
    assert_int_equal(watermark_get(watermark), 0);
    watermark_destroy(watermark);
}

static void test_before_any_round_this_machine_tells_the_age(void **state)
{
    struct watermark *watermark = watermark_create();
    int64_t age_us =
        watermark_age_us(watermark, clock_wall_us() - 60 * CLOCK_US_PER_S, clock_mono_us());

    (void)state;
    assert_true(age_us >= 60 * CLOCK_US_PER_S);
    watermark_destroy(watermark);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_knows_nothing_at_first),
        cmocka_unit_test(test_judges_reads_after_since_on_its_timeline),
        cmocka_unit_test(test_refuses_what_cannot_be),
        cmocka_unit_test(test_ages_are_upper_bounds_and_grow),
        cmocka_unit_test(test_before_any_round_this_machine_tells_the_age),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
