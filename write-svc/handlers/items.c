#include "write-svc/handlers/items.h"

#include "common/http/problem.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

enum { ITEM_PRODUCT, ITEM_QTY };

const struct json_field items_fields[] = {
    [ITEM_PRODUCT] = {.name = "productId",
                      .type = JSON_FIELD_INT,
                      .min = 1,
                      .max = INT64_MAX,
                      .is_required = true},
    [ITEM_QTY] = {.name = "qty",
                  .type = JSON_FIELD_INT,
                  .min = 1,
                  .max = PARSE_JSON_INT_MAX,
                  .is_required = true},
    {.name = NULL},
};

static int by_product(const void *a, const void *b)
{
    int64_t one = ((const struct write_item *)a)->product_id;
    int64_t other = ((const struct write_item *)b)->product_id;

    return (one > other) - (one < other);
}

/* Names the second of two items that have this product. */
static void refuse_twice(const struct http_request *request, struct http_response *response,
                         const struct json_field *field, int64_t product_id)
{
    char name[64];
    size_t last = field->item_count - 1;

    while (json_item(field, last)[ITEM_PRODUCT].integer != product_id) {
        last--;
    }
    snprintf(name, sizeof(name), "items[%zu].productId", last);
    http_bad_field(request, response, name, "expected each product once");
}

bool items_take(const struct http_request *request, struct http_response *response,
                const struct json_field *field, struct write_item ret_items[ITEMS_MAX])
{
    assert(field->item_count <= ITEMS_MAX);
    for (size_t i = 0; i < field->item_count; i++) {
        const struct json_field *item = json_item(field, i);

        ret_items[i] = (struct write_item){.product_id = item[ITEM_PRODUCT].integer,
                                           .amount = item[ITEM_QTY].integer};
    }
    qsort(ret_items, field->item_count, sizeof(*ret_items), by_product);
    for (size_t i = 1; i < field->item_count; i++) {
        if (ret_items[i].product_id == ret_items[i - 1].product_id) {
            refuse_twice(request, response, field, ret_items[i].product_id);
            return false;
        }
    }
    return true;
}
