#include "common/stores/redis.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/parse.h"
#include "common/base/strbuf.h"
#include "common/base/trace.h"
#include "common/stores/pool.h"
#include "common/stores/url.h"

#include <assert.h>
#include <errno.h>
#include <hiredis/hiredis.h>
#ifdef FASTSTOCK_REDIS_TLS
#include <hiredis/hiredis_ssl.h>
#endif
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#define SHA1_HEX_LEN 40

#define REFUSAL_LOG_EVERY_S 10
#define SENTINEL_ASK_EVERY_MS 1000
/* A primary with nothing to say pings each 10 s (repl-ping-replica-period). */
#define REPLICA_SILENCE_S_MAX 15

struct redis_store {
    const char *name;
    struct redis_url url;
    struct redis_tls_options tls;
    struct redis_sentinel_login sentinel;
    int64_t timeout_ms;
    int64_t connect_timeout_ms;
    bool is_replica;
    const struct redis_trial *trials;
    struct pool *pool;
    int64_t probation_us;
    _Atomic int64_t refusal_logged_us;
    _Atomic int64_t trusted_from_us; /* not used before: the Redis is a new one */
    _Atomic uint64_t lacks;          /* a bit for each trial that was refused and told */

    _Atomic size_t sentinel_next; /* the one to ask first */
    int64_t sentinel_asked_us;    /* by the maintainer */

    pthread_mutex_t lock;         /* guards the rest */
    char epoch[REDIS_EPOCH_SIZE]; /* the last that a session heard of */
    struct redis_host master;     /* the last that a Sentinel named */
};

struct redis_session {
    redisContext *context;
    struct redis_store *store;
    struct redis_host host;
    bool is_sentinel;
    const char *user; /* to log in as, borrowed; "": the default user */
    const char *password;
    const struct redis_trial *trials;
    int64_t timeout_ms_max; /* of one call */
    int64_t timeout_ms;     /* what the socket's timeout is set to */
    int64_t epoch_asked_us;
    bool stands_still; /* a replica that hears nothing of its primary */
    char epoch[REDIS_EPOCH_SIZE];
    char why_useless[POOL_ERROR_SIZE]; /* why this Redis counts as away; "" while it does not */

    /* the command that is being written, as Redis' protocol has it */
    struct strbuf command;
    const char *command_name;
    size_t words_missing;
    size_t script_words_at; /* where in `command` the words behind a script's name begin */
    size_t script_words;    /* how many they are */
};

static void *session_connect(void *arg, int64_t deadline_us, char error[POOL_ERROR_SIZE]);
static bool session_is_alive(void *connection);
static enum status session_refresh(void *connection, int64_t deadline_us,
                                   char error[POOL_ERROR_SIZE]);
static void session_close(void *connection);

struct redis_store *redis_store_create(const struct redis_options *options)
{
    struct redis_store *store = fs_calloc(1, sizeof(*store));
    char error[CONFIG_WHY_SIZE];
    bool parsed = url_parse_redis(options->store.url, &store->url, error, sizeof(error));

    assert(parsed); /* the settings are checked when they are read */
    (void)parsed;
    assert(options->trials != NULL);
    store->name = options->store.name;
    store->timeout_ms = options->store.timeout_ms;
    store->connect_timeout_ms = options->store.connect_timeout_ms;
    store->tls = options->tls;
    store->sentinel = options->sentinel;
    store->is_replica = options->is_replica;
    store->trials = options->trials;
    store->probation_us = options->store.probation_ms * CLOCK_US_PER_MS;
    pthread_mutex_init(&store->lock, NULL);
    store->pool = pool_create(&(struct pool_options){.store = options->store,
                                                     .ops = {.connect = session_connect,
                                                             .is_alive = session_is_alive,
                                                             .refresh = session_refresh,
                                                             .close = session_close},
                                                     .context = store});
    return store;
}

void redis_store_destroy(struct redis_store *store)
{
    if (store == NULL) {
        return;
    }
    pool_destroy(store->pool);
    pthread_mutex_destroy(&store->lock);
    free(store);
}

/* --- writing a command ------------------------------------------------------------------------ */

static void add_number(struct strbuf *command, char kind, size_t number)
{
    strbuf_addc(command, kind);
    strbuf_add_int(command, (int64_t)number);
    strbuf_add(command, "\r\n", 2);
}

static void add_word(struct strbuf *command, const char *bytes, size_t len)
{
    add_number(command, '$', len);
    strbuf_add(command, bytes, len);
    strbuf_add(command, "\r\n", 2);
}

void redis_begin(struct redis_session *session, const char *name, size_t words)
{
    strbuf_clear(&session->command);
    add_number(&session->command, '*', words + 1);
    add_word(&session->command, name, strlen(name));
    session->command_name = name;
    session->words_missing = words;
}

void redis_add(struct redis_session *session, const char *bytes, size_t len)
{
    assert(session->words_missing > 0);
    add_word(&session->command, bytes, len);
    session->words_missing--;
}

static void add_text(struct redis_session *session, const char *text)
{
    redis_add(session, text, strlen(text));
}

