/* The spans of a follower; its questions are tested with a PostgreSQL (tests/integration). */
#include "support.h"

#include "common/products/ledger_follower.h"

static void test_a_span_begins_at_the_oldest_transaction_that_may_be_unseen(void **state)
{
    struct ledger_span span;

    (void)state;
    ledger_span_init(&span, "18446744073709551614:18446744073709551615:", NULL);
    assert_string_equal(span.seen, "18446744073709551614:18446744073709551615:");
    assert_null(span.until);
    assert_true(span.after.xid == UINT64_MAX - 1);
    assert_int_equal(span.after.product_id, 0); /* before all movements of that transaction */
    assert_int_equal(span.after.version, 0);
    assert_false(ledger_span_is_none(&span));
    ledger_span_finish(&span);
}

static void test_a_span_between_two_snapshots(void **state)
{
    char seen[] = "10:20:10,15";
    char until[] = "15:30:15";
    struct ledger_span span;

    (void)state;
    ledger_span_init(&span, seen, until);
    seen[0] = until[0] = 'x'; /* it has copies */
    assert_string_equal(span.seen, "10:20:10,15");
    assert_string_equal(span.until, "15:30:15");
    assert_true(span.after.xid == 10);
    ledger_span_finish(&span);
}

static void test_the_next_span_begins_where_this_one_was_read(void **state)
{
    struct ledger_span span;

    (void)state;
    ledger_span_init(&span, "10:20:10,15", "15:30:15");
    span.after = (struct ledger_position){.xid = 17, .product_id = 3, .version = 4};
    ledger_span_move_on(&span, span.until);
    assert_string_equal(span.seen, "15:30:15");
    assert_null(span.until);
    assert_true(span.after.xid == 15 && span.after.product_id == 0 && span.after.version == 0);
    ledger_span_finish(&span);
}

static void test_no_span(void **state)
{
    struct ledger_span span = LEDGER_SPAN_NONE;

    (void)state;
    assert_true(ledger_span_is_none(&span));
    ledger_span_finish(&span);
    ledger_span_move_on(&span, "7:7:");
    assert_false(ledger_span_is_none(&span));
    assert_true(span.after.xid == 7);
    ledger_span_finish(&span);
    assert_true(ledger_span_is_none(&span));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_span_begins_at_the_oldest_transaction_that_may_be_unseen),
        cmocka_unit_test(test_a_span_between_two_snapshots),
        cmocka_unit_test(test_the_next_span_begins_where_this_one_was_read),
        cmocka_unit_test(test_no_span),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
