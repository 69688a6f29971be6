/* The inventory: what a stock change means. A change is one transaction in PostgreSQL, with its
 * movement in the ledger; once that is committed the new state is published to Redis. The first
 * decides; the second may fail, and correctness never rests on it. Thread-safe. */
#ifndef FASTSTOCK_WRITE_SVC_INVENTORY_H
#define FASTSTOCK_WRITE_SVC_INVENTORY_H

#include "write-svc/publisher.h"
#include "write-svc/stock_outcome.h"

#include "common/stores/pg.h"

#include <stdbool.h>
#include <stdint.h>

struct inventory;

struct stock_change {
    int64_t product_id;
    bool is_absolute; /* `amount` is the new stock; else what is added to it */
    int64_t amount;
    int64_t expected_version; /* 0: any */
    const char *reason;       /* NULL: none */
};

struct stock_result {
    enum stock_outcome outcome;
    int64_t stock; /* after the change, or that for which it was refused; 0 when not known, as is
                      the version */
    int64_t version;
    int64_t delta; /* 0 unless applied */
};

/* Both are borrowed and outlive the inventory. */
struct inventory *inventory_create(struct pg_store *database, struct publisher *publisher);
void inventory_destroy(struct inventory *inventory); /* NULL is fine */

/* Makes one change. Applied is durable. May take a second longer than the deadline, for publishing
 * what is committed. */
struct stock_result inventory_change(struct inventory *inventory, const struct stock_change *change,
                                     int64_t deadline_us);

#endif