void redis_add_int(struct redis_session *session, int64_t value)
{
    char text[24];

    redis_add(session, text, (size_t)snprintf(text, sizeof(text), "%" PRId64, value));
}

void redis_begin_script(struct redis_session *session, const struct redis_script *script,
                        size_t keys, size_t words)
{
    assert(strlen(script->sha) == SHA1_HEX_LEN && keys <= words);
    redis_begin(session, "EVALSHA", words + 2);
    redis_add(session, script->sha, SHA1_HEX_LEN);
    session->script_words_at = session->command.len;
    session->script_words = words + 1;
    redis_add_int(session, (int64_t)keys);
}

/* Makes the EVALSHA that was sent an EVAL, which tells Redis the script, too. */
static void turn_into_eval(struct redis_session *session, const struct redis_script *script)
{
    struct strbuf sent = session->command;

    session->command = STRBUF_EMPTY;
    redis_begin(session, "EVAL", session->script_words + 1);
    redis_add(session, script->text, script->text_len);
    strbuf_add(&session->command, sent.text + session->script_words_at,
               sent.len - session->script_words_at);
    session->words_missing = 0;
    strbuf_finish(&sent);
}

/* --- what a reply says ------------------------------------------------------------------------ */

/* Errors of a Redis that is of no use: it cannot be kept right, or not be read. */
static const struct {
    const char *code; /* how the error begins */
    const char *advice;
    const char *sentinel_advice; /* when a Sentinel says it; NULL: the same */
} useless_codes[] = {
    {"READONLY ", "it is a replica, which takes no writes", NULL},
    {"LOADING ", "it loads its data", NULL},
    {"MASTERDOWN ", "it is a replica that has lost its primary", NULL},
    {"MISCONF ", "it cannot save its data: is its disk full?", NULL},
    {"NOREPLICAS ", "it has fewer replicas than min-replicas-to-write asks for", NULL},
    {"BUSY ", "a script runs for too long", NULL},
    {"NOPERM ", "docs/operations.md, \"Redis\", lists the commands and keys that a user needs",
     "its user needs +sentinel|get-master-addr-by-name"},
    {"NOAUTH ", "the URL has no password", "redis.sentinel_password is empty"},
    {"WRONGPASS ", "the URL has another user or password",
     "redis.sentinel_user or redis.sentinel_password is another"},
    {"ERR unknown command", "was it renamed, or is this no Redis?", NULL},
    {"MOVED ", "it runs in cluster mode: give a Redis with cluster-enabled no", NULL},
    {"CLUSTERDOWN ", "it runs in cluster mode: give a Redis with cluster-enabled no", NULL},
    {"CROSSSLOT ", "it runs in cluster mode: give a Redis with cluster-enabled no", NULL},
};

static const char *find_advice(const char *error, bool is_sentinel)
{
    for (size_t i = 0; i < FS_ARRAY_LEN(useless_codes); i++) {
        if (strncmp(error, useless_codes[i].code, strlen(useless_codes[i].code)) == 0) {
            return is_sentinel && useless_codes[i].sentinel_advice != NULL
                       ? useless_codes[i].sentinel_advice
                       : useless_codes[i].advice;
        }
    }
    return NULL;
}

static enum status context_status(const redisContext *context)
{
    return context->err == REDIS_ERR_IO &&
                   (errno == EAGAIN || errno == EWOULDBLOCK || errno == ETIMEDOUT)
               ? STATUS_TIMEOUT
               : STATUS_BROKEN;
}

static enum status reply_status(struct redis_session *session, const redisReply *reply)
{
    const char *user = session->user;
    const char *advice;

    if (reply == NULL) {
        return context_status(session->context);
    }
    if (reply->type != REDIS_REPLY_ERROR) {
        return STATUS_OK;
    }
    advice = find_advice(reply->str, session->is_sentinel);
    if (advice == NULL) {
        return STATUS_FAILED;
    }
    snprintf(session->why_useless, sizeof(session->why_useless),
             "user '%.64s' was refused %s: %.256s (%s)", *user == '\0' ? "default" : user,
             session->command_name, reply->str, advice);
    return STATUS_BROKEN;
}

/* What a server may have wanted that ended a new connection without a word. */
static const char *guess_missing(const struct redis_store *store)
{
    if (!store->url.is_tls) {
        return "; does it want TLS (rediss://)?";
    }
    return store->tls.cert_file == NULL || store->tls.cert_file[0] == '\0'
               ? "; does it want a certificate of the client (redis.tls_cert_file)?"
               : "; does it trust the client's certificate (redis.tls_cert_file)?";
}

