/* Redis, as FastStock uses it.
 *
 * A session is a pooled connection that knows the *epoch* of the data behind it: the replication id
 * of its Redis, which is the same on a replica, and another one after a restart or a promotion.
 * Keys are made with the epoch, so that data which a restart or a failover brought back are never
 * looked at. Only INFO tells the replication id; that is why a user needs that command.
 *
 * The pool's maintainer asks for the epoch again each second, and tries whether Redis takes writes.
 * A request asks only on a session whose answer is older than REDIS_EPOCH_AGE_MS (one that was busy
 * whenever the maintainer looked), or when another session of the store has heard of a new epoch.
 *
 * With a redis+sentinel:// URL each connection begins with a question to a Sentinel: where is the
 * master? The Sentinels are asked in turn, beginning with the one that helped last, until one names
 * a Redis that says itself that it is a master. The maintainer asks again each second, so that the
 * sessions of a master that was replaced, and can still be reached, end. What the Sentinels say is
 * not relied on: a wrong master has another epoch.
 *
 * A Redis that answers and yet is of no use counts as away, with the reason in the log: it takes no
 * writes (it was made a replica, loads its data, has a full disk, has too few replicas), it refuses
 * the user a command that is needed, it runs in cluster mode, it is a Sentinel. All that can be
 * found out by asking is found out when a session connects: see `trials`. A Redis without room for
 * more (OOM) does not count as away, because it still removes what is older (put.lua). */
#ifndef FASTSTOCK_COMMON_STORES_REDIS_H
#define FASTSTOCK_COMMON_STORES_REDIS_H

#include "common/base/status.h"
#include "common/stores/breaker.h"
#include "common/stores/options.h"
#include "common/stores/redis_tls.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REDIS_EPOCH_AGE_MS 1000
#define REDIS_EPOCH_SIZE 17 /* the first 16 of the id's 40 hex digits, and NUL: 64 random bits */

struct redis_store;
struct redis_session;

/* A command that the store's user is going to need. */
struct redis_trial {
    enum {
        REDIS_TRIAL_READ,  /* tried on each new connection */
        REDIS_TRIAL_WRITE, /* tried on each new connection to a primary */
        REDIS_TRIAL_PROBE, /* as a write, and again with each question for the epoch */
    } when;
    const char *words[6]; /* ended by NULL, or by the end */
    /* What happens when Redis knows no such command, or refuses it to the user, for the log; then
     * the store does without it. NULL: it cannot, and Redis counts as away. */
    const char *lack;
};

/* For the Sentinels themselves: "" or NULL for none. The texts are borrowed. */
struct redis_sentinel_login {
    const char *user;
    const char *password;
};

struct redis_options {
    /* url: see url.h, not empty. A reply that comes in pieces may take timeout_ms for each. The
     * probation follows a change of the epoch, too. */
    struct store_options store;
    struct redis_tls_options tls; /* of a rediss:// URL; the texts are borrowed */
    struct redis_sentinel_login sentinel;
    bool is_replica;                  /* else it must take writes */
    const struct redis_trial *trials; /* ended by one without words; borrowed */
};

struct redis_bytes {
    const char *data;
    size_t len;
};

/* A script's text (Lua), and the SHA-1 of it in hexadecimal. */
struct redis_script {
    const char *text;
    size_t text_len;
    const char *sha;
};

/* Never fails: connections come when Redis is there. */
struct redis_store *redis_store_create(const struct redis_options *options);
void redis_store_destroy(struct redis_store *store); /* NULL is fine */

/* STATUS_UNAVAILABLE also when the Redis is a replica that hears nothing of its primary (its data
 * stand still), when it became another one less than probation_ms ago, and when no connection came
 * free in time (pool.h). */
enum status redis_acquire(struct redis_store *store, int64_t deadline_us,
                          struct redis_session **ret_session);
/* `last` is how the last call on the session ended. */
void redis_release(struct redis_store *store, struct redis_session *session, enum status last);

const char *redis_epoch(const struct redis_session *session);

enum breaker_state redis_store_state(struct redis_store *store);

#define REDIS_NOTE_SIZE 512

/* Why Redis is away; "" while it is not. */
void redis_store_note(struct redis_store *store, char ret_note[REDIS_NOTE_SIZE]);

/* A command is written into its session word by word, and then sent:
 *
 *     redis_begin(session, "MGET", 2);
 *     redis_add(session, "a", 1);
 *     redis_add(session, "b", 1);
 *     status = redis_mget(session, 2, deadline_us, take_value, NULL);
 *
 * Each word is copied, once, into memory that the session keeps. */
void redis_begin(struct redis_session *session, const char *name, size_t words);
/* The script's `keys` keys and other words follow, `words` in all. */
void redis_begin_script(struct redis_session *session, const struct redis_script *script,
                        size_t keys, size_t words);
void redis_add(struct redis_session *session, const char *bytes, size_t len);
void redis_add_int(struct redis_session *session, int64_t value);

/* Sends an MGET of `count` keys. Calls `each(arg, i, value)` for each key in order; value.data is
 * NULL when there is none, and the bytes are lent for the call. */
enum status redis_mget(struct redis_session *session, size_t count, int64_t deadline_us,
                       void (*each)(void *arg, size_t i, struct redis_bytes value), void *arg);

/* Runs the script that was begun; its answer must be an integer. A Redis that does not know the
 * script is told it. */
enum status redis_run_script(struct redis_session *session, const struct redis_script *script,
                             int64_t deadline_us, int64_t *ret_answer);

/* SET with NX and PX: unless the key is there already. */
enum status redis_set_absent(struct redis_session *session, struct redis_bytes key,
                             struct redis_bytes value, int64_t ttl_ms, int64_t deadline_us);

/* A connection of its own, for calls that wait. It tries no command, and no pool looks after it, so
 * its owner asks for the epoch. `ret_note` says why a call did not end with STATUS_OK; what it says
 * after STATUS_OK means nothing. */

/* Connects within connect_timeout_ms (to each Sentinel and each master that it names, too); the
 * session is to be closed before the store is destroyed. A
 * call on it may take `patience_ms` longer than timeout_ms. STATUS_UNAVAILABLE, also when the Redis
 * is a replica that hears nothing of its primary. */
enum status redis_open(struct redis_store *store, int64_t patience_ms,
                       struct redis_session **ret_session, char ret_note[REDIS_NOTE_SIZE]);
void redis_close(struct redis_session *session); /* NULL is fine */

/* Asks for the epoch again. STATUS_UNAVAILABLE as above, and when the Sentinels name another master
 * now. */
enum status redis_ask_epoch(struct redis_session *session, int64_t deadline_us,
                            char ret_note[REDIS_NOTE_SIZE]);

/* Sends any command. Calls `each` for each text of its reply in order; `depth` is the number of
 * arrays that it stands in. The bytes are lent until redis_walk returns. */
enum status redis_walk(struct redis_session *session, int64_t deadline_us,
                       void (*each)(void *arg, int depth, struct redis_bytes text), void *arg,
                       char ret_note[REDIS_NOTE_SIZE]);

#endif
