/* A bounded pool of connections to one store, with its circuit breaker.
 *
 * Requests never connect. One maintainer thread per pool keeps `size` connections open: it connects
 * at the start, after a connection broke, and - as the probe of the breaker - while the store is
 * away, each `retry_ms`. A request takes an idle connection, waits for one, or hears at once that
 * the store is away:
 *
 *     acquire: idle connection?  -- yes, and its socket shows no hang-up --> it is yours
 *              breaker not closed? ------------------------------------> STATUS_UNAVAILABLE, at
 * once else wait for a release or for the maintainer ----------> yours, or STATUS_UNAVAILABLE
 *
 * Waiting takes at most half of the time that is left: a call that is sent with no time left would
 * be given up, and its connection with it, at the moment when they are scarce.
 *
 * Once a second the maintainer looks at the idle connections for hang-ups, so that a store which
 * nobody asks is missed as well. A connection that timed out or broke is closed when it is
 * released. Timeouts in a row open the breaker, and so does a failed connect while no connection is
 * left; when some are, the store merely lets no more in. When it opens, idle connections are
 * closed: they lead to the same store. All functions are thread-safe. The lock is never held while
 * connecting, closing or asking a socket. */
#ifndef FASTSTOCK_COMMON_STORES_POOL_H
#define FASTSTOCK_COMMON_STORES_POOL_H

#include "common/base/status.h"
#include "common/stores/breaker.h"

#include <stddef.h>
#include <stdint.h>

#define POOL_ERROR_SIZE 512

struct pool_ops {
    /* A new connection that has answered once, or NULL with the reason in `error`. Ends at the
     * deadline, but for the time that the resolver takes. */
    void *(*connect)(void *context, int64_t deadline_us, char error[POOL_ERROR_SIZE]);
    /* Is this idle connection still of use? Must not block. */
    int (*alive)(void *connection);
    void (*close)(void *connection);
};

struct pool_options {
    const char *store; /* the label of logs and metrics: postgres, redis, ...; borrowed for the life
                          of the process */
    const char *url;   /* for logs, which show it without its password; copied */
    int size;
    int64_t connect_timeout_ms;
    int64_t retry_ms;     /* between attempts to connect while the store is away */
    int64_t probation_ms; /* see breaker.h */
    struct pool_ops ops;
    void *context; /* for ops.connect; outlives the pool */
};

struct pool;

/* Starts the maintainer and returns at once; connections come when the store is there. */
struct pool *pool_create(const struct pool_options *options);

/* All connections must have been released. NULL is fine. */
void pool_destroy(struct pool *pool);

/* On STATUS_OK a connection that is yours until pool_release; else STATUS_UNAVAILABLE, also when
 * none came free in half of the time until the deadline, which is that of the call to follow: the
 * store was not asked. */
enum status pool_acquire(struct pool *pool, int64_t deadline_us, void **ret_connection);

/* `last` is how the last call on the connection ended; STATUS_UNAVAILABLE when there was none. */
void pool_release(struct pool *pool, void *connection, enum status last);

/* The store said itself that it is of no use now: as if it were away, until it lets one connect
 * again. */
void pool_trip(struct pool *pool, const char *why);

/* For readiness and tests. */
enum breaker_state pool_breaker_state(struct pool *pool);
int pool_open_connections(struct pool *pool);

#endif
