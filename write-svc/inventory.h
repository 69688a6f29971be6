/* The inventory: changes of stock. A change is one transaction in PostgreSQL, with its movement in
 * the ledger; once that is committed the new state is published to Redis. The first decides; the
 * second may fail and is never what correctness rests on. Thread-safe. */
#ifndef FASTSTOCK_WRITE_SVC_INVENTORY_H
#define FASTSTOCK_WRITE_SVC_INVENTORY_H

#include "common/base/status.h"
#include "common/products/cache.h"
#include "common/stores/pg.h"

#include <stdbool.h>
#include <stdint.h>

struct inventory;

enum stock_outcome {
    STOCK_APPLIED,
    STOCK_NOT_FOUND,
    STOCK_INSUFFICIENT,     /* it would fall below zero */
    STOCK_VERSION_MISMATCH, /* not at expected_version */
    STOCK_OUT_OF_RANGE,     /* it would exceed PARSE_JSON_INT_MAX */
    STOCK_LOCKED, /* somebody else holds the product for long (a lock_timeout); nothing is known of
                     it */
};

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

/* Both are borrowed and outlive the inventory; `cache` NULL: no Redis. */
struct inventory *inventory_create(struct pg_store *database, struct product_cache *cache);
void inventory_destroy(struct inventory *inventory); /* NULL is fine */

/* STATUS_OK: durable, or refused, see ret_result, which is set then only. STATUS_UNAVAILABLE: not
 * done. STATUS_TIMEOUT and STATUS_BROKEN: nobody knows. STATUS_FAILED: not done, and logged. May
 * take a second longer than the deadline: for publishing what is committed. */
enum status inventory_change(struct inventory *inventory, const struct stock_change *change,
                             int64_t deadline_us, struct stock_result *ret_result);

#endif
