/* Tells Redis what was committed, right after the commit and before the answer. It may fail: the
 * relay makes sure that readers see the change all the same, a moment later (relay.h). Thread-safe.
 *
 *     publisher_begin(publisher, deadline_us, &generation);
 *     ...a transaction changes products...
 *     publisher_publish(publisher, products, count, &generation); */
#ifndef FASTSTOCK_WRITE_SVC_PUBLISHER_H
#define FASTSTOCK_WRITE_SVC_PUBLISHER_H

#include "common/products/cache.h"

#include <stddef.h>
#include <stdint.h>

struct publisher;

/* `cache` is borrowed and outlives it; NULL when there is no Redis. */
struct publisher *publisher_create(struct product_cache *cache);
void publisher_destroy(struct publisher *publisher); /* NULL is fine */

/* The generation of Redis before the transaction. A Redis that was emptied since may have lost a
 * newer state, so a publication must know which Redis it is meant for. */
void publisher_begin(struct publisher *publisher, int64_t deadline_us,
                     struct generation *ret_generation);

/* Publishes up to PRODUCT_CACHE_BATCH_MAX committed states; takes a second at most. NULL stands for
 * a product that cannot be shown, which counts as an error. */
void publisher_publish(struct publisher *publisher, struct product *const *products, size_t count,
                       const struct generation *generation);

/* Takes out of Redis what is older than these committed versions, and puts nothing there; takes a
 * second at most for each PRODUCT_CACHE_DROP_MAX. It holds for any generation of Redis. */
void publisher_forget(struct publisher *publisher, const struct product_version *versions,
                      size_t count);

/* Open while Redis answers and publications fail: as BREAKER_OPEN, for readiness. `publisher` is
 * the struct publisher. (While Redis is away its own state says so.) */
enum breaker_state publisher_state(void *publisher);

#endif
