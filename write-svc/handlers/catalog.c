#include "write-svc/handlers/catalog.h"

#include "write-svc/handlers/answers.h"
#include "write-svc/handlers/checks.h"
#include "write-svc/handlers/handlers.h"

#include "common/base/json.h"
#include "common/base/parse.h"
#include "common/base/strbuf.h"
#include "common/http/problem.h"
#include "common/products/api.h"
#include "common/products/sku.h"

#include <inttypes.h>
#include <string.h>

#define PRICE_MAX INT64_C(999999999999) /* in hundredths */
#define NAME_CHARACTERS_MAX 200

const struct json_field catalog_fields[CATALOG_FIELDS + 1] = {
    [CATALOG_NAME] = {.name = "name",
                      .type = JSON_FIELD_STRING,
                      .min = 1,
                      .max = NAME_CHARACTERS_MAX,
                      .is_required = true},
    [CATALOG_PRICE] = {.name = "price",
                       .type = JSON_FIELD_MONEY,
                       .min = 0,
                       .max = PRICE_MAX,
                       .is_required = true},
    [CATALOG_STOCK] = {.name = "stock",
                       .type = JSON_FIELD_INT,
                       .min = 0,
                       .max = PARSE_JSON_INT_MAX,
                       .is_required = true},
    [CATALOG_SKU] = {.name = "sku",
                     .type = JSON_FIELD_STRING,
                     .min = 1,
                     .max = SKU_LENGTH_MAX,
                     .is_nullable = true},
    [CATALOG_FIELDS] = {.name = NULL},
};

bool catalog_has_valid_sku(const struct json_field *fields)
{
    const char *sku = fields[CATALOG_SKU].string;

    return sku == NULL || sku_is_valid(sku, strlen(sku));
}

/* The fields of a product as JSON, as far as they are there: what write_batch takes. */
static void add_details(struct strbuf *details, const struct json_field *fields)
{
    strbuf_addc(details, '{');
    for (const struct json_field *field = fields; field->name != NULL; field++) {
        if (!field->present) {
            continue;
        }
        strbuf_addf(details, "%s\"%s\":", details->len == 1 ? "" : ",", field->name);
        if (field->type == JSON_FIELD_MONEY) {
            strbuf_addf(details, "%" PRId64 ".%02" PRId64, field->integer / 100,
                        field->integer % 100);
        } else if (field->type == JSON_FIELD_INT) {
            strbuf_add_int(details, field->integer);
        } else {
            json_add_string(details, field->string);
        }
    }
    strbuf_addc(details, '}');
}

/* --- create ----------------------------------------------------------------------------------- */

static bool read_new_product(const struct http_request *request, struct http_response *response,
                             struct json_field *fields)
{
    if (!checks_read_json(request, response, fields)) {
        return false;
    }
    if (!catalog_has_valid_sku(fields)) {
        http_bad_field(request, response, "sku", SKU_EXPECTED);
        return false;
    }
    return true;
}

void handle_create_product(const struct http_request *request, struct http_response *response,
                           void *context)
{
    struct handlers *handlers = context;
    struct write_command command = {.kind = WRITE_CREATE};
    struct json_field fields[CATALOG_FIELDS + 1];
    struct strbuf details = STRBUF_EMPTY;

    if (!checks_token(request, response, handlers->auth)) {
        return;
    }
    memcpy(fields, catalog_fields, sizeof(fields));
    if (read_new_product(request, response, fields)) {
        add_details(&details, fields);
        command.details = strbuf_text(&details);
        answers_create(request, response, handlers, &command, API_PRODUCTS);
    }
    strbuf_finish(&details);
    json_fields_finish(fields);
}

/* --- edit and delete -------------------------------------------------------------------------- */

enum { EDITED_NAME, EDITED_PRICE, EDITED };

/* Which product, and at which version. */
static bool read_target(const struct http_request *request, struct http_response *response,
                        struct write_item *item)
{
    return checks_read_id(request, response, "a product id", &item->product_id) &&
           checks_read_if_match(request, response, &item->expected_version);
}

/* What is to be another; each may be left out, but not both. */
static bool read_edit(const struct http_request *request, struct http_response *response,
                      struct json_field fields[EDITED + 1])
{
    fields[EDITED_NAME] = catalog_fields[CATALOG_NAME];
    fields[EDITED_NAME].is_required = false;
    fields[EDITED_PRICE] = catalog_fields[CATALOG_PRICE];
    fields[EDITED_PRICE].is_required = false;
    if (!checks_read_json(request, response, fields)) {
        return false;
    }
    if (!fields[EDITED_NAME].present && !fields[EDITED_PRICE].present) {
        http_bad_field(request, response, "name", "expected name, price or both");
        return false;
    }
    return true;
}

void handle_edit_product(const struct http_request *request, struct http_response *response,
                         void *context)
{
    struct handlers *handlers = context;
    struct write_item item = {.product_id = 0};
    struct write_command command = {.kind = WRITE_EDIT, .items = &item, .item_count = 1};
    struct json_field fields[EDITED + 1] = {{.name = NULL}};
    struct strbuf details = STRBUF_EMPTY;

    if (!checks_token(request, response, handlers->auth)) {
        return;
    }
    if (read_target(request, response, &item) && read_edit(request, response, fields)) {
        add_details(&details, fields);
        command.details = strbuf_text(&details);
        answers_write(request, response, handlers, &command, 200);
    }
    strbuf_finish(&details);
    json_fields_finish(fields);
}

void handle_delete_product(const struct http_request *request, struct http_response *response,
                           void *context)
{
    struct handlers *handlers = context;
    struct write_item item = {.product_id = 0};
    struct write_command command = {.kind = WRITE_DELETE, .items = &item, .item_count = 1};

    if (checks_token(request, response, handlers->auth) && read_target(request, response, &item)) {
        answers_write(request, response, handlers, &command, 204);
    }
}
