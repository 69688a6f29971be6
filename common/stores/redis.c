#include "common/stores/redis.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/strbuf.h"
#include "common/stores/pool.h"
#include "common/stores/url.h"

#include <assert.h>
#include <errno.h>
#include <hiredis/hiredis.h>
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
#define REPLICA_SILENCE_S_MAX                                                                      \
    15 /* a primary with nothing to say pings each 10 s (repl-ping-replica-period) */

struct redis_store {
    struct redis_url url;
    int64_t timeout_ms;
    const char *script;
    bool is_replica;
    const char *probe_key;
    struct pool *pool;
    int64_t probation_us;
    _Atomic int64_t refusal_logged_us;
    _Atomic int64_t trusted_from_us; /* not used before: the Redis is a new one */

    pthread_mutex_t lock;         /* guards the rest */
    char epoch[REDIS_EPOCH_SIZE]; /* the last that a session heard of */
};

struct redis_session {
    redisContext *context;
    struct redis_store *store;
    int64_t timeout_ms; /* what the socket's timeout is set to */
    int64_t epoch_asked_us;
    bool is_useless;   /* what it answered says that it takes no writes, or not yet */
    bool stands_still; /* a replica that hears nothing of its primary */
    char epoch[REDIS_EPOCH_SIZE];
    char script_sha[SHA1_HEX_LEN + 1];
};

/* --- calls ------------------------------------------------------------------------------------ */

