#include "support.h"

#include "common/stores/breaker.h"

#define FAILURES 3
#define PROBATION_US 1000
#define NOW_US 5000000

static struct breaker closed_breaker(void)
{
    struct breaker breaker;

    breaker_init(&breaker, FAILURES, PROBATION_US);
    return breaker;
}

/* Opened, and then answered by a probe at NOW_US. */
static struct breaker half_open_breaker(void)
{
    struct breaker breaker = closed_breaker();

    breaker_trip(&breaker);
    breaker_success(&breaker, NOW_US);
    assert_int_equal(breaker.state, BREAKER_HALF_OPEN);
    return breaker;
}

static void test_starts_closed(void **state)
{
    struct breaker breaker = closed_breaker();

    (void)state;
    assert_true(breaker_allows(&breaker, 0));
    assert_int_equal(breaker.state, BREAKER_CLOSED);
    assert_int_equal(breaker.opened, 0);
}

static void test_failures_in_a_row_say_when_to_trip(void **state)
{
    struct breaker breaker = closed_breaker();

    (void)state;
    assert_false(breaker_failure(&breaker));
    assert_false(breaker_failure(&breaker));
    assert_true(breaker_allows(&breaker, NOW_US));
    assert_true(breaker_failure(&breaker));
}

static void test_success_forgets_failures(void **state)
{
    struct breaker breaker = closed_breaker();

    (void)state;
    for (int i = 0; i < 2 * FAILURES; i++) {
        assert_false(breaker_failure(&breaker));
        assert_false(breaker_failure(&breaker));
        breaker_success(&breaker, NOW_US);
    }
    assert_int_equal(breaker.state, BREAKER_CLOSED);
}

static void test_open_allows_nothing_however_long(void **state)
{
    struct breaker breaker = closed_breaker();

    (void)state;
    breaker_trip(&breaker);
    assert_int_equal(breaker.state, BREAKER_OPEN);
    assert_false(breaker_allows(&breaker, NOW_US));
    assert_false(breaker_allows(&breaker, INT64_MAX));
}

static void test_openings_are_counted_once_each(void **state)
{
    struct breaker breaker = closed_breaker();

    (void)state;
    breaker_trip(&breaker);
    breaker_trip(&breaker);
    assert_int_equal(breaker.opened, 1);
    breaker_success(&breaker, NOW_US);
    breaker_trip(&breaker);
    assert_int_equal(breaker.opened, 2);
}

/* Calls that were under way when it opened end later; they neither trip it again nor count for the
 * time after. */
static void test_failures_while_open_do_not_count(void **state)
{
    struct breaker breaker = closed_breaker();

    (void)state;
    breaker_trip(&breaker);
    for (int i = 0; i < 2 * FAILURES; i++) {
        assert_false(breaker_failure(&breaker));
    }
    breaker_success(&breaker, NOW_US);
    assert_true(breaker_allows(&breaker, NOW_US + PROBATION_US));
    assert_false(breaker_failure(&breaker));
    assert_int_equal(breaker.opened, 1);
}

static void test_probation_ends_after_its_time(void **state)
{
    struct breaker breaker = half_open_breaker();

    (void)state;
    assert_false(breaker_allows(&breaker, NOW_US));
    assert_false(breaker_allows(&breaker, NOW_US + PROBATION_US - 1));
    assert_int_equal(breaker.state, BREAKER_HALF_OPEN);
    assert_true(breaker_allows(&breaker, NOW_US + PROBATION_US));
    assert_int_equal(breaker.state, BREAKER_CLOSED);
}

static void test_further_answers_do_not_prolong_probation(void **state)
{
    struct breaker breaker = half_open_breaker();

    (void)state;
    breaker_success(&breaker, NOW_US + PROBATION_US - 1);
    assert_true(breaker_allows(&breaker, NOW_US + PROBATION_US));
}

static void test_one_failure_in_probation_trips(void **state)
{
    struct breaker breaker = half_open_breaker();

    (void)state;
    assert_true(breaker_failure(&breaker));
}

static void test_no_probation_closes_at_once(void **state)
{
    struct breaker breaker;

    (void)state;
    breaker_init(&breaker, FAILURES, 0);
    breaker_trip(&breaker);
    breaker_success(&breaker, NOW_US);
    assert_true(breaker_allows(&breaker, NOW_US));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_starts_closed),
        cmocka_unit_test(test_failures_in_a_row_say_when_to_trip),
        cmocka_unit_test(test_success_forgets_failures),
        cmocka_unit_test(test_open_allows_nothing_however_long),
        cmocka_unit_test(test_openings_are_counted_once_each),
        cmocka_unit_test(test_failures_while_open_do_not_count),
        cmocka_unit_test(test_probation_ends_after_its_time),
        cmocka_unit_test(test_further_answers_do_not_prolong_probation),
        cmocka_unit_test(test_one_failure_in_probation_trips),
        cmocka_unit_test(test_no_probation_closes_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
