#include "common/stores/pg.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/parse.h"
#include "common/stores/pool.h"
#include "common/stores/url.h"

#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pg_store {
    char *url;
    const char *application;
    int64_t timeout_ms;
    struct pool *pool;
};

/* --- waiting ---------------------------------------------------------------------------------- */

/* Waits until the connection's socket is ready for `events`. */
static enum status wait_socket(PGconn *connection, short events, int64_t deadline_us)
{
    struct pollfd fd = {.fd = PQsocket(connection), .events = events};

    for (;;) {
        int left_ms = clock_left_ms(deadline_us);
        int ready = left_ms == 0 ? 0 : poll(&fd, 1, left_ms);

        if (ready > 0) {
            return STATUS_OK;
        }
        if (ready == 0) {
            return STATUS_TIMEOUT;
        }
        if (errno != EINTR) {
            return STATUS_BROKEN;
        }
    }
}

/* Sends what libpq still holds; reads meanwhile, as a server that is not read from may stop
 * reading. */
static enum status flush_out(PGconn *connection, int64_t deadline_us)
{
    int left;

    while ((left = PQflush(connection)) > 0) {
        enum status status = wait_socket(connection, POLLIN | POLLOUT, deadline_us);

        if (status != STATUS_OK) {
            return status;
        }
        if (!PQconsumeInput(connection)) {
            return STATUS_BROKEN;
        }
    }
    return left == 0 ? STATUS_OK : STATUS_BROKEN;
}

/* The next result of the statement under way; *ret_result is NULL after the last one. */
static enum status next_result(PGconn *connection, int64_t deadline_us, PGresult **ret_result)
{
    while (PQisBusy(connection)) {
        enum status status = wait_socket(connection, POLLIN, deadline_us);

        if (status != STATUS_OK) {
            return status;
        }
        if (!PQconsumeInput(connection)) {
            return STATUS_BROKEN;
        }
    }
    *ret_result = PQgetResult(connection);
    return STATUS_OK;
}

/* --- statements ------------------------------------------------------------------------------- */

static void fill_error(struct pg_error *error, const char *sqlstate, const char *message)
{
    error->failure = pg_failure_of(sqlstate);
    snprintf(error->sqlstate, sizeof(error->sqlstate), "%s", sqlstate == NULL ? "" : sqlstate);
    snprintf(error->message, sizeof(error->message), "%s", message == NULL ? "" : message);
    error->message[strcspn(error->message, "\n")] = '\0';
}

/* The server ended, or is about to end, the connection: classes 08 (connection) and 57P (operator
 * intervention), and PgBouncer's own errors, which come as 08P01. */
static bool means_away(const char *sqlstate)
{
    return sqlstate == NULL || strncmp(sqlstate, "08", 2) == 0 || strncmp(sqlstate, "57P", 3) == 0;
}

static enum status judge(const PGconn *connection, const PGresult *result, struct pg_error *error)
{
    ExecStatusType type = PQresultStatus(result);
    const char *sqlstate;

    if (type == PGRES_TUPLES_OK || type == PGRES_COMMAND_OK) {
        return STATUS_OK;
    }
    sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    fill_error(error, sqlstate, PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY));
    if (error->message[0] == '\0') {
        fill_error(error, sqlstate, PQerrorMessage(connection));
    }
    return PQstatus(connection) != CONNECTION_OK || means_away(sqlstate) ? STATUS_BROKEN
                                                                         : STATUS_FAILED;
}

