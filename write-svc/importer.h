/* Imports: many products created or set at a time, by import_products (sql/migrations/0012). A line
 * with an SKU that a product has sets its name, price and stock; any other creates a product. One
 * call is one transaction, unless some of its lines cannot be stored: then it is made in smaller
 * parts, so that such a line alone is refused.
 *
 * After the commit Redis forgets the older states of the products, "missing" among them. It is not
 * filled with the new ones, because most products of an import are asked for by nobody just now.
 *
 * Thread-safe. */
#ifndef FASTSTOCK_WRITE_SVC_IMPORTER_H
#define FASTSTOCK_WRITE_SVC_IMPORTER_H

#include "write-svc/publisher.h"

#include "common/stores/pg.h"

#include <stddef.h>
#include <stdint.h>

struct importer;

struct import_line {
    const char *sku; /* NULL: none */
    const char *name;
    int64_t price; /* in hundredths */
    int64_t stock;
};

enum import_status {
    IMPORT_CREATED,
    IMPORT_UPDATED,
    IMPORT_UNCHANGED,    /* it was like that already */
    IMPORT_OUT_OF_RANGE, /* the stock together with what is reserved exceeds PARSE_JSON_INT_MAX */
    IMPORT_LOCKED,       /* another transaction holds the product for long */
    IMPORT_UNSTORABLE,   /* a text has a character that the database's encoding lacks */
    IMPORT_FORBIDDEN,    /* a constraint of the database forbids it */
    IMPORT_STATUSES      /* how many there are */
};

struct import_result {
    enum import_status status;
    int64_t id; /* 0 unless created, updated or unchanged, as is the version */
    int64_t version;
};

enum import_end {
    IMPORT_DONE,
    IMPORT_UNAVAILABLE, /* PostgreSQL is away, or too busy */
    IMPORT_UNKNOWN,     /* some lines that have no SKU may have been made */
    IMPORT_REFUSED,     /* fails until an operator grants a right or migrates */
};

#define IMPORT_BATCH_MAX 1000

/* Both are borrowed and outlive it. */
struct importer *importer_create(struct pg_store *database, struct publisher *publisher);
void importer_destroy(struct importer *importer); /* NULL is fine */

/* Imports up to IMPORT_BATCH_MAX lines, in their order. *ret_done lines, from the first, are
 * committed or refused, and have their results; all of them with IMPORT_DONE. A batch whose lines
 * all have an SKU is simply made again when its connection broke: then lines that it had created
 * are "unchanged". Takes some seconds at most, but for lines that are held by other transactions.
 */
enum import_end importer_run(struct importer *importer, const struct import_line *lines,
                             size_t count, struct import_result *ret_results, size_t *ret_done);

#endif
