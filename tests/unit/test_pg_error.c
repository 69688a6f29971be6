#include "support.h"

#include "common/stores/pg_error.h"

#include "common/base/alloc.h"

static void test_failures_by_sqlstate(void **state)
{
    static const struct {
        const char *sqlstate;
        enum pg_failure failure;
    } rows[] = {
        {"40001", PG_FAILURE_CONFLICT},   /* serialization_failure */
        {"40P01", PG_FAILURE_CONFLICT},   /* deadlock_detected */
        {"55P03", PG_FAILURE_LOCKED},     /* lock_not_available */
        {"55000", PG_FAILURE_PASSING},    /* object_not_in_prerequisite_state */
        {"22P05", PG_FAILURE_VALUE},      /* untranslatable_character */
        {"22003", PG_FAILURE_VALUE},      /* numeric_value_out_of_range */
        {"54000", PG_FAILURE_VALUE},      /* program_limit_exceeded */
        {"23514", PG_FAILURE_CONSTRAINT}, /* check_violation */
        {"23001", PG_FAILURE_CONSTRAINT}, /* restrict_violation */
        {"P0001", PG_FAILURE_CONSTRAINT}, /* raise_exception */
        {"42501", PG_FAILURE_DENIED},     /* insufficient_privilege */
        {"28P01", PG_FAILURE_DENIED},     /* invalid_password */
        {"42883", PG_FAILURE_SCHEMA},     /* undefined_function */
        {"42P01", PG_FAILURE_SCHEMA},     /* undefined_table */
        {"3D000", PG_FAILURE_SCHEMA},     /* invalid_catalog_name */
        {"0A000", PG_FAILURE_SCHEMA},     /* feature_not_supported */
        {"53300", PG_FAILURE_PASSING},    /* too_many_connections */
        {"53100", PG_FAILURE_PASSING},    /* disk_full */
        {"57014", PG_FAILURE_PASSING},    /* query_canceled */
        {"57P01", PG_FAILURE_PASSING},    /* admin_shutdown */
        {"08P01", PG_FAILURE_PASSING},    /* protocol_violation: an error of PgBouncer's own */
        {"25006", PG_FAILURE_PASSING},    /* read_only_sql_transaction: until a failover is over */
        {"XX000", PG_FAILURE_PASSING},    /* internal_error */
        {"", PG_FAILURE_PASSING},         {"4", PG_FAILURE_PASSING}, {NULL, PG_FAILURE_PASSING},
    };

    (void)state;
    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        enum pg_failure failure = pg_failure_of(rows[i].sqlstate);

        check_row(failure == rows[i].failure, "%s: %s",
                  rows[i].sqlstate == NULL ? "NULL" : rows[i].sqlstate, pg_failure_name(failure));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_failures_by_sqlstate)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
