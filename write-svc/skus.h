/* Which product has an SKU? Thread-safe. */
#ifndef FASTSTOCK_WRITE_SVC_SKUS_H
#define FASTSTOCK_WRITE_SVC_SKUS_H

#include "common/base/status.h"
#include "common/stores/pg.h"

#include <stddef.h>
#include <stdint.h>

/* Sets the ids of the products that have these SKUs now, in their order; 0 for an SKU that none
 * has. The texts must be ASCII, because a database may have any encoding. Takes one round trip. A
 * failure is logged here; the ids are then not set. */
enum status skus_find(struct pg_store *database, const char *const *skus, size_t count,
                      int64_t deadline_us, int64_t *ret_ids);

#endif