static bool set_timeout(struct redis_session *session, int64_t deadline_us)
{
    int64_t left_ms = clock_left_ms(deadline_us);
    int64_t want_ms = left_ms < session->store->timeout_ms ? left_ms : session->store->timeout_ms;
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

static enum status context_status(const redisContext *context)
{
    return context->err == REDIS_ERR_IO &&
                   (errno == EAGAIN || errno == EWOULDBLOCK || errno == ETIMEDOUT)
               ? STATUS_TIMEOUT
               : STATUS_BROKEN;
}

/* Redis answers, and yet takes no writes: it was made a replica, loads its data, cannot save them
 * (a full disk), or has too few replicas (min-replicas-to-write). */
static bool means_useless(const char *error)
{
    static const char *const codes[] = {"READONLY ", "LOADING ", "MASTERDOWN ", "MISCONF ",
                                        "NOREPLICAS "};

    for (size_t i = 0; i < FS_ARRAY_LEN(codes); i++) {
        if (strncmp(error, codes[i], strlen(codes[i])) == 0) {
            return true;
        }
    }
    return false;
}

static enum status reply_status(struct redis_session *session, const redisReply *reply)
{
    if (reply == NULL) {
        return context_status(session->context);
    }
    if (reply->type == REDIS_REPLY_ERROR) {
        session->is_useless = means_useless(reply->str);
        return session->is_useless ? STATUS_BROKEN : STATUS_FAILED;
    }
    return STATUS_OK;
}

/* Sends one command and waits for its reply, which the caller frees. With STATUS_FAILED *ret_reply
 * is an error. */
static enum status call(struct redis_session *session, const struct redis_bytes *words,
                        size_t count, int64_t deadline_us, redisReply **ret_reply)
{
    const char **argv = fs_calloc(count, sizeof(*argv));
    size_t *lens = fs_calloc(count, sizeof(*lens));
    enum status status = STATUS_UNAVAILABLE;

    for (size_t i = 0; i < count; i++) {
        argv[i] = words[i].data;
        lens[i] = words[i].len;
    }
    if (set_timeout(session, deadline_us)) {
        *ret_reply = redisCommandArgv(session->context, (int)count, argv, lens);
        status = reply_status(session, *ret_reply);
    }
    free(lens);
    free(argv);
    return status;
}

static struct redis_bytes word(const char *text)
{
    return (struct redis_bytes){text, strlen(text)};
}

/* For logs: what went wrong in the last call. */
static void describe(const struct redis_session *session, enum status status,
                     const redisReply *reply, char out[POOL_ERROR_SIZE])
{
    if (reply != NULL) {
        snprintf(out, POOL_ERROR_SIZE, "%s", reply->str);
    } else if (status == STATUS_TIMEOUT) {
        snprintf(out, POOL_ERROR_SIZE, "no answer in time");
    } else {
        snprintf(out, POOL_ERROR_SIZE, "%s", session->context->errstr);
    }
}

/* Now and then: a Redis that refuses one command mostly refuses all that are like it. */
static void log_refusal(const struct redis_session *session, const char *what,
                        const redisReply *reply)
{
    int64_t logged_us = atomic_load(&session->store->refusal_logged_us);
    int64_t now_us = clock_mono_us();

    if ((logged_us != 0 && now_us - logged_us < REFUSAL_LOG_EVERY_S * CLOCK_US_PER_S) ||
        !atomic_compare_exchange_strong(&session->store->refusal_logged_us, &logged_us, now_us)) {
        return;
    }
    log_warn(log_msg("redis refused a command"), log_str("command", what),
             log_str("error", reply->str), log_str("host", session->store->url.host));
}

/* --- connecting ------------------------------------------------------------------------------- */

/* The value of "key:value\r\n" in INFO's text, or NULL. */
static const char *info_value(const char *info, const char *key)
{
    const char *at = strstr(info, key);

    return at == NULL ? NULL : at + strlen(key);
}

/* A Redis that has become another one is as one that came back: the writers are to use it first
 * (breaker.h). */
static void tell_epoch(struct redis_store *store, const char *epoch)
{
    pthread_mutex_lock(&store->lock);
    if (store->epoch[0] != '\0' && strcmp(store->epoch, epoch) != 0) {
        atomic_store(&store->trusted_from_us, clock_mono_us() + store->probation_us);
    }
    memcpy(store->epoch, epoch, REDIS_EPOCH_SIZE);
    pthread_mutex_unlock(&store->lock);
}

static bool epoch_is_old(struct redis_session *session)
{
    bool differs;

    pthread_mutex_lock(&session->store->lock);
    differs = strcmp(session->store->epoch, session->epoch) != 0;
    pthread_mutex_unlock(&session->store->lock);
    return differs ||
           clock_mono_us() - session->epoch_asked_us >= REDIS_EPOCH_AGE_MS * CLOCK_US_PER_MS;
}

/* What INFO says of the replication. On failure *ret_why tells more. */
static enum status take_replication(struct redis_session *session, const char *info,
                                    const char **ret_why)
{
    const char *id = info_value(info, "\nmaster_replid:");
    const char *role = info_value(info, "\nrole:");
    const char *link = info_value(info, "\nmaster_link_status:");
    const char *last_io = info_value(info, "\nmaster_last_io_seconds_ago:");

    if (id == NULL || role == NULL) {
        *ret_why = "INFO replication tells no master_replid";
        return STATUS_BROKEN;
    }
    if (!session->store->is_replica && strncmp(role, "master", 6) != 0) {
        *ret_why = "it is a replica, which takes no writes";
        session->is_useless = true;
        return STATUS_BROKEN;
    }
    session->stands_still = (link != NULL && strncmp(link, "up", 2) != 0) ||
                            (last_io != NULL && strtol(last_io, NULL, 10) >= REPLICA_SILENCE_S_MAX);
    snprintf(session->epoch, sizeof(session->epoch), "%.*s", REDIS_EPOCH_SIZE - 1, id);
    tell_epoch(session->store, session->epoch);
    return STATUS_OK;
}

/* What nobody can write, nobody can bring up to date: then what is there must not be read
 * either. */
static enum status try_writing(struct redis_session *session, int64_t deadline_us,
                               const char **ret_why)
{
    struct redis_bytes words[] = {word("SET"), word(session->store->probe_key), word("1"),
                                  word("PX"), word("1000")};
    redisReply *reply = NULL;
    enum status status;

    if (session->store->is_replica) {
        return STATUS_OK;
    }
    status = call(session, words, FS_ARRAY_LEN(words), deadline_us, &reply);
    freeReplyObject(reply);
    *ret_why = "it takes no writes";
    return status == STATUS_FAILED
               ? STATUS_OK
               : status; /* refused for a reason of its own, like no room for more */
}

static enum status refresh_epoch(struct redis_session *session, int64_t deadline_us,
                                 const char **ret_why)
{
    struct redis_bytes words[] = {word("INFO"), word("replication")};
    redisReply *reply = NULL;
    int64_t asked_us = clock_mono_us();
    enum status status = call(session, words, FS_ARRAY_LEN(words), deadline_us, &reply);

    *ret_why = "INFO replication is not answered";
    if (status == STATUS_OK) {
        status = reply->type == REDIS_REPLY_STRING ? take_replication(session, reply->str, ret_why)
                                                   : STATUS_BROKEN;
        session->epoch_asked_us = asked_us;
    }
    freeReplyObject(reply);
    if (status == STATUS_OK) {
        status = try_writing(session, deadline_us, ret_why);
    }
    return status;
}

/* One command of the handshake; its reply must not be an error. */
static bool handshake(struct redis_session *session, const struct redis_bytes *words, size_t count,
                      int64_t deadline_us, char error[POOL_ERROR_SIZE])
{
    redisReply *reply = NULL;
    enum status status = call(session, words, count, deadline_us, &reply);

    if (status == STATUS_OK && reply->type == REDIS_REPLY_STRING && reply->len == SHA1_HEX_LEN) {
        memcpy(session->script_sha, reply->str, SHA1_HEX_LEN); /* SCRIPT LOAD's answer */
    }
    if (status != STATUS_OK) {
        describe(session, status, reply, error);
    }
    freeReplyObject(reply);
    return status == STATUS_OK;
}

static bool introduce(struct redis_session *session, int64_t deadline_us,
                      char error[POOL_ERROR_SIZE])
{
    const struct redis_url *url = &session->store->url;
    struct redis_bytes auth[] = {word("AUTH"), word(url->user), word(url->password)};
    struct redis_bytes auth_default[] = {word("AUTH"), word(url->password)};
    struct redis_bytes load[] = {word("SCRIPT"), word("LOAD"), word(session->store->script)};
    const char *why;
    char database[16];

    snprintf(database, sizeof(database), "%d", url->database);
    if (url->user[0] != '\0' && !handshake(session, auth, FS_ARRAY_LEN(auth), deadline_us, error)) {
        return false;
    }
    if (url->user[0] == '\0' && url->password[0] != '\0' &&
        !handshake(session, auth_default, FS_ARRAY_LEN(auth_default), deadline_us, error)) {
        return false;
    }
    if (url->database != 0 &&
        !handshake(session, (struct redis_bytes[]){word("SELECT"), word(database)}, 2, deadline_us,
                   error)) {
        return false;
    }
    if (!handshake(session, load, FS_ARRAY_LEN(load), deadline_us, error)) {
        return false;
    }
    if (refresh_epoch(session, deadline_us, &why) != STATUS_OK) {
        snprintf(error, POOL_ERROR_SIZE, "%s", why);
        return false;
    }
    return true;
}

static void session_close(void *connection)
{
    struct redis_session *session = connection;

    redisFree(session->context);
    free(session);
}

static void *session_connect(void *arg, int64_t deadline_us, char error[POOL_ERROR_SIZE])
{
    struct redis_store *store = arg;
    int64_t left_ms = clock_left_ms(deadline_us);
    struct timeval timeout = {.tv_sec = (time_t)(left_ms / 1000),
                              .tv_usec = (suseconds_t)(left_ms % 1000) * 1000};
    struct redis_session *session = fs_calloc(1, sizeof(*session));

    session->store = store;
    session->context = redisConnectWithTimeout(store->url.host, store->url.port, timeout);
    if (session->context == NULL || session->context->err != 0) {
        snprintf(error, POOL_ERROR_SIZE, "%s",
                 session->context == NULL ? "out of memory" : session->context->errstr);
        session_close(session);
        return NULL;
    }
    redisEnableKeepAlive(session->context);
    if (!introduce(session, deadline_us, error)) {
        session_close(session);
        return NULL;
    }
    return session;
}

/* Between calls Redis has nothing to say: a readable socket is a hang-up. */
static bool session_is_alive(void *connection)
{
    const struct redis_session *session = connection;
    struct pollfd fd = {.fd = session->context->fd, .events = POLLIN | POLLRDHUP};

    return poll(&fd, 1, 0) == 0;
}

struct redis_store *redis_store_create(const struct redis_options *options)
{
    struct redis_store *store = fs_calloc(1, sizeof(*store));
    char error[128];
    bool parsed = url_parse_redis(options->store.url, &store->url, error, sizeof(error));

    assert(parsed); /* the settings are checked when they are read */
    (void)parsed;
    store->timeout_ms = options->store.timeout_ms;
    store->script = options->script;
    store->is_replica = options->is_replica;
    store->probe_key = options->probe_key;
    store->probation_us = options->store.probation_ms * CLOCK_US_PER_MS;
    pthread_mutex_init(&store->lock, NULL);
    store->pool = pool_create(&(struct pool_options){
        .store = options->store,
        .ops = {.connect = session_connect, .is_alive = session_is_alive, .close = session_close},
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

/* --- sessions --------------------------------------------------------------------------------- */

void redis_release(struct redis_store *store, struct redis_session *session, enum status last)
{
    if (session->is_useless) {
        pool_trip(store->pool, "it takes no writes");
    }
    pool_release(store->pool, session, last);
}

enum status redis_acquire(struct redis_store *store, int64_t deadline_us,
                          struct redis_session **ret_session)
{
    void *connection = NULL;
    struct redis_session *session;
    const char *why;
    int64_t wait_until_us = pool_wait_until_us(deadline_us, store->timeout_ms);
    enum status status = pool_acquire(store->pool, wait_until_us, &connection);

    if (status != STATUS_OK) {
        return status;
    }
    session = connection;
    if (epoch_is_old(session)) {
        status = refresh_epoch(session, deadline_us, &why);
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

const char *redis_epoch(const struct redis_session *session)
{
    return session->epoch;
}

enum breaker_state redis_store_state(struct redis_store *store)
{
    return pool_breaker_state(store->pool);
}

enum status redis_mget(struct redis_session *session, const struct redis_bytes *keys, size_t count,
                       int64_t deadline_us,
                       void (*each)(void *arg, size_t i, struct redis_bytes value), void *arg)
{
    struct redis_bytes *words = fs_calloc(count + 1, sizeof(*words));
    redisReply *reply = NULL;
    enum status status;

    words[0] = word("MGET");
    memcpy(words + 1, keys, count * sizeof(*keys));
    status = call(session, words, count + 1, deadline_us, &reply);
    if (status == STATUS_FAILED) {
        log_refusal(session, "MGET", reply);
    } else if (status == STATUS_OK &&
               (reply->type != REDIS_REPLY_ARRAY || reply->elements != count)) {
        status = STATUS_FAILED;
    }
    for (size_t i = 0; status == STATUS_OK && i < count; i++) {
        const redisReply *value = reply->element[i];
        bool there = value->type == REDIS_REPLY_STRING;

        each(arg, i,
             (struct redis_bytes){there ? value->str : NULL, there ? (size_t)value->len : 0});
    }
    freeReplyObject(reply);
    free(words);
    return status;
}

enum status redis_set_absent(struct redis_session *session, struct redis_bytes key,
                             struct redis_bytes value, int64_t ttl_ms, int64_t deadline_us)
{
    char ttl_text[24];
    struct redis_bytes words[] = {word("SET"), key, value, word("NX"), word("PX"), {ttl_text, 0}};
    redisReply *reply = NULL;
    enum status status;

    words[5].len = (size_t)snprintf(ttl_text, sizeof(ttl_text), "%" PRId64, ttl_ms);
    status = call(session, words, FS_ARRAY_LEN(words), deadline_us, &reply);
    if (status == STATUS_FAILED) {
        log_refusal(session, "SET", reply);
    }
    freeReplyObject(reply);
    return status;
}

enum status redis_run_script(struct redis_session *session, const struct redis_bytes *keys,
                             size_t key_count, const struct redis_bytes *args, size_t arg_count,
                             int64_t deadline_us, int64_t *ret_answer)
{
    size_t count = 3 + key_count + arg_count;
    struct redis_bytes *words = fs_calloc(count, sizeof(*words));
    redisReply *reply = NULL;
    char key_count_text[24];
    enum status status;

    snprintf(key_count_text, sizeof(key_count_text), "%zu", key_count);
    words[0] = word("EVALSHA");
    words[1] = word(session->script_sha);
    words[2] = word(key_count_text);
    memcpy(words + 3, keys, key_count * sizeof(*keys));
    memcpy(words + 3 + key_count, args, arg_count * sizeof(*args));
    status = call(session, words, count, deadline_us, &reply);
    if (status == STATUS_FAILED &&
        strncmp(reply->str, "NOSCRIPT", 8) == 0) { /* somebody ran SCRIPT FLUSH */
        freeReplyObject(reply);
        reply = NULL;
        words[0] = word("EVAL");
        words[1] = word(session->store->script);
        status = call(session, words, count, deadline_us, &reply);
    }
    if (status == STATUS_FAILED) {
        log_refusal(session, "EVALSHA", reply);
    } else if (status == STATUS_OK && reply->type != REDIS_REPLY_INTEGER) {
        status = STATUS_FAILED;
    } else if (status == STATUS_OK) {
        *ret_answer = reply->integer;
    }
    freeReplyObject(reply);
    free(words);
    return status;
}
