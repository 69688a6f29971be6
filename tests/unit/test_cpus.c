#include "support.h"

#include "common/base/cpus.h"

#include <sched.h>

static void test_quotas(void **state)
{
    static const struct {
        const char *text;
        int64_t cpus;
    } rows[] = {
        {"max 100000\n", INT64_MAX}, {"100000 100000\n", 1}, {"150000 100000\n", 2},
        {"1000 100000\n", 1},        {"400000 100000", 4},   {"0 100000\n", INT64_MAX},
        {"-1\n100000\n", INT64_MAX}, {"30000\n100000\n", 1}, {"100000\n", INT64_MAX},
        {"100000 0\n", INT64_MAX},   {"", INT64_MAX},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(cpus_of_quota(rows[i].text), rows[i].cpus);
    }
}

static void test_a_process_that_is_bound_to_one(void **state)
{
    cpu_set_t one;
    cpu_set_t before;
    size_t first = 0;

    (void)state;
    assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
    while (!CPU_ISSET(first, &before)) {
        first++;
    }
    assert_in_range(cpus_usable(), 1, CPU_COUNT(&before));
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
    assert_int_equal(cpus_usable(), 1);
    assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quotas),
        cmocka_unit_test(test_a_process_that_is_bound_to_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
