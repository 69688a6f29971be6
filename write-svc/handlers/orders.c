#include "write-svc/handlers/answers.h"
#include "write-svc/handlers/checks.h"
#include "write-svc/handlers/handlers.h"
#include "write-svc/handlers/items.h"

#include "common/http/problem.h"
#include "common/products/api.h"

/* --- create ----------------------------------------------------------------------------------- */

enum { FIELD_ITEMS, FIELD_PRODUCT, FIELD_QTY };

/* An order of one product may be told without a list. */
static bool take_one(const struct http_request *request, struct http_response *response,
                     const struct json_field *fields, struct write_item *ret_item)
{
    if (!fields[FIELD_PRODUCT].present || !fields[FIELD_QTY].present) {
        http_bad_field(request, response, fields[FIELD_PRODUCT].present ? "qty" : "productId",
                       "expected productId and qty together");
        return false;
    }
    *ret_item = (struct write_item){.product_id = fields[FIELD_PRODUCT].integer,
                                    .amount = fields[FIELD_QTY].integer};
    return true;
}

static bool take_items(const struct http_request *request, struct http_response *response,
                       const struct json_field *fields, struct write_item ret_items[ITEMS_MAX],
                       size_t *ret_count)
{
    bool is_one = fields[FIELD_PRODUCT].present || fields[FIELD_QTY].present;
    bool ok;

    if (fields[FIELD_ITEMS].present == is_one) {
        http_bad_field(request, response, "items", "expected either items, or productId and qty");
        return false;
    }
    ok = is_one ? take_one(request, response, fields, &ret_items[0])
                : items_take(request, response, &fields[FIELD_ITEMS], ret_items);
    if (ok) {
        *ret_count = is_one ? 1 : fields[FIELD_ITEMS].item_count;
    }
    return ok;
}

void handle_create_order(const struct http_request *request, struct http_response *response,
                         void *context)
{
    struct handlers *handlers = context;
    struct json_field fields[] = {
        [FIELD_ITEMS] = ITEMS_FIELD,
        [FIELD_PRODUCT] = ITEMS_PRODUCT_FIELD,
        [FIELD_QTY] = ITEMS_QTY_FIELD,
        {.name = NULL},
    };
    struct write_item items[ITEMS_MAX];
    struct write_command command = {.kind = WRITE_ORDER, .items = items};

    if (!checks_token(request, response, handlers->auth)) {
        return;
    }
    if (checks_read_json(request, response, fields) &&
        take_items(request, response, fields, items, &command.item_count)) {
        answers_create(request, response, handlers, &command, API_ORDERS);
    }
    json_fields_finish(fields);
}

/* --- cancel ----------------------------------------------------------------------------------- */

void handle_cancel_order(const struct http_request *request, struct http_response *response,
                         void *context)
{
    struct handlers *handlers = context;
    struct write_command command = {.kind = WRITE_CANCEL};

    if (checks_token(request, response, handlers->auth) &&
        checks_read_id(request, response, "an order id", &command.subject) &&
        checks_read_nothing(request, response)) {
        answers_write(request, response, handlers, &command, 200);
    }
}
