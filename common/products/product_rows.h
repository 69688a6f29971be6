/* How products are read from PostgreSQL: the columns, in one place, and what becomes of a row.
 *
 * A statement that reads products begins with a *mark*, a row of the same form with id 0: its time
 * is PostgreSQL's clock at the start of the transaction, so before the snapshot was taken; a number
 * and a text are the caller's to use. */
#ifndef FASTSTOCK_COMMON_PRODUCTS_PRODUCT_ROWS_H
#define FASTSTOCK_COMMON_PRODUCTS_PRODUCT_ROWS_H

#include "common/products/product.h"
#include "common/stores/pg.h"

#include <stdint.h>

#define PRODUCT_ROWS_MARK(number, text)                                                            \
    "SELECT 0::bigint AS id, (extract(epoch FROM now()) * 1000000)::bigint AS version, (" number   \
    ")::bigint AS stock,"                                                                          \
    " (" text ")::text AS name, NULL::text AS price, 0::bigint AS created_us,"                     \
    " 0::bigint AS updated_us, 0 AS deleted"

#define PRODUCT_ROWS_SELECT                                                                        \
    "SELECT id, version, stock, name, price::text,"                                                \
    " (extract(epoch FROM created_at) * 1000000)::bigint,"                                         \
    " (extract(epoch FROM updated_at) * 1000000)::bigint,"                                         \
    " (deleted_at IS NOT NULL)::int FROM products"

/* Of the mark, which is row 0. */
int64_t product_rows_read_us(const struct pg_result *result);
int64_t product_rows_number(const struct pg_result *result);
const char *product_rows_text(const struct pg_result *result);

/* Of any other row. */
int64_t product_rows_id(const struct pg_result *result, int row);
struct product *product_rows_take(const struct pg_result *result,
                                  int row); /* a reference of the caller's */

#endif
