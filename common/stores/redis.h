/* Redis, as FastStock uses it. The only file that includes hiredis.
 *
 * A session is a pooled connection that knows the *epoch* of the data behind it: the replication id
 * of its Redis, the same on a replica, another one after a restart or a promotion. Keys are made
 * with it, so that data which a restart or a failover brought back are never looked at. It is asked
 * again when it is older than REDIS_EPOCH_AGE_MS, or another session of the store has heard of a
 * new one. */
#ifndef FASTSTOCK_COMMON_STORES_REDIS_H
#define FASTSTOCK_COMMON_STORES_REDIS_H

#include "common/base/status.h"
#include "common/stores/breaker.h"
#include "common/stores/options.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REDIS_EPOCH_AGE_MS 1000
#define REDIS_EPOCH_SIZE 17 /* the first 16 of the id's 40 hex digits, and NUL: 64 random bits */

struct redis_store;
struct redis_session;

struct redis_options {
    /* url: see url.h, not empty. A reply that comes in pieces may take timeout_ms for each. The
     * probation follows a change of the epoch, too. */
    struct store_options store;
    const char *script; /* Lua, loaded on each connection for redis_run_script; borrowed */
    bool is_replica; /* else it must take writes; one that does not, for whatever reason, counts as
                        away */
    const char *probe_key; /* what is written to find that out, with each question for the epoch;
                              borrowed */
};

struct redis_bytes {
    const char *data;
    size_t len;
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

/* One MGET. Calls `each(arg, i, value)` for each key in order; value.data is NULL when there is
 * none, and the bytes are lent for the call. */
enum status redis_mget(struct redis_session *session, const struct redis_bytes *keys, size_t count,
                       int64_t deadline_us,
                       void (*each)(void *arg, size_t i, struct redis_bytes value), void *arg);

/* SET with NX and PX: unless the key is there already. */
enum status redis_set_absent(struct redis_session *session, struct redis_bytes key,
                             struct redis_bytes value, int64_t ttl_ms, int64_t deadline_us);

/* Runs the store's script; its answer must be an integer. */
enum status redis_run_script(struct redis_session *session, const struct redis_bytes *keys,
                             size_t key_count, const struct redis_bytes *args, size_t arg_count,
                             int64_t deadline_us, int64_t *ret_answer);

enum breaker_state redis_store_state(struct redis_store *store);

#endif
