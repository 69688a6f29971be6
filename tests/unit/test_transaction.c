#include "support.h"

#include "write-svc/transaction.h"

#include "common/base/alloc.h"

static void test_statuses(void **state)
{
    static const struct {
        enum status status;
        enum transaction_end end;
    } rows[] = {
        {STATUS_OK, TRANSACTION_COMMITTED},
        {STATUS_TIMEOUT, TRANSACTION_UNKNOWN},
        {STATUS_BROKEN, TRANSACTION_UNKNOWN},
        {STATUS_UNAVAILABLE, TRANSACTION_UNAVAILABLE},
    };
    const struct pg_error stale = {.failure = PG_FAILURE_LOCKED}; /* of an earlier try */

    (void)state;
    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        assert_int_equal(transaction_judge(rows[i].status, &stale), rows[i].end);
    }
}

/* What can never succeed must not be told as something that passes, and the other way round. */
static void test_failures(void **state)
{
    static const struct {
        const char *sqlstate;
        enum transaction_end end;
    } rows[] = {
        {"40001", TRANSACTION_UNAVAILABLE}, /* serialization_failure, again and again */
        {"40P01", TRANSACTION_UNAVAILABLE}, /* deadlock_detected */
        {"53300", TRANSACTION_UNAVAILABLE}, /* too_many_connections */
        {"25006", TRANSACTION_UNAVAILABLE}, /* read_only_sql_transaction: a failover */
        {"57014", TRANSACTION_UNAVAILABLE}, /* query_canceled */
        {"55P03", TRANSACTION_LOCKED},      /* lock_not_available */
        {"22P05", TRANSACTION_UNSTORABLE},  /* untranslatable_character */
        {"22021", TRANSACTION_UNSTORABLE},  /* character_not_in_repertoire */
        {"23514", TRANSACTION_REFUSED},     /* check_violation */
        {"42501", TRANSACTION_REFUSED},     /* insufficient_privilege */
        {"42883", TRANSACTION_REFUSED},     /* undefined_function */
    };

    (void)state;
    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        const struct pg_error error = {.failure = pg_failure_of(rows[i].sqlstate)};

        assert_int_equal(transaction_judge(STATUS_FAILED, &error), rows[i].end);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_statuses),
        cmocka_unit_test(test_failures),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
