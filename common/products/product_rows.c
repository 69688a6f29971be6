#include "common/products/product_rows.h"

enum {
    COLUMN_ID,
    COLUMN_VERSION,
    COLUMN_STOCK,
    COLUMN_NAME,
    COLUMN_PRICE,
    COLUMN_CREATED,
    COLUMN_UPDATED,
    COLUMN_DELETED
};

int64_t product_rows_read_us(const struct pg_result *result)
{
    return pg_int(result, 0, COLUMN_VERSION);
}

int64_t product_rows_number(const struct pg_result *result)
{
    return pg_int(result, 0, COLUMN_STOCK);
}

const char *product_rows_text(const struct pg_result *result)
{
    return pg_text(result, 0, COLUMN_NAME);
}

int64_t product_rows_id(const struct pg_result *result, int row)
{
    return pg_int(result, row, COLUMN_ID);
}

struct product *product_rows_take(const struct pg_result *result, int row)
{
    int64_t read_us = product_rows_read_us(result);

    if (pg_int(result, row, COLUMN_DELETED) != 0) {
        return product_deleted(pg_int(result, row, COLUMN_ID), pg_int(result, row, COLUMN_VERSION),
                               read_us);
    }
    return product_present(&(struct product_row){.id = pg_int(result, row, COLUMN_ID),
                                                 .version = pg_int(result, row, COLUMN_VERSION),
                                                 .stock = pg_int(result, row, COLUMN_STOCK),
                                                 .name = pg_text(result, row, COLUMN_NAME),
                                                 .price = pg_text(result, row, COLUMN_PRICE),
                                                 .created_us = pg_int(result, row, COLUMN_CREATED),
                                                 .updated_us = pg_int(result, row, COLUMN_UPDATED)},
                           read_us);
}