/* For logs: what went wrong in the last call. */
static void describe(const struct redis_session *session, enum status status,
                     const redisReply *reply, char out[POOL_ERROR_SIZE])
{
    if (session->why_useless[0] != '\0') {
        snprintf(out, POOL_ERROR_SIZE, "%s", session->why_useless);
    } else if (reply != NULL) {
        snprintf(out, POOL_ERROR_SIZE, "%s: %s", session->command_name,
                 reply->type == REDIS_REPLY_ERROR ? reply->str : "an answer of another type");
    } else if (status == STATUS_TIMEOUT || status == STATUS_UNAVAILABLE) {
        snprintf(out, POOL_ERROR_SIZE, "%s: no answer in time", session->command_name);
    } else if (!session->store->url.is_tls ||
               !redis_tls_explain(NULL, session->host.name, out, POOL_ERROR_SIZE)) {
        snprintf(out, POOL_ERROR_SIZE, "%s: %s%s", session->command_name, session->context->errstr,
                 session->epoch[0] == '\0' ? guess_missing(session->store) : "");
    }
}

/* Now and then, because a Redis that refuses one command mostly refuses all that are like it. */
static void log_refusal(const struct redis_session *session, const redisReply *reply)
{
    int64_t logged_us = atomic_load(&session->store->refusal_logged_us);
    int64_t now_us = clock_mono_us();

    if ((logged_us != 0 && now_us - logged_us < REFUSAL_LOG_EVERY_S * CLOCK_US_PER_S) ||
        !atomic_compare_exchange_strong(&session->store->refusal_logged_us, &logged_us, now_us)) {
        return;
    }
    log_warn(log_msg("redis refused a command"), log_str("command", session->command_name),
             log_str("error", reply->str), log_str("host", session->host.name));
}

/* --- calls ------------------------------------------------------------------------------------ */

static bool set_timeout(struct redis_session *session, int64_t deadline_us)
{
    int64_t left_ms = clock_left_ms(deadline_us);
    int64_t want_ms = left_ms < session->timeout_ms_max ? left_ms : session->timeout_ms_max;
    struct timeval timeout = {.tv_sec = (time_t)(want_ms / 1000),
                              .tv_usec = (suseconds_t)(want_ms % 1000) * 1000};

    if (want_ms <= 0) {
        return false;
    }
    if (want_ms != session->timeout_ms) {
        redisSetTimeout(session->context, timeout);
        session->timeout_ms = want_ms;
    }
    return true;
}

static const struct trace_kind call_kind = {
    .name = "redis", .system = "redis", .detail_key = "db.operation.name"};

/* Sends the command and waits for its reply, which the caller frees. With STATUS_FAILED *ret_reply
 * is an error. */
static enum status exchange(struct redis_session *session, int64_t deadline_us,
                            redisReply **ret_reply)
{
    const struct strbuf *command = &session->command;
    void *reply = NULL;
    enum status status;
    int span;

    assert(session->words_missing == 0);
    if (!set_timeout(session, deadline_us)) {
        return STATUS_UNAVAILABLE;
    }
    span = trace_begin(&call_kind, session->command_name, session->store->name);
    if (redisAppendFormattedCommand(session->context, command->text, command->len) == REDIS_OK) {
        redisGetReply(session->context, &reply);
    }
    *ret_reply = reply;
    status = reply_status(session, reply);
    trace_end(span, status);
    assert(reply != NULL || (status != STATUS_OK && status != STATUS_FAILED));
    return status;
}

/* As exchange, for a request: a refusal is logged. */
static enum status ask(struct redis_session *session, int64_t deadline_us, redisReply **ret_reply)
{
    enum status status = exchange(session, deadline_us, ret_reply);

    if (status == STATUS_FAILED) {
        log_refusal(session, *ret_reply);
    }
    return status;
}

enum status redis_mget(struct redis_session *session, size_t count, int64_t deadline_us,
                       void (*each)(void *arg, size_t i, struct redis_bytes value), void *arg)
{
    redisReply *reply = NULL;
    enum status status = ask(session, deadline_us, &reply);

    if (status == STATUS_OK && (reply->type != REDIS_REPLY_ARRAY || reply->elements != count)) {
        status = STATUS_FAILED;
    }
    for (size_t i = 0; status == STATUS_OK && i < count; i++) {
        const redisReply *value = reply->element[i];
        bool there = value->type == REDIS_REPLY_STRING;

        each(arg, i,
             (struct redis_bytes){there ? value->str : NULL, there ? (size_t)value->len : 0});
    }
    freeReplyObject(reply);
    return status;
}

enum status redis_run_script(struct redis_session *session, const struct redis_script *script,
                             int64_t deadline_us, int64_t *ret_answer)
{
    redisReply *reply = NULL;
    enum status status = exchange(session, deadline_us, &reply);

    if (status == STATUS_FAILED && strncmp(reply->str, "NOSCRIPT", 8) == 0) {
        freeReplyObject(reply);
        reply = NULL;
        turn_into_eval(session, script);
        status = exchange(session, deadline_us, &reply);
    }
    if (status == STATUS_FAILED) {
        log_refusal(session, reply);
    } else if (status == STATUS_OK && reply->type != REDIS_REPLY_INTEGER) {
        status = STATUS_FAILED;
    } else if (status == STATUS_OK) {
        *ret_answer = reply->integer;
    }
    freeReplyObject(reply);
    return status;
}

enum status redis_set_absent(struct redis_session *session, struct redis_bytes key,
                             struct redis_bytes value, int64_t ttl_ms, int64_t deadline_us)
{
    redisReply *reply = NULL;
    enum status status;

