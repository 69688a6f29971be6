/* The sweeper: ends by time.
 *
 * - A reservation that is neither confirmed nor released until its time is over expires, and its
 *   items are put back. The sweeper asks for those each SWEEP_MS and, after a call that found as
 *   many as it may take, at once again. So a reservation is over within a second of its time, also
 *   when nobody ever asks for it again.
 * - Answers that are kept for repeated requests are removed when they are older than
 *   `key_ttl_hours`, in small steps, each minute.
 * - So are the rows of lanes (lane.h) that no batch has used for a week.
 *
 * Every write-svc has a sweeper, and they need not agree: PostgreSQL lets one of them expire
 * reservations at a time (sql/migrations/0014), and it decides between expiry and a request that
 * confirms. A sweeper that dies between commit and publication leaves the rest to the relay. */
#ifndef FASTSTOCK_WRITE_SVC_SWEEPER_H
#define FASTSTOCK_WRITE_SVC_SWEEPER_H

#include "write-svc/publisher.h"

#include "common/stores/pg.h"

#include <stdint.h>

struct sweeper;

/* Starts the thread; both are borrowed, and outlive it. */
struct sweeper *sweeper_create(struct pg_store *database, struct publisher *publisher,
                               int64_t key_ttl_hours);
void sweeper_destroy(struct sweeper *sweeper); /* NULL is fine */

#endif
