/* The items of an order or a reservation, as a body tells them. */
#ifndef FASTSTOCK_WRITE_SVC_HANDLERS_ITEMS_H
#define FASTSTOCK_WRITE_SVC_HANDLERS_ITEMS_H

#include "write-svc/command.h"

#include "common/base/json.h"
#include "common/base/parse.h"
#include "common/http/message.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ITEMS_MAX 100

/* Rows of a body's fields: the items, or a product and its quantity alone. */
/* clang-format off */
#define ITEMS_FIELD                                                                                \
    {.name = "items", .type = JSON_FIELD_OBJECTS, .min = 1, .max = ITEMS_MAX,                      \
     .item_fields = items_fields}
#define ITEMS_PRODUCT_FIELD                                                                        \
    {.name = "productId", .type = JSON_FIELD_INT, .min = 1, .max = INT64_MAX}
#define ITEMS_QTY_FIELD                                                                            \
    {.name = "qty", .type = JSON_FIELD_INT, .min = 1, .max = PARSE_JSON_INT_MAX}
/* clang-format on */

extern const struct json_field items_fields[];

/* Takes the items that were read, sorted by product, because the database lists them so too. On
 * false the response is a 400: a product is named twice. */
bool items_take(const struct http_request *request, struct http_response *response,
                const struct json_field *field, struct write_item ret_items[ITEMS_MAX]);

#endif
