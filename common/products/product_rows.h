/* How a product is read from PostgreSQL: the columns, in one place, and how a row becomes a
 * product.
 *
 * A statement selects PRODUCT_ROWS_COLUMNS of a FROM item that it calls `product` and that has the
 * columns of the table products: the table, or a function that returns such rows. Columns of its
 * own follow, from PRODUCT_ROWS_NEXT on. A row that has no product holds NULLs instead.
 *
 * A statement that has something to tell even when it finds no product joins its products to a
 * *mark*, because such a join gives at least one row, and the mark's columns stand on each:
 *
 *     "SELECT " PRODUCT_ROWS_COLUMNS ", mark.is_primary"
 *     " FROM (SELECT NOT pg_is_in_recovery() AS is_primary) AS mark"
 *     " LEFT JOIN products AS product ON product.id = ANY($1::bigint[])" */
#ifndef FASTSTOCK_COMMON_PRODUCTS_PRODUCT_ROWS_H
#define FASTSTOCK_COMMON_PRODUCTS_PRODUCT_ROWS_H

#include "common/products/product.h"
#include "common/stores/pg.h"

#include <stdbool.h>
#include <stdint.h>

/* No expression can fail, because one bad row would then take all others of its statement with it.
 * So times come as decimal seconds, and product_rows_take judges them: an infinite one is the text
 * "Infinity", and would fail as a whole number. (0007_rows_that_can_be_shown.sql lets none in that
 * cannot be shown, but does not mend those that were there.) Judging them in SQL costs more than
 * reading the row, because PostgreSQL then plans five more expressions for each statement that is
 * not prepared: 10,400 against 16,100 products a second.
 *
 * The last two columns tell of when the row was read. One is PostgreSQL's clock at the start of the
 * transaction, so before the statement's snapshot was taken. The other is the name of the WAL file
 * that is written to, which begins with the timeline; a standby writes none. (The sub-select makes
 * PostgreSQL work it out once a statement.) */
/* clang-format off */
#define PRODUCT_ROWS_TIMELINE                                                                      \
    "(SELECT CASE WHEN pg_is_in_recovery() THEN ''"                                                \
    " ELSE pg_walfile_name(pg_current_wal_insert_lsn()) END)"
#define PRODUCT_ROWS_COLUMNS                                                                       \
    "product.id, product.sku, product.version, product.stock, product.reserved, product.name,"     \
    " product.price,"                                                                              \
    " extract(epoch FROM product.created_at), extract(epoch FROM product.updated_at),"             \
    " product.deleted_at IS NOT NULL, extract(epoch FROM now()), " PRODUCT_ROWS_TIMELINE
/* clang-format on */

/* The column behind these. */
#define PRODUCT_ROWS_NEXT 12

/* How many rows hold products, in a result whose products are joined to a mark. */
int product_rows_count(const struct pg_result *result);

/* Does this row hold a product? */
bool product_rows_has(const struct pg_result *result, int row);

/* The functions below are for rows that hold one. */
int64_t product_rows_id(const struct pg_result *result, int row);
int64_t product_rows_version(const struct pg_result *result, int row);
int64_t product_rows_stock(const struct pg_result *result, int row);

/* The product of a row, as a reference of the caller's; NULL when it holds a time that cannot be
 * shown. `read` is when it counts as read: product_rows_read tells, once for all rows. */
struct product *product_rows_take(const struct pg_result *result, int row,
                                  struct product_read read);

/* When the statement was run, and where; the result must have a row, with or without a product. */
struct product_read product_rows_read(const struct pg_result *result);

/* The timeline that a column made by PRODUCT_ROWS_TIMELINE tells. */
uint32_t product_rows_timeline(const char *wal_file_name);

#endif
