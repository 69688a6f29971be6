/* Products by their SKU.
 *
 * A table in memory remembers which product was last seen with a SKU. It is a *hint*, and need not
 * be right: the product that it names is loaded as any other (products_read.h), and tells by its
 * own SKU whether it is the one. That is as fresh as a read by id, because a product's SKU never
 * changes, and of the products that are there at most one has it. So nothing has to keep the table
 * up to date, and hints may be overwritten at any time.
 *
 *      SKU --> hint --> product --present, with this SKU--> answered, without PostgreSQL
 *               |          '-- deleted, or another SKU --.
 *               '-- none ------------------------------> PostgreSQL: which product has this SKU?
 *
 * One statement asks for all SKUs of a request that the hints did not answer. Only PostgreSQL, and
 * never the table, says that no product has a SKU; so a product is found as soon as its creation is
 * acknowledged.
 *
 * (Following the ledger, as the catalogue does, would cost the text of each SKU in memory, and
 * would still have to ask PostgreSQL for a SKU that came a moment ago.)
 *
 * The table has a fixed number of places of 8 bytes, of which memory holds those that were used.
 * Two SKUs that share a place drive each other out, and cost a question to PostgreSQL each time.
 *
 * All functions are thread-safe. */
#ifndef FASTSTOCK_READ_SVC_SKUS_H
#define FASTSTOCK_READ_SVC_SKUS_H

#include "read-svc/flights.h"
#include "read-svc/products_read.h"
#include "read-svc/sku_list.h"

#include "common/base/status.h"
#include "common/stores/pg.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct skus;

/* Both are borrowed; `database` must be the primary. */
struct skus *skus_create(struct products_read *read, struct pg_store *database);
void skus_destroy(struct skus *skus); /* NULL is fine */

/* Loads the products of `count` <= SKU_LIST_MAX different SKUs, as a request wishes
 * (products_read.h), the i-th into items[i]; an item
 * without a product: no product has the SKU. `ret_asked` tells whether PostgreSQL was asked for the
 * SKUs. On success the caller releases the products. */
enum status skus_load(struct skus *skus, const struct read_wish *wish, const char *const *names,
                      size_t count, int64_t deadline_us, struct flights_item *ret_items,
                      bool *ret_asked);

#endif