    redis_begin(session, "SET", 5);
    redis_add(session, key.data, key.len);
    redis_add(session, value.data, value.len);
    add_text(session, "NX");
    add_text(session, "PX");
    redis_add_int(session, ttl_ms);
    status = ask(session, deadline_us, &reply);
    freeReplyObject(reply);
    return status;
}

/* --- what kind of Redis it is ----------------------------------------------------------------- */

/* What follows `key` in INFO's text of "key:value\r\n", or NULL. */
static const char *info_value(const char *info, const char *key)
{
    const char *at = strstr(info, key);

    return at == NULL ? NULL : at + strlen(key);
}

/* A changed epoch means a restarted or promoted Redis. It is treated like one that is back from an
 * outage: the writers use it first (breaker.h). */
static void tell_epoch(struct redis_store *store, const char *epoch)
{
    pthread_mutex_lock(&store->lock);
    if (store->epoch[0] != '\0' && strcmp(store->epoch, epoch) != 0) {
        atomic_store(&store->trusted_from_us, clock_mono_us() + store->probation_us);
    }
    memcpy(store->epoch, epoch, REDIS_EPOCH_SIZE);
    pthread_mutex_unlock(&store->lock);
}

static bool epoch_is_old(struct redis_session *session, int64_t age_ms_max)
{
    bool differs;

    pthread_mutex_lock(&session->store->lock);
    differs = strcmp(session->store->epoch, session->epoch) != 0;
    pthread_mutex_unlock(&session->store->lock);
    return differs || clock_mono_us() - session->epoch_asked_us >= age_ms_max * CLOCK_US_PER_MS;
}

static enum status say_useless(struct redis_session *session, const char *why)
{
    snprintf(session->why_useless, sizeof(session->why_useless), "%s", why);
    return STATUS_BROKEN;
}

static enum status judge_mode(struct redis_session *session, const char *info)
{
    const char *mode = info_value(info, "\nredis_mode:");
    const char *cluster = info_value(info, "\ncluster_enabled:");

    if (mode == NULL) {
        mode = info_value(info, "\nserver_mode:"); /* Valkey's word */
    }
    if (mode != NULL && strncmp(mode, "sentinel", 8) == 0) {
        return say_useless(session, "it is a Sentinel, which holds no data: the URL of one begins "
                                    "with redis+sentinel://");
    }
    if ((mode != NULL && strncmp(mode, "cluster", 7) == 0) ||
        (cluster != NULL && *cluster == '1')) {
        return say_useless(session, "it runs in cluster mode, which FastStock does not use: give a "
                                    "Redis with cluster-enabled no");
    }
    return STATUS_OK;
}

static enum status take_replication(struct redis_session *session, const char *info)
{
    const char *id = info_value(info, "\nmaster_replid:");
    const char *role = info_value(info, "\nrole:");
    const char *link = info_value(info, "\nmaster_link_status:");
    const char *last_io = info_value(info, "\nmaster_last_io_seconds_ago:");

    if (id == NULL || role == NULL) {
        return say_useless(session, "INFO tells no master_replid: is this a Redis?");
    }
    if (!session->store->is_replica && strncmp(role, "master", 6) != 0) {
        return say_useless(session, "it is a replica, which takes no writes");
    }
    session->stands_still = (link != NULL && strncmp(link, "up", 2) != 0) ||
                            (last_io != NULL && strtol(last_io, NULL, 10) >= REPLICA_SILENCE_S_MAX);
    snprintf(session->epoch, sizeof(session->epoch), "%.*s", REDIS_EPOCH_SIZE - 1, id);
    tell_epoch(session->store, session->epoch);
    return STATUS_OK;
}

/* INFO, of all sections when the connection is new, because only then the mode is of interest. */
static enum status ask_info(struct redis_session *session, bool is_new, int64_t deadline_us,
                            char error[POOL_ERROR_SIZE])
{
    int64_t asked_us = clock_mono_us();
    redisReply *reply = NULL;
    enum status status;

    redis_begin(session, "INFO", is_new ? 0 : 1);
    if (!is_new) {
        add_text(session, "replication");
    }
    status = exchange(session, deadline_us, &reply);
    if (status == STATUS_OK) {
        const char *info = reply->type == REDIS_REPLY_STRING ? reply->str : "";

        status = is_new ? judge_mode(session, info) : STATUS_OK;
        status = status == STATUS_OK ? take_replication(session, info) : status;
        session->epoch_asked_us = asked_us;
    }
    if (status != STATUS_OK) {
        describe(session, status, reply, error);
    }
    freeReplyObject(reply);
    return status;
}

static bool is_lacking(const redisReply *reply)
{
    return reply != NULL && reply->type == REDIS_REPLY_ERROR &&
           (strncmp(reply->str, "NOPERM ", 7) == 0 ||
            strncmp(reply->str, "ERR unknown command", 19) == 0);
}

/* Whether the store can do without the command, in the light of its trial. Told once, until the
 * command may be used again. */
