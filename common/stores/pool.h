/* A bounded pool of connections to one store, with its circuit breaker.
 *
 * Requests never connect. One maintainer thread per pool keeps `size` connections open: it connects
 * at the start, after a connection broke, and, as the probe of the breaker, while the store is
 * away, each `retry_ms`. A request takes an idle connection, waits for one, or hears at once that
 * the store is away:
 *
 *     pool_acquire
 *       the breaker is not closed ------------------------------> STATUS_UNAVAILABLE, at once
 *       a connection is idle, and its socket shows no hang-up --> STATUS_OK
 *       else wait for a release, or for the maintainer ---------> STATUS_OK, or, when
 *                                              `wait_until_us` has passed, STATUS_UNAVAILABLE
 *
 * The caller says how long it may wait, because only the caller knows how much of its time the call
 * itself will need: a call that is sent with too little time left is given up, and its connection
 * is closed, at the moment when connections are scarce. The rule that the clients of this folder
 * follow is pool_wait_until_us.
 *
 * A connection that timed out or broke is closed when it is released. The breaker opens after five
 * timeouts in a row, and when a connect fails while no connection is open. If one is open, a failed
 * connect only means that the store lets no more in. When the breaker opens, the idle connections
 * are closed, because they lead to the same store.
 *
 * Once a second the maintainer looks at each idle connection: one that shows a hang-up is closed,
 * and the others are refreshed, if the store wants that. So an outage is noticed also by a service
 * that has no requests, and requests do not pay for the upkeep of connections.
 *
 * All functions are thread-safe. The lock is never held while an operation of the store runs. */
#ifndef FASTSTOCK_COMMON_STORES_POOL_H
#define FASTSTOCK_COMMON_STORES_POOL_H

#include "common/base/status.h"
#include "common/stores/breaker.h"
#include "common/stores/options.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define POOL_ERROR_SIZE 512

/* The operations of a store. A connection is in one thread's hands at a time. */
struct pool_ops {
    /* A new connection that has answered once, or NULL with the reason in `error`. Ends at the
     * deadline, but for the time that the resolver takes; a store with several addresses may take
     * as long for each. */
    void *(*connect)(void *context, int64_t deadline_us, char error[POOL_ERROR_SIZE]);
    /* Is this idle connection still of use? Must not block. */
    bool (*is_alive)(void *connection);
    /* Upkeep of an idle connection, once a second; ends at the deadline, which is the timeout of a
     * call. NULL: there is none. The connection is kept after STATUS_OK and STATUS_FAILED, else
     * closed; STATUS_TIMEOUT counts for the breaker, like that of a call. STATUS_UNAVAILABLE says
     * that the store itself is of no use, for the reason in `error`: it counts as away
     * (pool_trip). */
    enum status (*refresh)(void *connection, int64_t deadline_us, char error[POOL_ERROR_SIZE]);
    void (*close)(void *connection);
};

struct pool_options {
    struct store_options store; /* logs show its URL without the password */
    struct pool_ops ops;
    void *context; /* for ops.connect; outlives the pool */
};

struct pool;

/* Starts the maintainer and returns at once; connections come when the store is there. */
struct pool *pool_create(const struct pool_options *options);

/* All connections must have been released. NULL is fine. */
void pool_destroy(struct pool *pool);

/* On STATUS_OK a connection that is the caller's until pool_release. Otherwise STATUS_UNAVAILABLE:
 * the store was not asked, because it is away, or because no connection came free before
 * `wait_until_us` (monotonic). A time that has passed already means: do not wait. */
enum status pool_acquire(struct pool *pool, int64_t wait_until_us, void **ret_connection);

/* Until when a call that must be over at `deadline_us` waits for its connection: it leaves
 * `timeout_ms` for the call, or half of the time from now on where that is less. */
int64_t pool_wait_until_us(int64_t deadline_us, int64_t timeout_ms);

/* `last` is how the last call on the connection ended; STATUS_UNAVAILABLE when there was none. */
void pool_release(struct pool *pool, void *connection, enum status last);

/* The store said itself that it is of no use now. It counts as away until a connect succeeds; the
 * answers of calls that are under way do not change that, and their connections are closed when
 * they are released, because they lead to the same store. */
void pool_trip(struct pool *pool, const char *why);

/* For readiness and tests. */
enum breaker_state pool_breaker_state(struct pool *pool);

/* Why the store is away: what the last attempt to connect, or the call that opened the breaker,
 * said. "" while it is not away. */
void pool_away_reason(struct pool *pool, char ret_why[POOL_ERROR_SIZE]);

int pool_open_connections(struct pool *pool);

#endif
