#include "write-svc/handlers/answers.h"
#include "write-svc/handlers/checks.h"
#include "write-svc/handlers/handlers.h"

#include "common/base/json.h"
#include "common/base/parse.h"
#include "common/http/problem.h"

/* --- update-stock ----------------------------------------------------------------------------- */

enum { FIELD_STOCK, FIELD_DELTA, FIELD_REASON, FIELDS };

/* The change that the path, If-Match and the body ask for; the reason stays in `fields`. */
static bool read_change(const struct http_request *request, struct http_response *response,
                        struct json_field *fields, struct write_item *change)
{
    if (!checks_read_id(request, response, "a product id", &change->product_id) ||
        !checks_read_if_match(request, response, &change->expected_version) ||
        !checks_read_json(request, response, fields)) {
        return false;
    }
    if (fields[FIELD_STOCK].present == fields[FIELD_DELTA].present) {
        http_bad_field(request, response, "stock", "expected either stock or delta");
        return false;
    }
    change->is_absolute = fields[FIELD_STOCK].present;
    change->amount =
        change->is_absolute ? fields[FIELD_STOCK].integer : fields[FIELD_DELTA].integer;
    change->reason = fields[FIELD_REASON].string;
    return true;
}

void handle_update_stock(const struct http_request *request, struct http_response *response,
                         void *context)
{
    struct handlers *handlers = context;
    struct json_field fields[] = {
        [FIELD_STOCK] = {.name = "stock",
                         .type = JSON_FIELD_INT,
                         .min = 0,
                         .max = PARSE_JSON_INT_MAX},
        [FIELD_DELTA] = {.name = "delta",
                         .type = JSON_FIELD_INT,
                         .min = -PARSE_JSON_INT_MAX,
                         .max = PARSE_JSON_INT_MAX},
        [FIELD_REASON] = {.name = "reason",
                          .type = JSON_FIELD_STRING,
                          .min = 0,
                          .max = CHECKS_REASON_LENGTH_MAX},
        [FIELDS] = {.name = NULL},
    };
    struct write_item change = {.expected_version = 0};
    struct write_command command = {.kind = WRITE_CHANGE, .items = &change, .item_count = 1};

    if (!checks_token(request, response, handlers->auth)) {
        return;
    }
    if (read_change(request, response, fields, &change)) {
        answers_write(request, response, handlers, &command, 200);
    }
    json_fields_finish(fields);
}