static bool do_without(struct redis_session *session, const struct redis_trial *trial,
                       const redisReply *reply)
{
    struct redis_store *store = session->store;
    uint64_t bit = UINT64_C(1) << (trial - store->trials);

    if (trial->lack == NULL) {
        return false;
    }
    if (!is_lacking(reply)) {
        atomic_fetch_and(&store->lacks, ~bit);
        return false;
    }
    if ((atomic_fetch_or(&store->lacks, bit) & bit) == 0) {
        log_warn(log_msg("redis refuses a command that can be done without"),
                 log_str("error", session->why_useless), log_str("effect", trial->lack));
    }
    session->why_useless[0] = '\0';
    return true;
}

/* If Redis takes no writes, its entries cannot be corrected, so they must not be read. An error
 * that has a reason of its own, like no room for more, says that the command may be used. */
static enum status try_command(struct redis_session *session, const struct redis_trial *trial,
                               int64_t deadline_us, char error[POOL_ERROR_SIZE])
{
    redisReply *reply = NULL;
    size_t count = 0;
    enum status status;

    while (count < FS_ARRAY_LEN(trial->words) && trial->words[count] != NULL) {
        count++;
    }
    assert(count > 0);
    redis_begin(session, trial->words[0], count - 1);
    for (size_t i = 1; i < count; i++) {
        add_text(session, trial->words[i]);
    }
    status = exchange(session, deadline_us, &reply);
    if (do_without(session, trial, reply) || status == STATUS_FAILED) {
        status = STATUS_OK;
    }
    if (status != STATUS_OK) {
        describe(session, status, reply, error);
    }
    freeReplyObject(reply);
    return status;
}

static bool is_tried(const struct redis_session *session, const struct redis_trial *trial,
                     bool is_new)
{
    switch (trial->when) {
    case REDIS_TRIAL_READ:
        return is_new;
    case REDIS_TRIAL_WRITE:
        return is_new && !session->store->is_replica;
    case REDIS_TRIAL_PROBE:
        return !session->store->is_replica;
    }
    return false;
}

/* Asks for the epoch, and tries what is needed. On failure `error` tells why. */
static enum status examine(struct redis_session *session, bool is_new, int64_t deadline_us,
                           char error[POOL_ERROR_SIZE])
{
    enum status status = ask_info(session, is_new, deadline_us, error);
    const struct redis_trial *trial = session->trials;

    for (; status == STATUS_OK && trial->words[0] != NULL; trial++) {
        if (is_tried(session, trial, is_new)) {
            status = try_command(session, trial, deadline_us, error);
        }
    }
    return status;
}

/* --- connections ------------------------------------------------------------------------------ */

/* A command of the handshake, which was begun; its reply must not be an error. */
static bool handshake(struct redis_session *session, int64_t deadline_us,
                      char error[POOL_ERROR_SIZE])
{
    redisReply *reply = NULL;
    enum status status = exchange(session, deadline_us, &reply);

    if (status != STATUS_OK) {
        describe(session, status, reply, error);
    }
    freeReplyObject(reply);
    return status == STATUS_OK;
}

static bool log_in(struct redis_session *session, int64_t deadline_us, char error[POOL_ERROR_SIZE])
{
    bool has_user = session->user[0] != '\0';

    if (!has_user && session->password[0] == '\0') {
        return true;
    }
    redis_begin(session, "AUTH", has_user ? 2 : 1);
    if (has_user) {
        add_text(session, session->user);
    }
    add_text(session, session->password);
    return handshake(session, deadline_us, error);
}

static bool introduce(struct redis_session *session, int64_t deadline_us,
                      char error[POOL_ERROR_SIZE])
{
    if (!log_in(session, deadline_us, error)) {
        return false;
    }
    if (session->store->url.database != 0) {
        redis_begin(session, "SELECT", 1);
        redis_add_int(session, session->store->url.database);
        if (!handshake(session, deadline_us, error)) {
            return false;
        }
    }
    return examine(session, true, deadline_us, error) == STATUS_OK;
}

/* Hands the session to hiredis, which shakes hands. On failure it is the caller's still. */
static bool shake_hands(redisContext *context, struct ssl_st *ssl)
{
#ifdef FASTSTOCK_REDIS_TLS
    return redisInitiateSSL(context, ssl) == REDIS_OK;
#else
    (void)context;
    (void)ssl;
    return false; /* redis_tls_start has refused before */
#endif
}

static bool secure_socket(struct redis_session *session, int64_t deadline_us,
                          char error[POOL_ERROR_SIZE])
{
    const struct redis_store *store = session->store;
    struct ssl_st *ssl = NULL;

    if (!redis_tls_start(&store->tls, session->host.name, &ssl, error, POOL_ERROR_SIZE)) {
        return false;
    }
    if (set_timeout(session, deadline_us) && shake_hands(session->context, ssl)) {
        return true;
    }
    if (!redis_tls_explain(ssl, session->host.name, error, POOL_ERROR_SIZE)) {
        snprintf(error, POOL_ERROR_SIZE,
                 "TLS: the handshake was ended, or not done in time; does the server speak TLS on "
                 "this port?");
    }
    redis_tls_free(ssl);
    return false;
}

