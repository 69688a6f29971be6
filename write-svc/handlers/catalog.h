/* The fields of a product, in requests that create, edit or import one. */
#ifndef FASTSTOCK_WRITE_SVC_HANDLERS_CATALOG_H
#define FASTSTOCK_WRITE_SVC_HANDLERS_CATALOG_H

#include "common/base/json.h"

#include <stdbool.h>

enum { CATALOG_NAME, CATALOG_PRICE, CATALOG_STOCK, CATALOG_SKU, CATALOG_FIELDS };

/* To be copied, with their end. Their ranges are the constraints of the table. */
extern const struct json_field catalog_fields[CATALOG_FIELDS + 1];

/* Has a product that was read no SKU, or one that may be? */
bool catalog_has_valid_sku(const struct json_field *fields);

#endif
