#include "write-svc/transaction.h"

#include "common/base/alloc.h"
#include "common/base/log.h"
#include "common/base/metrics.h"

#include <stdlib.h>

#define TRIES_MAX 3 /* a third conflict in a row means that a client had better come back later */

static struct metric_family retries_counter = METRIC_COUNTER(
    "faststock_transaction_retries_total",
    "Transactions begun again after a deadlock or a serialization failure.", METRIC_NO_LABELS);

struct transactions {
    struct pg_store *database;
    struct metric *retries;
};

struct transactions *transactions_create(struct pg_store *database)
{
    struct transactions *transactions = fs_calloc(1, sizeof(*transactions));

    transactions->database = database;
    transactions->retries = metric_get(&retries_counter);
    return transactions;
}

void transactions_destroy(struct transactions *transactions)
{
    free(transactions);
}

static enum transaction_end judge_failure(enum pg_failure failure)
{
    switch (failure) {
    case PG_FAILURE_PASSING:
    case PG_FAILURE_CONFLICT:
        return TRANSACTION_UNAVAILABLE;
    case PG_FAILURE_LOCKED:
        return TRANSACTION_LOCKED;
    case PG_FAILURE_VALUE:
        return TRANSACTION_UNSTORABLE;
    case PG_FAILURE_CONSTRAINT:
    case PG_FAILURE_DENIED:
    case PG_FAILURE_SCHEMA:
        break;
    }
    return TRANSACTION_REFUSED;
}

enum transaction_end transaction_judge(enum status status, const struct pg_error *error)
{
    switch (status) {
    case STATUS_OK:
        return TRANSACTION_COMMITTED;
    case STATUS_UNAVAILABLE:
        return TRANSACTION_UNAVAILABLE;
    case STATUS_FAILED:
        return judge_failure(error->failure);
    case STATUS_TIMEOUT:
    case STATUS_BROKEN:
        break;
    }
    return TRANSACTION_UNKNOWN;
}

/* A locked row is an everyday thing, and counted. */
static void log_failure(const struct pg_error *error)
{
    if (error->failure != PG_FAILURE_LOCKED) {
        log_error(log_msg("PostgreSQL refused a change"),
                  log_str("kind", pg_failure_name(error->failure)),
                  log_str("sqlstate", error->sqlstate), log_str("error", error->message));
    }
}

enum transaction_end transaction_run(struct transactions *transactions,
                                     const struct pg_statement *statement,
                                     const char *const *params, int64_t deadline_us,
                                     struct pg_result **ret_rows, struct pg_error *ret_error)
{
    struct pg_error error = {.failure = PG_FAILURE_PASSING};
    enum status status = STATUS_FAILED;

    for (int tries = 1; tries <= TRIES_MAX; tries++) {
        status = pg_run(transactions->database, statement, params, deadline_us, ret_rows, &error);
        if (status != STATUS_FAILED || error.failure != PG_FAILURE_CONFLICT) {
            break;
        }
        metric_add(transactions->retries, 1);
    }
    if (status == STATUS_FAILED) {
        log_failure(&error);
    }
    *ret_error = status == STATUS_FAILED ? error : (struct pg_error){.sqlstate = ""};
    return transaction_judge(status, &error);
}
