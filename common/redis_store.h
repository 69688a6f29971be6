/* Redis, as FastStock uses it. The only file that includes hiredis.
 *
 * A session is a pooled connection that knows the *epoch* of the data behind it: the replication id of its Redis, the
 * same on a replica, another one after a restart or a promotion. Keys are made with it, so that data which a restart or
 * a failover brought back are never looked at. It is asked again when it is older than REDIS_EPOCH_AGE_MS. */
#ifndef FASTSTOCK_COMMON_REDIS_STORE_H
#define FASTSTOCK_COMMON_REDIS_STORE_H

#include "common/breaker.h"
#include "common/status.h"

#include <stddef.h>
#include <stdint.h>

#define REDIS_EPOCH_AGE_MS 1000
#define REDIS_EPOCH_SIZE 17 /* the first 16 of the id's 40 hex digits, and NUL: 64 random bits */

struct redis_store;
struct redis_session;

struct redis_options {
    const char *store; /* label: "redis" or "redis-replica" */
    const char *url;   /* see url.h; not empty */
    int pool_size;
    int64_t timeout_ms; /* of one call */
    int64_t connect_timeout_ms;
    int64_t retry_ms;
    int64_t probation_ms;
    const char *script; /* Lua, loaded on each connection for redis_run_script; borrowed */
};

struct redis_bytes {
    const char *data;
    size_t len;
};

/* Never fails: connections come when Redis is there. */
struct redis_store *redis_store_create(const struct redis_options *options);
void redis_store_destroy(struct redis_store *store); /* NULL is fine */

/* STATUS_UNAVAILABLE also when the Redis is a replica that has lost its primary: its data stand still. */
enum status redis_acquire(struct redis_store *store, int64_t deadline_us, struct redis_session **ret_session);
/* `last` is how the last call on the session ended. */
void redis_release(struct redis_store *store, struct redis_session *session, enum status last);

const char *redis_epoch(const struct redis_session *session);

/* One MGET. Calls `each(arg, i, value)` for each key in order; value.data is NULL when there is none, and the bytes are
 * lent for the call. */
enum status redis_mget(struct redis_session *session, const struct redis_bytes *keys, size_t count, int64_t deadline_us,
                       void (*each)(void *arg, size_t i, struct redis_bytes value), void *arg);

/* Runs the store's script; its answer must be an integer. */
enum status redis_run_script(struct redis_session *session, const struct redis_bytes *keys, size_t key_count,
                             const struct redis_bytes *args, size_t arg_count, int64_t deadline_us,
                             int64_t *ret_answer);

enum breaker_state redis_store_state(struct redis_store *store);

#endif
