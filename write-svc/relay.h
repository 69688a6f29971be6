/* The relay: repairs Redis. A write publishes what it committed itself (inventory.h), but may fail
 * to: Redis was away or slow, or the process died in between. The relay reads from the ledger which
 * products changed and puts their states into Redis by the same set-if-newer, so that nothing
 * committed stays unpublished for longer than a round once Redis is there.
 *
 * Every write-svc has one; a session advisory lock over the direct connection lets one of them
 * work. A round reads the movements that the snapshot of the round before did not see (ledger.h).
 * Only when all of a round is in Redis does the next one begin at its snapshot. Whoever takes the
 * lock, or finds another Redis than before, begins as far back as anything in Redis may have been
 * put: two lifetimes of an entry ago, at most 100,000 movements. */
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
