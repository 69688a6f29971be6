/* An SKU: the name that a product has outside of FastStock. */
#ifndef FASTSTOCK_COMMON_PRODUCTS_SKU_H
#define FASTSTOCK_COMMON_PRODUCTS_SKU_H

#include <stdbool.h>
#include <stddef.h>

#define SKU_LENGTH_MAX 64
#define SKU_EXPECTED                                                                               \
    "expected 1 to 64 printable ASCII characters, none of them a comma, and no blank at either end"

/* Can it be an SKU? That is what the column takes (products_sku_is_shown in sql/migrations/0010): a
 * comma stands between SKUs in lists, and a blank at an end is not seen. Pure function. */
bool sku_is_valid(const char *text, size_t len);

#endif
