/* The relay: repairs Redis. A write publishes what it committed itself (publisher.h), but may fail
 * to, because Redis was away or slow, or because the process died in between; and a change made in
 * SQL is not published at all. The relay reads the ledger and makes sure that Redis holds nothing
 * older. So nothing committed stays unseen for longer than a round once Redis is there.
 *
 * Every write-svc has a relay; a session advisory lock over the direct connection lets one of them
 * work at a time.
 *
 * **It corrects the cache and never fills it.** A movement says which version a product has, and an
 * older state in Redis is removed. The version stays as a guard, which refuses a reader that fills
 * the older state later (common/products/cache.h). The next request loads the product. So the relay
 * reads no product at all, and states that no request asks for take no room. (Replacing the state
 * would spare that request a miss, but only after a failed publication, which is rare, and at the
 * price of reading the row of every product that changed.)
 *
 * **A round costs what changed since the round before, in pages.** A round asks for the movements
 * that the snapshot of the round before did not see. When they fill a page, the rest of them, up to
 * the snapshot of that page, becomes a *backlog*:
 *
 *       done                backlog                    this round
 *     --------|------------------------------------|----------------------> commits
 *          snapshot of       snapshot of the page
 *          the round before  that was full
 *
 * Rounds go on behind the backlog, each 100 ms, and between them the relay works on the backlog. So
 * a small change waits for a round and BACKLOG_MS, not for a bulk change that came before it. Each
 * backlog keeps its own place; several are worked off in the order in which they came.
 *
 * (Dropping all of Redis for a large change would be one command. But the products that it does not
 * concern would be dropped with it, and an import by night is no reason to empty the cache of
 * the day's best sellers. Nor is there a need: 233,000 movements take some two seconds.)
 *
 * A relay that takes the lock, or finds another generation of Redis, cannot know what was missed.
 * It takes the movements of the last two lifetimes of an entry for a backlog, at most a million of
 * them. */
#ifndef FASTSTOCK_WRITE_SVC_RELAY_H
#define FASTSTOCK_WRITE_SVC_RELAY_H

#include "common/products/cache.h"
#include "common/stores/pg.h"

#include <stdint.h>

struct relay;

/* Starts the thread. `direct` must be one connection straight to PostgreSQL, of the relay's alone;
 * both are borrowed. `ttl_ms` is the lifetime of an entry in Redis. */
struct relay *relay_create(struct pg_store *direct, struct product_cache *cache, int64_t ttl_ms);
void relay_destroy(struct relay *relay); /* NULL is fine */

#endif