static bool open_socket(struct redis_session *session, int64_t deadline_us,
                        char error[POOL_ERROR_SIZE])
{
    int64_t left_ms = clock_left_ms(deadline_us);
    struct timeval timeout = {.tv_sec = (time_t)(left_ms / 1000),
                              .tv_usec = (suseconds_t)(left_ms % 1000) * 1000};

    session->context = redisConnectWithTimeout(session->host.name, session->host.port, timeout);
    if (session->context == NULL || session->context->err != 0) {
        snprintf(error, POOL_ERROR_SIZE, "%s",
                 session->context == NULL ? "out of memory" : session->context->errstr);
        return false;
    }
    redisEnableKeepAlive(session->context);
    return !session->store->url.is_tls || secure_socket(session, deadline_us, error);
}

/* Not connected yet. The credentials may be NULL. */
static struct redis_session *session_create(struct redis_store *store, const char *user,
                                            const char *password, int64_t timeout_ms_max)
{
    struct redis_session *session = fs_calloc(1, sizeof(*session));

    session->store = store;
    session->user = user == NULL ? "" : user;
    session->password = password == NULL ? "" : password;
    session->timeout_ms_max = timeout_ms_max;
    return session;
}

/* `patience_ms`: how much longer than the store's timeout a call may take. */
static struct redis_session *session_open_at(struct redis_store *store,
                                             const struct redis_host *host,
                                             const struct redis_trial *trials, int64_t patience_ms,
                                             int64_t deadline_us, char error[POOL_ERROR_SIZE])
{
    struct redis_session *session = session_create(store, store->url.user, store->url.password,
                                                   store->timeout_ms + patience_ms);

    session->host = *host;
    session->trials = trials;
    if (!open_socket(session, deadline_us, error) || !introduce(session, deadline_us, error)) {
        session_close(session);
        return NULL;
    }
    return session;
}

/* --- Sentinels -------------------------------------------------------------------------------- */

/* What SENTINEL get-master-addr-by-name tells: the host, and the port as a text. */
static bool take_master(const redisReply *reply, struct redis_host *ret_master)
{
    const redisReply *const *parts = (const redisReply *const *)reply->element;
    int64_t port;

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
        parts[0]->type != REDIS_REPLY_STRING || parts[1]->type != REDIS_REPLY_STRING ||
        (size_t)parts[0]->len >= sizeof(ret_master->name) ||
        !parse_int(parts[1]->str, (size_t)parts[1]->len, 1, 65535, &port)) {
        return false;
    }
    snprintf(ret_master->name, sizeof(ret_master->name), "%s", parts[0]->str);
    ret_master->port = (int)port;
    return true;
}

static bool ask_master(struct redis_session *session, int64_t deadline_us,
                       struct redis_host *ret_master, char error[POOL_ERROR_SIZE])
{
    const char *name = session->store->url.master;
    redisReply *reply = NULL;
    enum status status;
    bool taken = false;

    redis_begin(session, "SENTINEL", 2);
    add_text(session, "get-master-addr-by-name");
    add_text(session, name);
    status = exchange(session, deadline_us, &reply);
    if (status == STATUS_OK && reply->type == REDIS_REPLY_NIL) {
        snprintf(error, POOL_ERROR_SIZE, "it knows no master '%s'", name);
    } else if (status == STATUS_OK && take_master(reply, ret_master)) {
        taken = true;
    } else {
        describe(session, status, reply, error);
    }
    freeReplyObject(reply);
    return taken;
}

/* Its connection is closed again, because a Sentinel is asked seldom. */
static bool ask_sentinel(struct redis_store *store, const struct redis_host *sentinel,
                         int64_t deadline_us, struct redis_host *ret_master,
                         char error[POOL_ERROR_SIZE])
{
    struct redis_session *session =
        session_create(store, store->sentinel.user, store->sentinel.password, store->timeout_ms);
    bool told;

    session->host = *sentinel;
    session->is_sentinel = true;
    told = open_socket(session, deadline_us, error) && log_in(session, deadline_us, error) &&
           ask_master(session, deadline_us, ret_master, error);
    session_close(session);
    return told;
}

static bool is_same_host(const struct redis_host *a, const struct redis_host *b)
{
    return a->port == b->port && strcmp(a->name, b->name) == 0;
}

static void note_master(struct redis_store *store, const struct redis_host *master)
{
    bool is_new;

    pthread_mutex_lock(&store->lock);
    is_new = !is_same_host(&store->master, master);
    store->master = *master;
    pthread_mutex_unlock(&store->lock);
    if (is_new) {
        log_info(log_msg("redis master found"), log_str("name", store->url.master),
                 log_str("host", master->name), log_int("port", master->port));
    }
}

/* What is wrong at one place, behind what was found at the others. */
static void add_note(char notes[POOL_ERROR_SIZE], const char *kind, const struct redis_host *host,
                     const char *what)
{
    size_t used = strlen(notes);

    snprintf(notes + used, POOL_ERROR_SIZE - used, "%s%s %.64s port %d: %.160s",
             used == 0 ? "" : "; ", kind, host->name, host->port, what);
}

