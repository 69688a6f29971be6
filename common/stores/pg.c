#include "common/stores/pg.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/metrics.h"
#include "common/base/strbuf.h"
#include "common/base/trace.h"
#include "common/stores/pg_hosts.h"
#include "common/stores/pool.h"
#include "common/stores/url.h"

#include <assert.h>
#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define READ_ONLY "25006"           /* read_only_sql_transaction */
#define UNKNOWN_STATEMENT "26000"   /* invalid_sql_statement_name */
#define DUPLICATE_STATEMENT "42P05" /* duplicate_prepared_statement */
#define PREPARED_MAX 32             /* statements that a connection remembers */
#define PREPARED_TRIES 3            /* of a call whose statement the server has lost */
#define PARAMETERS_MAX 80           /* of a connection; libpq 17 knows some 50 */
#define PROBE_MS 900                /* between questions whether the server still takes writes */

static struct metric_family lost_counter = METRIC_COUNTER(
    "faststock_statements_lost_total",
    "Calls repeated because the server had lost the prepared statement, or its plan was stale.",
    "store", "cause");

enum { LOST_STATEMENT, LOST_PLAN, SERIES };

static const struct metric_row rows[SERIES] = {
    [LOST_STATEMENT] = {&lost_counter, {NULL, "statement"}},
    [LOST_PLAN] = {&lost_counter, {NULL, "plan"}},
};

/* Parameters of a connection, as PQconnectStartParams has them. */
struct parameters {
    const char *keywords[PARAMETERS_MAX + 1];
    const char *values[PARAMETERS_MAX + 1];
    size_t count;
};

struct pg_store {
    const char *name;
    bool needs_writes;
    bool needs_primary;
    int64_t timeout_ms;
    int64_t url_timeout_us; /* connect_timeout of the URL; INT64_MAX: none */
    PQconninfoOption *url;
    struct parameters parameters; /* all but the address; borrowed from `url` */
    const char *session_attrs;    /* of the URL; NULL: none */
    struct pg_hosts *hosts;
    struct pool *pool;
    struct metric *series[SERIES];
    bool is_prepared;
    _Atomic unsigned form; /* counts the changes of a result's form; part of a statement's name */
    atomic_bool is_closing;
    _Atomic int64_t probed_us; /* when the server said last that it takes writes */

    pthread_mutex_t lock; /* guards the rest */
    char encoding[64];    /* of the database */
};

/* A pooled connection. */
struct session {
    PGconn *connection;
    struct pg_store *store;
    bool has_stale_plan; /* the last error: a prepared statement's result has another form now */
    unsigned form;       /* of the prepared statements */
    const struct pg_statement *prepared[PREPARED_MAX];
    size_t prepared_count;
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

/* "cached plan must not change result type" has the SQLSTATE of many other errors (0A000), and its
 * text may be translated; the name of the server's function tells it apart. */
static bool is_of_stale_plan(const PGresult *result)
{
    const char *function = PQresultErrorField(result, PG_DIAG_SOURCE_FUNCTION);

    return function != NULL && strcmp(function, "RevalidateCachedQuery") == 0;
}

static enum status judge(struct session *session, const PGresult *result, struct pg_error *error)
{
    ExecStatusType type = PQresultStatus(result);
    const char *sqlstate;

    if (type == PGRES_TUPLES_OK || type == PGRES_COMMAND_OK) {
        return STATUS_OK;
    }
    sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    session->has_stale_plan = is_of_stale_plan(result);
    fill_error(error, sqlstate, PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY));
    if (error->message[0] == '\0') {
        fill_error(error, sqlstate, PQerrorMessage(session->connection));
    }
    return PQstatus(session->connection) != CONNECTION_OK || means_away(sqlstate) ? STATUS_BROKEN
                                                                                  : STATUS_FAILED;
}

