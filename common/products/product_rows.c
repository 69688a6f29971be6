#include "common/products/product_rows.h"

#include <assert.h>

/* In the order of PRODUCT_ROWS_COLUMNS. */
enum {
    COLUMN_ID,
    COLUMN_VERSION,
    COLUMN_STOCK,
    COLUMN_NAME,
    COLUMN_PRICE,
    COLUMN_CREATED,
    COLUMN_UPDATED,
    COLUMN_DELETED,
    COLUMN_READ,
    COLUMNS
};

_Static_assert(COLUMNS == PRODUCT_ROWS_NEXT, "the columns of a statement follow these");

int product_rows_count(const struct pg_result *result)
{
    assert(pg_rows(result) > 0); /* a mark is there */
    return product_rows_has(result, 0) ? pg_rows(result) : 0;
}

bool product_rows_has(const struct pg_result *result, int row)
{
    return pg_text(result, row, COLUMN_ID) != NULL;
}

int64_t product_rows_id(const struct pg_result *result, int row)
{
    return pg_int(result, row, COLUMN_ID);
}

int64_t product_rows_version(const struct pg_result *result, int row)
{
    return pg_int(result, row, COLUMN_VERSION);
}

int64_t product_rows_stock(const struct pg_result *result, int row)
{
    return pg_int(result, row, COLUMN_STOCK);
}

int64_t product_rows_read_us(const struct pg_result *result)
{
    return pg_int(result, 0, COLUMN_READ);
}

static bool can_be_shown(const struct pg_result *result, int row)
{
    return pg_text(result, row, COLUMN_CREATED) != NULL &&
           pg_text(result, row, COLUMN_UPDATED) != NULL;
}

struct product *product_rows_take(const struct pg_result *result, int row)
{
    int64_t read_us = product_rows_read_us(result);

    assert(product_rows_has(result, row));
    if (pg_int(result, row, COLUMN_DELETED) != 0) {
        return product_deleted(product_rows_id(result, row), product_rows_version(result, row),
                               read_us);
    }
    if (!can_be_shown(result, row)) {
        return NULL;
    }
    return product_present(&(struct product_row){.id = product_rows_id(result, row),
                                                 .version = product_rows_version(result, row),
                                                 .stock = product_rows_stock(result, row),
                                                 .name = pg_text(result, row, COLUMN_NAME),
                                                 .price = pg_text(result, row, COLUMN_PRICE),
                                                 .created_us = pg_int(result, row, COLUMN_CREATED),
                                                 .updated_us = pg_int(result, row, COLUMN_UPDATED)},
                           read_us);
}
