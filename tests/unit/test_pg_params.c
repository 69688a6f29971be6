#include "support.h"

#include "common/stores/pg_params.h"

static void test_single_values(void **state)
{
    struct pg_params params = PG_PARAMS_EMPTY;
    const char *const *values;

    (void)state;
    pg_params_add_int(&params, INT64_MIN);
    pg_params_add_text(&params, "{a,\"b\"} \\ NULL");
    pg_params_add_text(&params, NULL);
    pg_params_add_text(&params, "");
    pg_params_add_bool(&params, true);
    pg_params_add_bool(&params, false);
    values = pg_params_values(&params);
    assert_int_equal(params.count, 6);
    assert_string_equal(values[0], "-9223372036854775808");
    assert_string_equal(values[1], "{a,\"b\"} \\ NULL"); /* a parameter needs no quoting */
    assert_null(values[2]);
    assert_string_equal(values[3], "");
    assert_string_equal(values[4], "t");
    assert_string_equal(values[5], "f");
    pg_params_finish(&params);
}

static void test_arrays(void **state)
{
    struct pg_params params = PG_PARAMS_EMPTY;
    const char *const *values;

    (void)state;
    pg_params_begin_array(&params);
    pg_params_end_array(&params);
    pg_params_begin_array(&params);
    pg_params_add_int(&params, 7);
    pg_params_add_int(&params, -9);
    pg_params_add_text(&params, NULL);
    pg_params_add_bool(&params, true);
    pg_params_end_array(&params);
    pg_params_begin_array(&params);
    pg_params_add_text(&params, NULL);
    pg_params_add_text(&params, "NULL");
    pg_params_add_text(&params, "");
    pg_params_add_text(&params, "a, \"b\" {c} \\d");
    pg_params_end_array(&params);
    pg_params_add_int(&params, 1);
    values = pg_params_values(&params);
    assert_int_equal(params.count, 4);
    assert_string_equal(values[0], "{}");
    assert_string_equal(values[1], "{7,-9,NULL,t}");
    assert_string_equal(values[2], "{NULL,\"NULL\",\"\",\"a, \\\"b\\\" {c} \\\\d\"}");
    assert_string_equal(values[3], "1");
    pg_params_finish(&params);
}

/* The texts move when the buffer grows. */
static void test_many(void **state)
{
    struct pg_params params = PG_PARAMS_EMPTY;
    const char *const *values;

    (void)state;
    pg_params_add_text(&params, "first");
    pg_params_begin_array(&params);
    for (int i = 0; i < 10000; i++) {
        pg_params_add_int(&params, i);
    }
    pg_params_end_array(&params);
    values = pg_params_values(&params);
    assert_string_equal(values[0], "first");
    assert_contains(values[1], ",9999}");
    pg_params_add_text(&params, "last");
    assert_string_equal(pg_params_values(&params)[2], "last");
    pg_params_finish(&params);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_single_values),
        cmocka_unit_test(test_arrays),
        cmocka_unit_test(test_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
