/* PostgreSQL, as FastStock uses it: one statement is one transaction, with text parameters and no
 * state of the session, so that it works behind PgBouncer in transaction mode.
 *
 * With `is_prepared` a statement is prepared by its name once per connection, which saves parsing
 * and analysing it with each call, and, where the server settles on a generic plan, planning it.
 * That works directly, and through PgBouncer from 1.21 on with max_prepared_statements. Nothing
 * fails because the server has lost a statement (26000, after DISCARD ALL or a failover), or its
 * result has another form since a migration (0A000): it is prepared again, and the call is repeated
 * within its deadline, because such a call was certainly not executed.
 *
 * A URL may name several servers (pg_hosts.h). A connection counts only once a statement was
 * answered on it, because PgBouncer lets clients in while PostgreSQL is away. That statement also
 * asks whether the server takes writes: a store that needs them passes a hot standby over, and
 * drops its connections when a statement is refused as read-only (25006), or, within a second, when
 * the server behind PgBouncer has become another one. It counts as away until a server that takes
 * writes is found.
 *
 * A database whose encoding is not UTF8 is used, and named in the log and in pg_store_note. It is
 * not refused, because it can serve all text that it can hold; a value that it cannot hold is
 * refused by itself (PG_FAILURE_VALUE), and to refuse the database would stop also those requests
 * that it can serve.
 *
 * All functions are thread-safe; a result belongs to its caller. */
#ifndef FASTSTOCK_COMMON_STORES_PG_H
#define FASTSTOCK_COMMON_STORES_PG_H

#include "common/base/config.h"
#include "common/base/status.h"
#include "common/stores/breaker.h"
#include "common/stores/options.h"
#include "common/stores/pg_error.h"

#include <stdbool.h>
#include <stdint.h>

struct pg_store;
struct pg_result;

struct pg_options {
    struct store_options store; /* url: a libpq URL, which pg_url_kind takes */
    const char *application;    /* application_name; borrowed for the life of the process */
    bool needs_writes;          /* a server that takes none counts as away */
    bool needs_primary; /* a hot standby counts as away, if the URL names several servers and does
                           not say by target_session_attrs which ones will do */
    bool is_prepared;   /* statements are prepared by name */
};

/* postgres:// and postgresql:// URLs. Checks all that libpq would refuse before it asks a server:
 * parameters and their values, hosts, ports. */
extern const struct config_url_kind pg_url_kind;

/* Connections come when PostgreSQL is there. NULL when the URL is empty: there is no such store. */
struct pg_store *pg_store_create(const struct pg_options *options);
void pg_store_destroy(struct pg_store *store); /* NULL is fine */

/* A statement: a static object of its module, because connections remember which ones they have
 * prepared by its address. */
struct pg_statement {
    const char *name; /* [a-z_], at most PG_STATEMENT_NAME_MAX; other statements may have it too */
    const char *sql;
    int param_count;
};

#define PG_STATEMENT_NAME_MAX 32

/* Runs one statement with its parameters (NULL is SQL's NULL). On STATUS_OK the result is to be
 * freed with pg_result_free; on STATUS_FAILED `ret_error` tells what the server said. After
 * STATUS_TIMEOUT and STATUS_BROKEN nobody knows whether the statement was done. Of the time until
 * the deadline the statement gets at most the store's timeout_ms; the rest may pass with waiting
 * for a connection (pool_wait_until_us). */
enum status pg_run(struct pg_store *store, const struct pg_statement *statement,
                   const char *const *params, int64_t deadline_us, struct pg_result **ret_result,
                   struct pg_error *ret_error);

/* The same for a statement that is never prepared: because it is seldom run, or because its best
 * plan depends on its parameters, which a prepared statement may come to ignore. */
enum status pg_query(struct pg_store *store, const char *sql, const char *const *params, int count,
                     int64_t deadline_us, struct pg_result **ret_result,
                     struct pg_error *ret_error);

int pg_rows(const struct pg_result *result);
/* The text of a value, NULL when it is SQL's NULL; lives as long as the result. */
const char *pg_text(const struct pg_result *result, int row, int column);
/* The value as a number; the column must be an integer that is not NULL. */
int64_t pg_int(const struct pg_result *result, int row, int column);
void pg_result_free(struct pg_result *result); /* NULL is fine */

enum breaker_state pg_store_state(struct pg_store *store);

/* What an operator should know: why the store is away, or that the database's encoding is not UTF8.
 * "" when all is well. */
#define PG_NOTE_SIZE 512
void pg_store_note(struct pg_store *store, char ret_note[PG_NOTE_SIZE]);

#endif