struct search {
    struct redis_store *store;
    const struct redis_trial *trials;
    int64_t patience_ms;
    struct redis_host tried[REDIS_URL_HOSTS_MAX]; /* masters that were named */
    size_t tried_count;
    char notes[POOL_ERROR_SIZE];
};

static bool was_tried(const struct search *search, const struct redis_host *master)
{
    for (size_t i = 0; i < search->tried_count; i++) {
        if (is_same_host(&search->tried[i], master)) {
            return true;
        }
    }
    return false;
}

/* A session with the master that this Sentinel names, or NULL. Each step has its own time, like the
 * addresses of a name (pool.h). */
static struct redis_session *search_at(struct search *search, const struct redis_host *sentinel)
{
    struct redis_store *store = search->store;
    int64_t deadline_us = clock_after_ms(store->connect_timeout_ms);
    char error[POOL_ERROR_SIZE] = "";
    struct redis_session *session;
    struct redis_host master;

    if (!ask_sentinel(store, sentinel, deadline_us, &master, error)) {
        add_note(search->notes, "Sentinel", sentinel, error);
        return NULL;
    }
    if (was_tried(search, &master)) {
        add_note(search->notes, "Sentinel", sentinel, "it names the same master");
        return NULL;
    }
    search->tried[search->tried_count++] = master;
    session = session_open_at(store, &master, search->trials, search->patience_ms,
                              clock_after_ms(store->connect_timeout_ms), error);
    if (session == NULL) {
        add_note(search->notes, "master", &master, error);
        return NULL;
    }
    note_master(store, &master);
    return session;
}

static struct redis_session *search_master(struct redis_store *store,
                                           const struct redis_trial *trials, int64_t patience_ms,
                                           char error[POOL_ERROR_SIZE])
{
    struct search search = {.store = store, .trials = trials, .patience_ms = patience_ms};
    size_t first = atomic_load(&store->sentinel_next);

    for (size_t i = 0; i < store->url.host_count; i++) {
        size_t at = (first + i) % store->url.host_count;
        struct redis_session *session = search_at(&search, &store->url.hosts[at]);

        if (session != NULL) {
            atomic_store(&store->sentinel_next, at);
            return session;
        }
    }
    snprintf(error, POOL_ERROR_SIZE, "%s", search.notes);
    return NULL;
}

/* Whether the master is another one now than the session's. */
static enum status judge_master(struct redis_session *session, char error[POOL_ERROR_SIZE])
{
    struct redis_store *store = session->store;
    struct redis_host master;

    if (store->url.master[0] == '\0') {
        return STATUS_OK;
    }
    pthread_mutex_lock(&store->lock);
    master = store->master;
    pthread_mutex_unlock(&store->lock);
    if (is_same_host(&session->host, &master)) {
        return STATUS_OK;
    }
    snprintf(error, POOL_ERROR_SIZE,
             "the Sentinels name another master than %.64s port %d: %.64s port %d",
             session->host.name, session->host.port, master.name, master.port);
    return say_useless(session, error);
}

/* For the maintainer, each second: a master that was replaced may be reachable still, and not know
 * it. One Sentinel is asked, in half of the time there is; if it does not answer, the next one is
 * asked the next time. */
static void look_for_master(struct redis_store *store, int64_t deadline_us)
{
    int64_t now_us = clock_mono_us();
    size_t at = atomic_load(&store->sentinel_next);
    char error[POOL_ERROR_SIZE];
    struct redis_host master;

    if (store->url.master[0] == '\0' ||
        now_us - store->sentinel_asked_us < SENTINEL_ASK_EVERY_MS * CLOCK_US_PER_MS) {
        return;
    }
    store->sentinel_asked_us = now_us;
    deadline_us = now_us + (deadline_us - now_us) / 2;
    if (ask_sentinel(store, &store->url.hosts[at], deadline_us, &master, error)) {
        note_master(store, &master);
        return;
    }
    atomic_compare_exchange_strong(&store->sentinel_next, &at, (at + 1) % store->url.host_count);
}

/* --- the pool's operations -------------------------------------------------------------------- */

static struct redis_session *session_open(struct redis_store *store,
                                          const struct redis_trial *trials, int64_t patience_ms,
                                          int64_t deadline_us, char error[POOL_ERROR_SIZE])
{
    if (store->url.master[0] != '\0') {
        return search_master(store, trials, patience_ms, error);
    }
    return session_open_at(store, &store->url.hosts[0], trials, patience_ms, deadline_us, error);
}

static void *session_connect(void *arg, int64_t deadline_us, char error[POOL_ERROR_SIZE])
{
    struct redis_store *store = arg;

    return session_open(store, store->trials, 0, deadline_us, error);
}

/* Between calls Redis has nothing to say: a readable socket is a hang-up. */
static bool session_is_alive(void *connection)
{
    const struct redis_session *session = connection;
    struct pollfd fd = {.fd = session->context->fd, .events = POLLIN | POLLRDHUP};

    return poll(&fd, 1, 0) == 0;
}