static enum status run(PGconn *connection, const char *sql, const char *const *params, int count,
                       int64_t deadline_us, PGresult **ret_result, struct pg_error *error)
{
    PGresult *first = NULL;
    PGresult *extra = NULL;
    enum status status;

    if (!PQsendQueryParams(connection, sql, count, NULL, params, NULL, NULL, 0)) {
        fill_error(error, NULL, PQerrorMessage(connection));
        return STATUS_BROKEN;
    }
    status = flush_out(connection, deadline_us);
    if (status == STATUS_OK) {
        status = next_result(connection, deadline_us, &first);
    }
    while (status == STATUS_OK &&
           (status = next_result(connection, deadline_us, &extra)) == STATUS_OK && extra != NULL) {
        PQclear(extra);
    }
    if (status == STATUS_OK) {
        status = judge(connection, first, error);
    } else {
        fill_error(error, NULL,
                   status == STATUS_TIMEOUT ? "no answer in time" : PQerrorMessage(connection));
    }
    if (status == STATUS_OK) {
        *ret_result = first;
    } else {
        PQclear(first);
    }
    return status;
}

/* A connection, and time left to use it. */
static enum status acquire(struct pg_store *store, int64_t deadline_us, void **ret_connection)
{
    int64_t wait_until_us = pool_wait_until_us(deadline_us, store->timeout_ms);
    enum status status = pool_acquire(store->pool, wait_until_us, ret_connection);

    if (status == STATUS_OK && clock_left_ms(deadline_us) == 0) {
        pool_release(store->pool, *ret_connection, STATUS_UNAVAILABLE);
        return STATUS_UNAVAILABLE;
    }
    return status;
}

enum status pg_query(struct pg_store *store, const char *sql, const char *const *params, int count,
                     int64_t deadline_us, struct pg_result **ret_result, struct pg_error *ret_error)
{
    int64_t statement_deadline_us;
    void *connection = NULL;
    PGresult *result = NULL;
    enum status status;

    fill_error(ret_error, NULL, "the store is away, or busy");
    status = acquire(store, deadline_us, &connection);
    if (status != STATUS_OK) {
        return status;
    }
    statement_deadline_us = clock_mono_us() + store->timeout_ms * CLOCK_US_PER_MS;
    if (deadline_us < statement_deadline_us) {
        statement_deadline_us = deadline_us;
    }
    status = run(connection, sql, params, count, statement_deadline_us, &result, ret_error);
    pool_release(store->pool, connection, status);
    if (status == STATUS_OK) {
        *ret_result = (struct pg_result *)result;
    }
    return status;
}

int pg_rows(const struct pg_result *result)
{
    return PQntuples((const PGresult *)result);
}

const char *pg_text(const struct pg_result *result, int row, int column)
{
    const PGresult *pg = (const PGresult *)result;

    return PQgetisnull(pg, row, column) ? NULL : PQgetvalue(pg, row, column);
}

int64_t pg_int(const struct pg_result *result, int row, int column)
{
    return strtoll(PQgetvalue((const PGresult *)result, row, column), NULL, 10);
}

void pg_result_free(struct pg_result *result)
{
    PQclear((PGresult *)result);
}

/* --- connecting ------------------------------------------------------------------------------- */

static void ignore_notice(void *arg, const char *message)
{
    (void)arg;
    (void)message;
}

static enum status finish_connecting(PGconn *connection, int64_t deadline_us)
{
    PostgresPollingStatusType step = PGRES_POLLING_WRITING;

    while (step != PGRES_POLLING_OK) {
        enum status status =
            wait_socket(connection, step == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline_us);

        if (status != STATUS_OK) {
            return status;
        }
        step = PQconnectPoll(connection);
        if (step == PGRES_POLLING_FAILED) {
            return STATUS_BROKEN;
        }
    }
    return STATUS_OK;
}

/* Connected means that a statement was answered: PgBouncer lets clients in while PostgreSQL is
 * away. */
static enum status probe(PGconn *connection, int64_t deadline_us, struct pg_error *error)
{
    PGresult *result = NULL;
    enum status status = run(connection, "SELECT 1", NULL, 0, deadline_us, &result, error);

    PQclear(result);
    return status;
}

static void connection_close(void *connection)
{
    PQfinish(connection);
}

