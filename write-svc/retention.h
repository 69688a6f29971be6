/* Retention: removes movements of the ledger that are older than `ledger.retention_days`, because a
 * ledger grows with each change. Off by default.
 *
 * The last movement of a product stays, and a floor tells what the first one that stays follows
 * (sql/migrations/0017), so the ledger goes on being checked. A client of the feed hears when
 * movements are removed that it had not read. The relay never needs what goes: it reads no
 * movements older than two lifetimes of an entry, and those are never removed.
 *
 * Every write-svc has a thread for it; PostgreSQL lets one of them work at a time. It removes
 * STEP_MAX movements at most a step, and pauses between steps, so that no request waits for it; and
 * looks again each minute. */
#ifndef FASTSTOCK_WRITE_SVC_RETENTION_H
#define FASTSTOCK_WRITE_SVC_RETENTION_H

#include "common/stores/pg.h"

#include <stdint.h>

struct retention;

/* NULL when `days` is 0; else starts the thread. `database` is borrowed, and outlives it.
 * `entry_ttl_ms` is the lifetime of an entry in Redis. */
struct retention *retention_create(struct pg_store *database, int64_t days, int64_t entry_ttl_ms);
void retention_destroy(struct retention *retention); /* NULL is fine */

#endif
