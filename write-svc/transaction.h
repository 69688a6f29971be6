/* One change of the database: a statement that is a transaction of its own, and how it ended.
 * Thread-safe. */
#ifndef FASTSTOCK_WRITE_SVC_TRANSACTION_H
#define FASTSTOCK_WRITE_SVC_TRANSACTION_H

#include "common/base/status.h"
#include "common/stores/pg.h"

#include <stdint.h>

/* In every case but the first two nothing was changed. */
enum transaction_end {
    TRANSACTION_COMMITTED,
    TRANSACTION_UNKNOWN, /* the connection broke, or the deadline passed, after it was sent: it may
                            have been committed */
    TRANSACTION_UNAVAILABLE, /* PostgreSQL is away, too busy, or refuses for now: it may be repeated
                              */
    TRANSACTION_LOCKED,      /* another transaction holds a row for long (lock_timeout) */
    TRANSACTION_UNSTORABLE,  /* a value can never be stored: it has a character, say, that the
                                encoding of the database lacks */
    TRANSACTION_REFUSED,     /* fails until an operator grants a right, migrates or mends a row */
};

struct transactions;

/* `database` is borrowed and outlives it. */
struct transactions *transactions_create(struct pg_store *database);
void transactions_destroy(struct transactions *transactions); /* NULL is fine */

/* Runs a statement with its parameters, and again when PostgreSQL aborts it in favour of another.
 * On TRANSACTION_COMMITTED the rows are to be freed with pg_result_free. A refusal is logged here;
 * `ret_error` says what PostgreSQL refused it with, and has no sqlstate when it was not that. */
enum transaction_end transaction_run(struct transactions *transactions,
                                     const struct pg_statement *statement,
                                     const char *const *params, int64_t deadline_us,
                                     struct pg_result **ret_rows, struct pg_error *ret_error);

/* How a statement ended that came to `status`; `error` counts with STATUS_FAILED only. */
enum transaction_end transaction_judge(enum status status, const struct pg_error *error);

#endif
