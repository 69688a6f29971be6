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
    breaker_succeed(&breaker, NOW_US);
    assert_int_equal(breaker_state(&breaker, NOW_US), BREAKER_HALF_OPEN);
    return breaker;
}

static void check_state(const struct breaker *breaker, int64_t now_us, enum breaker_state state)
{
    assert_int_equal(breaker_state(breaker, now_us), state);
}

static void test_starts_closed(void **state)
{
    struct breaker breaker = closed_breaker();

    (void)state;
    check_state(&breaker, INT64_MIN, BREAKER_CLOSED);
    check_state(&breaker, 0, BREAKER_CLOSED);
    assert_int_equal(breaker.opened, 0);
}

static void test_failures_in_a_row_open_it(void **state)
{
    struct breaker breaker = closed_breaker();

    (void)state;
    assert_false(breaker_fail(&breaker, NOW_US));
    assert_false(breaker_fail(&breaker, NOW_US));
    check_state(&breaker, NOW_US, BREAKER_CLOSED);
    assert_true(breaker_fail(&breaker, NOW_US));
    check_state(&breaker, NOW_US, BREAKER_OPEN);
    assert_int_equal(breaker.opened, 1);
}

static void test_an_answer_forgets_failures(void **state)
{
    struct breaker breaker = closed_breaker();

    (void)state;
    for (int i = 0; i < 2 * FAILURES; i++) {
        assert_false(breaker_fail(&breaker, NOW_US));
        assert_false(breaker_fail(&breaker, NOW_US));
        breaker_succeed(&breaker, NOW_US);
    }
    check_state(&breaker, NOW_US, BREAKER_CLOSED);
}

static void test_an_open_one_stays_open_however_long(void **state)
{
    struct breaker breaker = closed_breaker();

    (void)state;
    breaker_trip(&breaker);
    check_state(&breaker, 0, BREAKER_OPEN);
    check_state(&breaker, INT64_MAX, BREAKER_OPEN);
}

static void test_openings_are_counted_once_each(void **state)
{
    struct breaker breaker = closed_breaker();

    (void)state;
    breaker_trip(&breaker);
    breaker_trip(&breaker);
    assert_int_equal(breaker.opened, 1);
    breaker_succeed(&breaker, NOW_US);
    breaker_trip(&breaker);
    assert_int_equal(breaker.opened, 2);
}

/* Calls that were under way when it opened end later; they neither open it again nor count for the
 * time after. */
static void test_failures_while_open_do_not_count(void **state)
{
    struct breaker breaker = closed_breaker();

    (void)state;
    breaker_trip(&breaker);
    for (int i = 0; i < 2 * FAILURES; i++) {
        assert_false(breaker_fail(&breaker, NOW_US));
    }
    breaker_succeed(&breaker, NOW_US);
    check_state(&breaker, NOW_US + PROBATION_US, BREAKER_CLOSED);
    for (int i = 1; i < FAILURES; i++) {
        assert_false(breaker_fail(&breaker, NOW_US + PROBATION_US));
    }
    assert_int_equal(breaker.opened, 1);
}

/* The state depends on the time alone: asking for it, in any order, changes nothing. */
static void test_probation_ends_after_its_time(void **state)
{
    const struct breaker breaker = half_open_breaker();

    (void)state;
    check_state(&breaker, NOW_US + PROBATION_US, BREAKER_CLOSED);
    check_state(&breaker, NOW_US + PROBATION_US - 1, BREAKER_HALF_OPEN);
    check_state(&breaker, NOW_US, BREAKER_HALF_OPEN);
    check_state(&breaker, INT64_MAX, BREAKER_CLOSED);
}

static void test_further_answers_do_not_prolong_probation(void **state)
{
    struct breaker breaker = half_open_breaker();

    (void)state;
    breaker_succeed(&breaker, NOW_US + PROBATION_US - 1);
    check_state(&breaker, NOW_US + PROBATION_US, BREAKER_CLOSED);
}

static void test_one_failure_in_probation_opens_it(void **state)
{
    struct breaker breaker = half_open_breaker();

    (void)state;
    assert_true(breaker_fail(&breaker, NOW_US + PROBATION_US - 1));
    check_state(&breaker, INT64_MAX, BREAKER_OPEN);
    assert_int_equal(breaker.opened, 2);
}

/* Also when nobody asked for its state since the probation ended. */
static void test_after_the_probation_one_failure_does_not_open_it(void **state)
{
    struct breaker breaker = half_open_breaker();

    (void)state;
    assert_false(breaker_fail(&breaker, NOW_US + PROBATION_US));
    check_state(&breaker, NOW_US + PROBATION_US, BREAKER_CLOSED);
}

static void test_no_probation_closes_at_once(void **state)
{
    struct breaker breaker;

    (void)state;
    breaker_init(&breaker, FAILURES, 0);
    breaker_trip(&breaker);
    breaker_succeed(&breaker, NOW_US);
    check_state(&breaker, NOW_US, BREAKER_CLOSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_starts_closed),
        cmocka_unit_test(test_failures_in_a_row_open_it),
        cmocka_unit_test(test_an_answer_forgets_failures),
        cmocka_unit_test(test_an_open_one_stays_open_however_long),
        cmocka_unit_test(test_openings_are_counted_once_each),
        cmocka_unit_test(test_failures_while_open_do_not_count),
        cmocka_unit_test(test_probation_ends_after_its_time),
        cmocka_unit_test(test_further_answers_do_not_prolong_probation),
        cmocka_unit_test(test_one_failure_in_probation_opens_it),
        cmocka_unit_test(test_after_the_probation_one_failure_does_not_open_it),
        cmocka_unit_test(test_no_probation_closes_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
