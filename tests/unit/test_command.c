#include "support.h"

#include "write-svc/command.h"

static void test_words_of_the_database(void **state)
{
    (void)state;
    for (enum write_outcome outcome = WRITE_APPLIED; outcome < WRITE_UNKNOWN; outcome++) {
        enum write_outcome parsed = WRITE_OUTCOMES;

        assert_true(write_outcome_parse(write_outcome_name(outcome), &parsed));
        assert_int_equal(parsed, outcome);
    }
}

/* Our own words must not be taken for an answer of the database. */
static void test_other_words(void **state)
{
    enum write_outcome parsed = WRITE_OUTCOMES;

    (void)state;
    for (enum write_outcome outcome = WRITE_UNKNOWN; outcome < WRITE_OUTCOMES; outcome++) {
        assert_false(write_outcome_parse(write_outcome_name(outcome), &parsed));
    }
    assert_false(write_outcome_parse("", &parsed));
    assert_false(write_outcome_parse("Applied", &parsed));
    assert_int_equal(parsed, WRITE_OUTCOMES);
}

static void test_each_word_is_another(void **state)
{
    (void)state;
    for (enum write_outcome a = WRITE_APPLIED; a < WRITE_OUTCOMES; a++) {
        for (enum write_outcome b = a + 1; b < WRITE_OUTCOMES; b++) {
            assert_string_not_equal(write_outcome_name(a), write_outcome_name(b));
        }
    }
    for (enum write_kind a = WRITE_CHANGE; a < WRITE_KINDS; a++) {
        for (enum write_kind b = a + 1; b < WRITE_KINDS; b++) {
            assert_string_not_equal(write_kind_name(a), write_kind_name(b));
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