static void *connection_open(void *arg, int64_t deadline_us, char error[POOL_ERROR_SIZE])
{
    const struct pg_store *store = arg;
    const char *const keywords[] = {"dbname", "fallback_application_name", "client_encoding", NULL};
    const char *const values[] = {store->url, store->application, "UTF8", NULL};
    PGconn *connection = PQconnectStartParams(keywords, values, 1);
    struct pg_error why = {.sqlstate = ""};
    enum status status = STATUS_BROKEN;

    if (connection != NULL && PQstatus(connection) != CONNECTION_BAD) {
        PQsetNoticeProcessor(connection, ignore_notice, NULL);
        status = finish_connecting(connection, deadline_us);
    }
    if (status == STATUS_OK && PQsetnonblocking(connection, 1) == 0) {
        status = probe(connection, deadline_us, &why);
    } else {
        fill_error(&why, NULL,
                   status == STATUS_TIMEOUT ? "no answer in time" : PQerrorMessage(connection));
    }
    if (status != STATUS_OK) {
        snprintf(error, POOL_ERROR_SIZE, "%s", why.message);
        PQfinish(connection);
        return NULL;
    }
    return connection;
}

/* Between statements a server says at most a notice or a changed parameter; a hang-up shows as end
 * of input. */
static bool connection_is_alive(void *arg)
{
    PGconn *connection = arg;
    struct pollfd fd = {.fd = PQsocket(connection), .events = POLLIN | POLLRDHUP};

    if (poll(&fd, 1, 0) == 0) {
        return true;
    }
    return (fd.revents & (POLLHUP | POLLRDHUP | POLLERR | POLLNVAL)) == 0 &&
           PQconsumeInput(connection) && PQstatus(connection) == CONNECTION_OK &&
           !PQisBusy(connection);
}

/* A port for each host, with commas between; one that is empty is the default. */
static bool ports_are_valid(const char *ports)
{
    for (const char *end; *ports != '\0'; ports = *end == ',' ? end + 1 : end) {
        int64_t port;

        end = ports + strcspn(ports, ",");
        if (end > ports && !parse_int(ports, (size_t)(end - ports), 1, 65535, &port)) {
            return false;
        }
    }
    return true;
}

bool pg_url_is_valid(const char *url)
{
    PQconninfoOption *options;
    bool ok;

    if (strncmp(url, "postgres://", 11) != 0 && strncmp(url, "postgresql://", 13) != 0) {
        return false;
    }
    options = PQconninfoParse(url, NULL);
    ok = options != NULL;
    for (const PQconninfoOption *o = options; ok && o->keyword != NULL; o++) {
        if (o->val != NULL && strcmp(o->keyword, "port") == 0) {
            ok = ports_are_valid(o->val);
        } else if (o->val != NULL && strcmp(o->keyword, "host") == 0) {
            ok = strchr(o->val, '@') == NULL;
        }
    }
    PQconninfoFree(options);
    return ok;
}

static bool url_is_valid(const char *url, char ret_why[CONFIG_WHY_SIZE])
{
    ret_why[0] = '\0';
    return pg_url_is_valid(url);
}

const struct config_url_kind pg_url_kind = {
    .expected = "postgres://user:password@host:port/database "
                "(a password's '/', '@' and '%' percent-encoded)",
    .is_valid = url_is_valid,
    .redact = url_redact,
};

struct pg_store *pg_store_create(const struct pg_options *options)
{
    struct pg_store *store;

    if (options->store.url[0] == '\0') {
        return NULL;
    }
    store = fs_calloc(1, sizeof(*store));
    store->url = fs_strdup(options->store.url);
    store->application = options->application;
    store->timeout_ms = options->store.timeout_ms;
    store->pool = pool_create(&(struct pool_options){.store = options->store,
                                                     .ops = {.connect = connection_open,
                                                             .is_alive = connection_is_alive,
                                                             .close = connection_close},
                                                     .context = store});
    return store;
}

void pg_store_destroy(struct pg_store *store)
{
    if (store == NULL) {
        return;
    }
    pool_destroy(store->pool);
    free(store->url);
    free(store);
}

enum breaker_state pg_store_state(struct pg_store *store)
{
    return pool_breaker_state(store->pool);
}
