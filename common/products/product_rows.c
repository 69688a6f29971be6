#include "common/products/product_rows.h"

#include "common/base/clock.h"
#include "common/base/parse.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define TIMELINE_DIGITS 8 /* of the name of a WAL file, in hexadecimal */

/* In the order of PRODUCT_ROWS_COLUMNS. */
enum {
    COLUMN_ID,
    COLUMN_SKU,
    COLUMN_VERSION,
    COLUMN_STOCK,
    COLUMN_RESERVED,
    COLUMN_NAME,
    COLUMN_PRICE,
    COLUMN_CREATED,
    COLUMN_UPDATED,
    COLUMN_DELETED,
    COLUMN_READ,
    COLUMN_TIMELINE,
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

/* False when the time cannot be shown. */
static bool take_time(const struct pg_result *result, int row, int column, int64_t *ret_us)
{
    int64_t time_us;

    if (!parse_seconds_us(pg_text(result, row, column), &time_us) ||
        time_us < CLOCK_SHOWN_FROM_US || time_us >= CLOCK_SHOWN_UNTIL_US) {
        return false;
    }
    *ret_us = time_us;
    return true;
}

uint32_t product_rows_timeline(const char *wal_file_name)
{
    char digits[TIMELINE_DIGITS + 1] = "";

    strncpy(digits, wal_file_name, TIMELINE_DIGITS);
    return (uint32_t)strtoul(digits, NULL, 16);
}

struct product_read product_rows_read(const struct pg_result *result)
{
    struct product_read read = {.timeline =
                                    product_rows_timeline(pg_text(result, 0, COLUMN_TIMELINE))};
    bool is_time = take_time(result, 0, COLUMN_READ, &read.us);

    assert(is_time); /* it is PostgreSQL's clock */
    (void)is_time;
    return read;
}

struct product *product_rows_take(const struct pg_result *result, int row, struct product_read read)
{
    struct product_row values = {.id = product_rows_id(result, row),
                                 .sku = pg_text(result, row, COLUMN_SKU),
                                 .version = product_rows_version(result, row),
                                 .stock = product_rows_stock(result, row),
                                 .reserved = pg_int(result, row, COLUMN_RESERVED),
                                 .name = pg_text(result, row, COLUMN_NAME),
                                 .price = pg_text(result, row, COLUMN_PRICE)};

    assert(product_rows_has(result, row));
    if (strcmp(pg_text(result, row, COLUMN_DELETED), "t") == 0) {
        return product_deleted(values.id, values.version, read);
    }
    if (!take_time(result, row, COLUMN_CREATED, &values.created_us) ||
        !take_time(result, row, COLUMN_UPDATED, &values.updated_us)) {
        return NULL;
    }
    return product_present(&values, read);
}
