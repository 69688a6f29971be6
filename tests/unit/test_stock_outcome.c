#include "support.h"

#include "write-svc/stock_outcome.h"

#include <string.h>

static void test_words_of_the_database(void **state)
{
    (void)state;
    for (enum stock_outcome outcome = STOCK_APPLIED; outcome < STOCK_UNKNOWN; outcome++) {
        enum stock_outcome parsed = STOCK_OUTCOMES;

        assert_true(stock_outcome_parse(stock_outcome_name(outcome), &parsed));
        assert_int_equal(parsed, outcome);
    }
}

/* Our own words must not be taken for an answer of the database. */
static void test_other_words(void **state)
{
    enum stock_outcome parsed = STOCK_OUTCOMES;

    (void)state;
    for (enum stock_outcome outcome = STOCK_UNKNOWN; outcome < STOCK_OUTCOMES; outcome++) {
        assert_false(stock_outcome_parse(stock_outcome_name(outcome), &parsed));
    }
    assert_false(stock_outcome_parse("", &parsed));
    assert_false(stock_outcome_parse("reserved", &parsed));
    assert_false(stock_outcome_parse("Applied", &parsed));
    assert_int_equal(parsed, STOCK_OUTCOMES);
}

static void test_each_word_is_another(void **state)
{
    (void)state;
    for (enum stock_outcome a = STOCK_APPLIED; a < STOCK_OUTCOMES; a++) {
        for (enum stock_outcome b = a + 1; b < STOCK_OUTCOMES; b++) {
            assert_string_not_equal(stock_outcome_name(a), stock_outcome_name(b));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words_of_the_database),
        cmocka_unit_test(test_other_words),
        cmocka_unit_test(test_each_word_is_another),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