/* Half of the age at which a request asks itself: the maintainer looks once a second, give or take
 * a little. */
static enum status session_refresh(void *connection, int64_t deadline_us,
                                   char error[POOL_ERROR_SIZE])
{
    struct redis_session *session = connection;
    enum status status;

    look_for_master(session->store, deadline_us);
    status = judge_master(session, error);
    if (status == STATUS_OK && epoch_is_old(session, REDIS_EPOCH_AGE_MS / 2)) {
        status = examine(session, false, deadline_us, error);
    }
    return session->why_useless[0] != '\0' ? STATUS_UNAVAILABLE : status;
}

static void session_close(void *connection)
{
    struct redis_session *session = connection;

    redisFree(session->context);
    strbuf_finish(&session->command);
    free(session);
}

/* --- sessions --------------------------------------------------------------------------------- */

enum status redis_acquire(struct redis_store *store, int64_t deadline_us,
                          struct redis_session **ret_session)
{
    void *connection = NULL;
    struct redis_session *session;
    char error[POOL_ERROR_SIZE];
    int64_t wait_until_us = pool_wait_until_us(deadline_us, store->timeout_ms);
    enum status status = pool_acquire(store->pool, wait_until_us, &connection);

    if (status != STATUS_OK) {
        return status;
    }
    session = connection;
    if (epoch_is_old(session, REDIS_EPOCH_AGE_MS)) {
        status = examine(session, false, deadline_us, error);
        if (status != STATUS_OK) {
            redis_release(store, session, status);
            return status;
        }
    }
    if (session->stands_still || clock_mono_us() < atomic_load(&store->trusted_from_us)) {
        redis_release(store, session, STATUS_UNAVAILABLE);
        return STATUS_UNAVAILABLE;
    }
    *ret_session = session;
    return STATUS_OK;
}

void redis_release(struct redis_store *store, struct redis_session *session, enum status last)
{
    if (session->why_useless[0] != '\0') {
        pool_trip(store->pool, session->why_useless);
    }
    pool_release(store->pool, session, last);
}

const char *redis_epoch(const struct redis_session *session)
{
    return session->epoch;
}

enum breaker_state redis_store_state(struct redis_store *store)
{
    return pool_breaker_state(store->pool);
}

_Static_assert(REDIS_NOTE_SIZE == POOL_ERROR_SIZE, "a note is the pool's reason");

void redis_store_note(struct redis_store *store, char ret_note[REDIS_NOTE_SIZE])
{
    pool_away_reason(store->pool, ret_note);
}

/* --- a connection of its own ------------------------------------------------------------------ */

static enum status judge_replica(const struct redis_session *session, char note[REDIS_NOTE_SIZE])
{
    if (!session->stands_still) {
        return STATUS_OK;
    }
    snprintf(note, REDIS_NOTE_SIZE, "it is a replica that hears nothing of its primary");
    return STATUS_UNAVAILABLE;
}

enum status redis_open(struct redis_store *store, int64_t patience_ms,
                       struct redis_session **ret_session, char ret_note[REDIS_NOTE_SIZE])
{
    static const struct redis_trial none = {.words = {NULL}};
    int64_t deadline_us = clock_after_ms(store->connect_timeout_ms);
    struct redis_session *session = session_open(store, &none, patience_ms, deadline_us, ret_note);

    if (session == NULL) {
        return STATUS_UNAVAILABLE;
    }
    if (judge_replica(session, ret_note) != STATUS_OK) {
        session_close(session);
        return STATUS_UNAVAILABLE;
    }
    *ret_session = session;
    return STATUS_OK;
}

void redis_close(struct redis_session *session)
{
    if (session != NULL) {
        session_close(session);
    }
}

enum status redis_ask_epoch(struct redis_session *session, int64_t deadline_us,
                            char ret_note[REDIS_NOTE_SIZE])
{
    enum status status = judge_master(session, ret_note);

    if (status == STATUS_OK) {
        status = ask_info(session, false, deadline_us, ret_note);
    }
    return status == STATUS_OK ? judge_replica(session, ret_note) : status;
}

struct walk {
    void (*each)(void *arg, int depth, struct redis_bytes text);
    void *arg;
};

static void walk(const struct walk *how, const redisReply *reply, int depth)
{
    if (reply->type == REDIS_REPLY_STRING) {
        how->each(how->arg, depth, (struct redis_bytes){reply->str, (size_t)reply->len});
    }
    for (size_t i = 0; reply->type == REDIS_REPLY_ARRAY && i < reply->elements; i++) {
        walk(how, reply->element[i], depth + 1);
    }
}

enum status redis_walk(struct redis_session *session, int64_t deadline_us,
                       void (*each)(void *arg, int depth, struct redis_bytes text), void *arg,
                       char ret_note[REDIS_NOTE_SIZE])
{
    redisReply *reply = NULL;
    enum status status = exchange(session, deadline_us, &reply);

    if (status == STATUS_OK) {
        walk(&(struct walk){each, arg}, reply, 0);
    } else {
        describe(session, status, reply, ret_note);
    }
    freeReplyObject(reply);
    return status;
}