/* Waits for the result of what was sent; `is_sent` is libpq's answer to sending it. */
static enum status collect(struct session *session, int is_sent, int64_t deadline_us,
                           PGresult **ret_result, struct pg_error *error)
{
    PGconn *connection = session->connection;
    PGresult *first = NULL;
    PGresult *extra = NULL;
    enum status status;

    if (!is_sent) {
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
        status = judge(session, first, error);
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

/* Runs a statement without preparing it. */
static enum status run_unnamed(struct session *session, const struct pg_statement *statement,
                               const char *const *params, int64_t deadline_us,
                               PGresult **ret_result, struct pg_error *error)
{
    int is_sent = PQsendQueryParams(session->connection, statement->sql, statement->param_count,
                                    NULL, params, NULL, NULL, 0);

    return collect(session, is_sent, deadline_us, ret_result, error);
}

/* --- prepared statements ---------------------------------------------------------------------- */

#define SERVER_NAME_SIZE 64 /* PostgreSQL keeps so much of a name, with its NUL */

/* FNV-1a. Another version of a service may use the same name for other SQL, on one server
 * connection if its PgBouncer does not keep the names of its clients apart. */
static uint32_t hash_of(const char *text)
{
    uint32_t hash = 2166136261U;

    for (; *text != '\0'; text++) {
        hash = (hash ^ (unsigned char)*text) * 16777619U;
    }
    return hash;
}

/* The name of a statement at the server. */
static void name_statement(const struct session *session, const struct pg_statement *statement,
                           char out[SERVER_NAME_SIZE])
{
    assert(strlen(statement->name) <= PG_STATEMENT_NAME_MAX);
    snprintf(out, SERVER_NAME_SIZE, "%s_%08x_%u", statement->name,
             (unsigned)hash_of(statement->sql), session->form);
}

static bool has_prepared(const struct session *session, const struct pg_statement *statement)
{
    for (size_t i = 0; i < session->prepared_count; i++) {
        if (session->prepared[i] == statement) {
            return true;
        }
    }
    return false;
}

/* One that exists already is as good, because its name tells its SQL. PgBouncer knows the
 * statements of all its clients by their text alone, so the text tells the form, too. */
static enum status prepare(struct session *session, const struct pg_statement *statement,
                           const char *name, int64_t deadline_us, struct pg_error *error)
{
    struct strbuf sql = STRBUF_EMPTY;
    PGresult *result = NULL;
    enum status status;

    strbuf_adds(&sql, statement->sql);
    if (session->form > 0) {
        strbuf_addf(&sql, " /* %u */", session->form);
    }
    status = collect(session, PQsendPrepare(session->connection, name, sql.text, 0, NULL),
                     deadline_us, &result, error);
    PQclear(result);
    strbuf_finish(&sql);
    if (status == STATUS_FAILED && strcmp(error->sqlstate, DUPLICATE_STATEMENT) == 0) {
        status = STATUS_OK;
    }
    if (status == STATUS_OK) {
        assert(session->prepared_count < PREPARED_MAX);
        session->prepared[session->prepared_count++] = statement;
    }
    return status;
}

static enum status run_prepared(struct session *session, const struct pg_statement *statement,
                                const char *const *params, int64_t deadline_us,
                                PGresult **ret_result, struct pg_error *error)
{
    unsigned form = atomic_load(&session->store->form);
    char name[SERVER_NAME_SIZE];
    enum status status = STATUS_OK;
    int is_sent;

    if (session->form != form) {
        session->form = form;
        session->prepared_count = 0;
    }
    name_statement(session, statement, name);
    if (!has_prepared(session, statement)) {
        status = prepare(session, statement, name, deadline_us, error);
    }
    if (status != STATUS_OK) {
        return status;
    }
    is_sent = PQsendQueryPrepared(session->connection, name, statement->param_count, params, NULL,
                                  NULL, 0);
    return collect(session, is_sent, deadline_us, ret_result, error);
}

/* Did the call fail only because of its prepared statement? Forgets what the server has lost:
 * DISCARD ALL drops all statements of a session; a stale plan makes all sessions begin anew. */
static bool forget_lost(struct session *session, enum status status, const struct pg_error *error)
{
    unsigned form = session->form;

    if (status != STATUS_FAILED) {
        return false;
    }
    if (session->has_stale_plan) {
        atomic_compare_exchange_strong(&session->store->form, &form, form + 1);
        metric_add(session->store->series[LOST_PLAN], 1);
        return true;
    }
    if (strcmp(error->sqlstate, UNKNOWN_STATEMENT) == 0) {
        session->prepared_count = 0;
        metric_add(session->store->series[LOST_STATEMENT], 1);
        return true;
    }
    return false;
}

/* A statement that the server loses each time (a PgBouncer that does not keep them) is run without
 * being prepared. */
static enum status run_statement(struct session *session, const struct pg_statement *statement,
                                 const char *const *params, int64_t deadline_us,
                                 PGresult **ret_result, struct pg_error *error)
{
    bool may_prepare = session->store->is_prepared && statement->name != NULL;

    for (int tries = 0; may_prepare && tries < PREPARED_TRIES; tries++) {
        enum status status =
            run_prepared(session, statement, params, deadline_us, ret_result, error);

        if (!forget_lost(session, status, error)) {
            return status;
        }
    }
    return run_unnamed(session, statement, params, deadline_us, ret_result, error);
}

/* --- queries ---------------------------------------------------------------------------------- */

static const struct trace_kind call_kind = {
    .name = "postgres", .system = "postgresql", .detail_key = "db.query.summary"};

/* A connection, and time left to use it. */
static enum status acquire(struct pg_store *store, int64_t deadline_us,
                           struct session **ret_session)
{
    int64_t wait_until_us = pool_wait_until_us(deadline_us, store->timeout_ms);
    void *session = NULL;
    enum status status = pool_acquire(store->pool, wait_until_us, &session);

    if (status == STATUS_OK && clock_left_ms(deadline_us) == 0) {
        pool_release(store->pool, session, STATUS_UNAVAILABLE);
        return STATUS_UNAVAILABLE;
    }
    if (status == STATUS_OK) {
        *ret_session = session;
    }
    return status;
}

/* Gives the session back, and returns the status for the caller. A statement that was refused as
 * read-only was not done, and this server is not the one that is wanted. */
static enum status release(struct session *session, enum status status,
                           const struct pg_error *error)
{
    struct pg_store *store = session->store;

    if (status == STATUS_FAILED && store->needs_writes && strcmp(error->sqlstate, READ_ONLY) == 0) {
        pool_trip(store->pool, error->message);
        pool_release(store->pool, session, STATUS_BROKEN);
        return STATUS_UNAVAILABLE;
    }
    pool_release(store->pool, session, status);
    return status;
}

enum status pg_run(struct pg_store *store, const struct pg_statement *statement,
                   const char *const *params, int64_t deadline_us, struct pg_result **ret_result,
                   struct pg_error *ret_error)
{
    int64_t statement_deadline_us;
    struct session *session = NULL;
    PGresult *result = NULL;
    enum status status;
    int span;

    fill_error(ret_error, NULL, "the store is away, or busy");
    status = acquire(store, deadline_us, &session);
    if (status != STATUS_OK) {
        return status;
    }
    statement_deadline_us = clock_after_ms(store->timeout_ms);
    if (deadline_us < statement_deadline_us) {
        statement_deadline_us = deadline_us;
    }
    span = trace_begin(&call_kind, statement->name, store->name);
    status = run_statement(session, statement, params, statement_deadline_us, &result, ret_error);
    trace_end(span, status);
    status = release(session, status, ret_error);
    if (status == STATUS_OK) {
        *ret_result = (struct pg_result *)result;
    }
    return status;
}

enum status pg_query(struct pg_store *store, const char *sql, const char *const *params, int count,
                     int64_t deadline_us, struct pg_result **ret_result, struct pg_error *ret_error)
{
    const struct pg_statement statement = {.sql = sql, .param_count = count};

    return pg_run(store, &statement, params, deadline_us, ret_result, ret_error);
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

/* --- the probe -------------------------------------------------------------------------------- */

/* Asked in a statement, because PgBouncer reports neither of them. */
static const struct pg_statement probe_statement = {
    .sql = "SELECT current_setting('transaction_read_only'), pg_is_in_recovery()"};

/* Is not every server that answers of use? */
static bool is_particular(const struct pg_store *store)
{
    return store->needs_writes || store->needs_primary;
}

/* Does the server answer, and is it of use? STATUS_UNAVAILABLE: it is of none. */
static enum status probe(struct session *session, int64_t deadline_us, struct pg_error *error)
{
    struct pg_store *store = session->store;
    PGresult *result = NULL;
    enum status status = run_unnamed(session, &probe_statement, NULL, deadline_us, &result, error);

    if (status == STATUS_OK && is_particular(store)) {
        bool is_standby = strcmp(PQgetvalue(result, 0, 1), "t") == 0;

        if (store->needs_writes && strcmp(PQgetvalue(result, 0, 0), "on") == 0) {
            fill_error(error, READ_ONLY,
                       is_standby
                           ? "it is a hot standby, which takes no writes"
                           : "its transactions are read-only (default_transaction_read_only)");
            status = STATUS_UNAVAILABLE;
        } else if (store->needs_primary && is_standby) {
            fill_error(error, READ_ONLY, "it is a hot standby, which may lack the last commits");
            status = STATUS_UNAVAILABLE;
        } else {
            atomic_store(&store->probed_us, clock_mono_us());
        }
    }
    PQclear(result);
    return status;
}

/* Behind PgBouncer the server may become another one while the connection stays. One question a
 * second is enough for a whole store. */
static enum status session_refresh(void *arg, int64_t deadline_us, char error[POOL_ERROR_SIZE])
{
    struct session *session = arg;
    int64_t probed_us = atomic_load(&session->store->probed_us);
    struct pg_error why = {.sqlstate = ""};
    enum status status;

    if (!is_particular(session->store) ||
        clock_mono_us() - probed_us < PROBE_MS * CLOCK_US_PER_MS) {
        return STATUS_OK;
    }
    status = probe(session, deadline_us, &why);
    snprintf(error, POOL_ERROR_SIZE, "%s", why.message);
    return status;
}

/* Between statements a server says at most a notice or a changed parameter; a hang-up shows as end
 * of input. */
static bool session_is_alive(void *arg)
{
    const struct session *session = arg;
    PGconn *connection = session->connection;
    struct pollfd fd = {.fd = PQsocket(connection), .events = POLLIN | POLLRDHUP};

    if (poll(&fd, 1, 0) == 0) {
        return true;
    }
    return (fd.revents & (POLLHUP | POLLRDHUP | POLLERR | POLLNVAL)) == 0 &&
           PQconsumeInput(connection) && PQstatus(connection) == CONNECTION_OK &&
           !PQisBusy(connection);
}

/* --- connecting ------------------------------------------------------------------------------- */

static void session_close(void *arg)
{
    struct session *session = arg;

    PQfinish(session->connection);
    free(session);
}

static void ignore_notice(void *arg, const char *message)
{
    (void)arg;
    (void)message;
}

static void add_parameter(struct parameters *parameters, const char *keyword, const char *value)
{
    assert(parameters->count < PARAMETERS_MAX);
    parameters->keywords[parameters->count] = keyword;
    parameters->values[parameters->count] = value;
    parameters->count++;
}

/* Begins to connect to one address; libpq takes NULL for what is not given, and the last value of a
 * keyword that stands there twice. */
static PGconn *start(const struct pg_store *store, const struct pg_address *one, const char *attrs)
{
    struct parameters parameters = store->parameters;

    add_parameter(&parameters, "host", one->host);
    add_parameter(&parameters, "hostaddr", one->hostaddr);
    add_parameter(&parameters, "port", one->port);
    add_parameter(&parameters, "target_session_attrs", attrs);
    return PQconnectStartParams(parameters.keywords, parameters.values, 0);
}

static enum status finish_connecting(PGconn *connection, int64_t deadline_us)
{
    PostgresPollingStatusType step = PGRES_POLLING_WRITING;

    if (PQstatus(connection) == CONNECTION_BAD) {
        return STATUS_BROKEN;
    }
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
    return PQsetnonblocking(connection, 1) == 0 ? STATUS_OK : STATUS_BROKEN;
}

/* Notes the database's encoding, and logs one that is not UTF8, once. */
static void note_encoding(struct pg_store *store, const PGconn *connection)
{
    const char *encoding = PQparameterStatus(connection, "server_encoding");
    bool is_news;

    encoding = encoding == NULL ? "UTF8" : encoding;
    pthread_mutex_lock(&store->lock);
    is_news = strcmp(store->encoding, encoding) != 0;
    snprintf(store->encoding, sizeof(store->encoding), "%s", encoding);
    pthread_mutex_unlock(&store->lock);
    if (is_news && strcmp(encoding, "UTF8") != 0) {
        log_warn(log_msg("the database's encoding is not UTF8: text that it cannot hold is "
                         "refused"),
                 log_str("store", store->name), log_str("encoding", encoding));
    }
}

/* One round over the addresses, by the pool's maintainer. */
struct connecting {
    struct pg_store *store;
    int64_t timeout_us; /* for each address */
    const char *attrs;
    struct session *session; /* NULL: none yet */
    struct strbuf errors;
};

static void add_error(struct connecting *connecting, const char *host, const char *error)
{
    strbuf_addf(&connecting->errors, "%s%s: %s", connecting->errors.len > 0 ? "; " : "", host,
                error);
}

static void tell_unresolved(void *arg, const char *host, const char *error)
{
    add_error(arg, host, error);
}

/* "db1 (10.0.0.1), port 5432" */
static void describe_address(const struct pg_address *one, char *out, size_t out_size)
{
    const char *host = one->host == NULL ? one->hostaddr : one->host;
    bool has_both = one->hostaddr != NULL && strcmp(host, one->hostaddr) != 0;

    snprintf(out, out_size, "%s%s%s%s%s%s", host == NULL ? "the local socket" : host,
             has_both ? " (" : "", has_both ? one->hostaddr : "", has_both ? ")" : "",
             one->port == NULL ? "" : ", port ", one->port == NULL ? "" : one->port);
}

static void tell_failed(struct connecting *connecting, const struct pg_address *one,
                        const char *message)
{
    static const char libpq_says[] = "connection to server "; /* at "host", port 5432 failed: ... */
    const char *failed = strstr(message, " failed: ");
    char where[384];

    if (strncmp(message, libpq_says, strlen(libpq_says)) == 0 && failed != NULL) {
        message = failed + strlen(" failed: ");
    }
    describe_address(one, where, sizeof(where));
    add_error(connecting, where, message);
}

static bool connect_to(void *arg, const struct pg_address *one)
{
    struct connecting *connecting = arg;
    int64_t deadline_us = clock_mono_us() + connecting->timeout_us;
    struct session *session;
    struct pg_error why = {.sqlstate = ""};
    enum status status;

    if (atomic_load(&connecting->store->is_closing)) {
        return false;
    }
    session = fs_calloc(1, sizeof(*session));
    session->store = connecting->store;
    session->connection = start(connecting->store, one, connecting->attrs);
    PQsetNoticeProcessor(session->connection, ignore_notice, NULL);
    status = finish_connecting(session->connection, deadline_us);
    fill_error(&why, NULL,
               status == STATUS_TIMEOUT ? "no answer in time"
                                        : PQerrorMessage(session->connection));
    if (status == STATUS_OK) {
        status = probe(session, deadline_us, &why);
    }
    if (status != STATUS_OK) {
        tell_failed(connecting, one, why.message);
        session_close(session);
        return false;
    }
    connecting->session = session;
    return true;
}

/* "prefer-standby" is a round for a standby, and then one for any server; libpq makes both of them
 * over the hosts that it was given, which is one. */
static void *session_connect(void *arg, int64_t deadline_us, char error[POOL_ERROR_SIZE])
{
    struct pg_store *store = arg;
    bool prefers_standby =
        store->session_attrs != NULL && strcmp(store->session_attrs, "prefer-standby") == 0;
    struct connecting connecting = {.store = store,
                                    .timeout_us = deadline_us - clock_mono_us(),
                                    .attrs = prefers_standby ? "standby" : store->session_attrs};

    if (store->url_timeout_us < connecting.timeout_us) {
        connecting.timeout_us = store->url_timeout_us;
    }
    if (!pg_hosts_try(store->hosts, connect_to, tell_unresolved, &connecting) && prefers_standby) {
        strbuf_clear(&connecting.errors);
        connecting.attrs = "any";
        pg_hosts_try(store->hosts, connect_to, tell_unresolved, &connecting);
    }
    snprintf(error, POOL_ERROR_SIZE, "%s", strbuf_text(&connecting.errors));
    strbuf_finish(&connecting.errors);
    if (connecting.session != NULL) {
        note_encoding(store, connecting.session->connection);
    }
    return connecting.session;
}

/* --- URLs ------------------------------------------------------------------------------------- */

/* A parameter of the URL, or else of libpq's environment; NULL when there is none. A service file
 * (service=...) may name the hosts too: then they are left to libpq. */
static const char *url_value(const PQconninfoOption *options, const char *keyword)
{
    bool has_service = false;
    const PQconninfoOption *found = NULL;

    for (const PQconninfoOption *o = options; o->keyword != NULL; o++) {
        has_service = has_service || (o->val != NULL && strcmp(o->keyword, "service") == 0);
        found = strcmp(o->keyword, keyword) == 0 ? o : found;
    }
    if (found == NULL || found->val != NULL || has_service || found->envvar == NULL) {
        return found == NULL ? NULL : found->val;
    }
    return getenv(found->envvar);
}

static bool is_address(const char *keyword)
{
    return strcmp(keyword, "host") == 0 || strcmp(keyword, "hostaddr") == 0 ||
           strcmp(keyword, "port") == 0;
}

/* The parameters of a URL but for the address. */
static void take_parameters(const PQconninfoOption *options, struct parameters *ret_parameters)
{
    struct parameters parameters = {.count = 0};

    for (const PQconninfoOption *o = options; o->keyword != NULL; o++) {
        if (o->val != NULL && !is_address(o->keyword)) {
            add_parameter(&parameters, o->keyword, o->val);
        }
    }
    *ret_parameters = parameters;
}

/* libpq quotes pieces of a URL that it cannot read, and such a piece may be one of the password,
 * unless the '@' behind the password stands before the first '?'. */
static void explain_unreadable(const char *url, const char *message, char ret_why[CONFIG_WHY_SIZE])
{
    const char *query = strchr(url, '?');
    bool is_safe =
        query != NULL && strchr(query, '@') == NULL && strstr(message, "query parameter") != NULL;

    snprintf(ret_why, CONFIG_WHY_SIZE, "%.*s", (int)strcspn(message, is_safe ? "\n" : "\":\n"),
             message);
}

/* Would libpq refuse these parameters before it asks a server? It tells in no other way than by
 * connecting. So these and none at all are tried with a socket that cannot be there, and libpq must
 * say the same of both in its first line. */
static bool parameters_are_valid(const PQconninfoOption *options, char ret_why[CONFIG_WHY_SIZE])
{
    const char *const keywords[] = {"host", "port", "user", NULL};
    const char *const values[] = {"/dev/null", "1", "nobody", NULL};
    PGconn *plain = PQconnectStartParams(keywords, values, 0);
    struct parameters parameters;
    char expected[CONFIG_WHY_SIZE];
    PGconn *tried;
    bool is_same;

    take_parameters(options, &parameters);
    add_parameter(&parameters, "host", "/dev/null");
    add_parameter(&parameters, "port", "1");
    tried = PQconnectStartParams(parameters.keywords, parameters.values, 0);
    snprintf(expected, sizeof(expected), "%.*s", (int)strcspn(PQerrorMessage(plain), "\n"),
             PQerrorMessage(plain));
    snprintf(ret_why, CONFIG_WHY_SIZE, "%.*s", (int)strcspn(PQerrorMessage(tried), "\n"),
             PQerrorMessage(tried));
    is_same = strcmp(ret_why, expected) == 0;
    PQfinish(tried);
    PQfinish(plain);
    return is_same;
}

static bool options_are_valid(const PQconninfoOption *options, char ret_why[CONFIG_WHY_SIZE])
{
    return pg_hosts_check(url_value(options, "host"), url_value(options, "hostaddr"),
                          url_value(options, "port"), ret_why, CONFIG_WHY_SIZE) &&
           parameters_are_valid(options, ret_why);
}

static bool url_is_valid(const char *url, char ret_why[CONFIG_WHY_SIZE])
{
    PQconninfoOption *options;
    char *message = NULL;
    bool is_valid;

    ret_why[0] = '\0';
    if (strncmp(url, "postgres://", 11) != 0 && strncmp(url, "postgresql://", 13) != 0) {
        return false;
    }
    if (url_has_blank(url) || url_has_stray_at(url)) {
        snprintf(ret_why, CONFIG_WHY_SIZE, "%s",
                 url_has_blank(url) ? URL_BLANK_COMPLAINT
                                    : "it has an '@' beside the one before the host (others are "
                                      "%40, a '/' before it %2F)");
        return false;
    }
    options = PQconninfoParse(url, &message);
    if (options == NULL && message != NULL) {
        explain_unreadable(url, message, ret_why);
    }
    is_valid = options != NULL && options_are_valid(options, ret_why);
    PQconninfoFree(options);
    PQfreemem(message);
    return is_valid;
}

const struct config_url_kind pg_url_kind = {
    .expected = "postgres://user:password@host:port/database "
                "(a password's '/', '@' and '%' percent-encoded)",
    .is_valid = url_is_valid,
    .redact = url_redact,
};

/* --- stores ----------------------------------------------------------------------------------- */

static bool names_several(const char *hosts)
{
    return hosts != NULL && strchr(hosts, ',') != NULL;
}

/* What the URL says, in the store. */
static void take_url(struct pg_store *store, const struct pg_options *options)
{
    const char *timeout;
    const char *balance;

    store->url = PQconninfoParse(options->store.url, NULL);
    assert(store->url != NULL); /* the settings are checked when they are read */
    take_parameters(store->url, &store->parameters);
    add_parameter(&store->parameters, "fallback_application_name", options->application);
    add_parameter(&store->parameters, "client_encoding", "UTF8");
    store->session_attrs = url_value(store->url, "target_session_attrs");
    store->needs_primary = options->needs_primary && store->session_attrs == NULL &&
                           names_several(url_value(store->url, "host"));
    balance = url_value(store->url, "load_balance_hosts"); /* since libpq 16 */
    store->hosts = pg_hosts_create(url_value(store->url, "host"), url_value(store->url, "hostaddr"),
                                   url_value(store->url, "port"),
                                   balance != NULL && strcmp(balance, "random") == 0);
    timeout = url_value(store->url, "connect_timeout");
    store->url_timeout_us = timeout == NULL ? 0 : strtoll(timeout, NULL, 10) * CLOCK_US_PER_S;
    if (store->url_timeout_us <= 0) {
        store->url_timeout_us = INT64_MAX;
    }
}

struct pg_store *pg_store_create(const struct pg_options *options)
{
    struct pg_store *store;

    if (options->store.url[0] == '\0') {
        return NULL;
    }
    store = fs_calloc(1, sizeof(*store));
    store->name = options->store.name;
    store->needs_writes = options->needs_writes;
    store->is_prepared = options->is_prepared;
    store->timeout_ms = options->store.timeout_ms;
    snprintf(store->encoding, sizeof(store->encoding), "UTF8");
    pthread_mutex_init(&store->lock, NULL);
    metric_get_rows(rows, SERIES, options->store.name, store->series);
    take_url(store, options);
    store->pool = pool_create(&(struct pool_options){.store = options->store,
                                                     .ops = {.connect = session_connect,
                                                             .is_alive = session_is_alive,
                                                             .refresh = session_refresh,
                                                             .close = session_close},
                                                     .context = store});
    return store;
}

void pg_store_destroy(struct pg_store *store)
{
    if (store == NULL) {
        return;
    }
    atomic_store(&store->is_closing, true);
    pool_destroy(store->pool);
    pg_hosts_destroy(store->hosts);
    PQconninfoFree(store->url);
    pthread_mutex_destroy(&store->lock);
    free(store);
}

_Static_assert(PG_NOTE_SIZE == POOL_ERROR_SIZE, "a note may be the pool's reason");

enum breaker_state pg_store_state(struct pg_store *store)
{
    return pool_breaker_state(store->pool);
}

void pg_store_note(struct pg_store *store, char ret_note[PG_NOTE_SIZE])
{
    pool_away_reason(store->pool, ret_note);
    if (ret_note[0] != '\0') {
        return;
    }
    pthread_mutex_lock(&store->lock);
    if (strcmp(store->encoding, "UTF8") != 0) {
        snprintf(ret_note, PG_NOTE_SIZE, "the database's encoding is %s, not UTF8",
                 store->encoding);
    }
    pthread_mutex_unlock(&store->lock);
}
