#include "write-svc/handlers.h"

#include "common/base/json.h"
#include "common/base/parse.h"
#include "common/http/api_paths.h"
#include "common/service/ops.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define REASON_CHARACTERS_MAX 200

/* --- what every write checks ------------------------------------------------------------------ */

static bool check_token(const struct http_request *request, struct http_response *response,
                        struct auth *auth)
{
    if (auth_allows(auth, http_header(request, "Authorization"))) {
        return true;
    }
    http_problem(request, response, HTTP_UNAUTHORIZED,
                 "expected 'Authorization: Bearer' with a known token", NULL);
    http_add_header(response, "WWW-Authenticate", "Bearer");
    return false;
}

/* application/json, with or without parameters */
static bool check_content_type(const struct http_request *request, struct http_response *response)
{
    static const char json[] = "application/json";
    const char *type = http_header(request, "Content-Type");

    if (type != NULL && strncasecmp(type, json, strlen(json)) == 0 &&
        strchr("; \t", type[strlen(json)]) != NULL) {
        return true;
    }
    http_problem(request, response, HTTP_UNSUPPORTED_MEDIA_TYPE,
                 "expected Content-Type: application/json", NULL);
    return false;
}

static bool read_json(const struct http_request *request, struct http_response *response,
                      struct json_field *fields)
{
    struct json_problem problem;

    if (http_header(request, "Content-Length") == NULL) {
        http_problem(request, response, HTTP_LENGTH_REQUIRED,
                     "expected a body and its Content-Length", NULL);
        return false;
    }
    if (!check_content_type(request, response)) {
        return false;
    }
    if (!json_read_object(request->body, request->body_len, fields, &problem)) {
        http_bad_field(request, response, problem.field[0] == '\0' ? "body" : problem.field,
                       problem.detail);
        return false;
    }
    return true;
}

static void refuse_status(const struct http_request *request, struct http_response *response,
                          enum status status)
{
    const char *detail = "PostgreSQL did not confirm the change: it may or may not have been made";

    if (status == STATUS_UNAVAILABLE) {
        detail = "PostgreSQL is away, or too busy; nothing was changed";
    } else if (status == STATUS_FAILED) {
        detail = "PostgreSQL refused the change; nothing was changed";
    }
    http_problem(request, response, HTTP_UNAVAILABLE, detail, NULL);
}

/* --- update-stock ----------------------------------------------------------------------------- */

enum { FIELD_STOCK, FIELD_DELTA, FIELD_REASON, FIELDS };

/* The change that the path, If-Match and the body ask for; the reason stays in `fields`. */
static bool read_change(const struct http_request *request, struct http_response *response,
                        struct json_field *fields, struct stock_change *change)
{
    const char *if_match = http_header(request, "If-Match");

    if (!parse_id(request->params[0].start, request->params[0].len, &change->product_id)) {
        http_bad_field(request, response, "id",
                       "expected a product id, a whole number from 1 to 9223372036854775807");
        return false;
    }
    if (if_match != NULL) {
        switch (http_header_count(request, "If-Match") > 1
                    ? ETAG_INVALID
                    : parse_if_match(if_match, &change->expected_version)) {
        case ETAG_INVALID:
            http_bad_field(request, response, "If-Match",
                           "expected one entity tag, e.g. \"7\", or *");
            return false;
        case ETAG_NONE:
            change->expected_version = INT64_MAX; /* a tag no version of ours has */
            break;
        default:
            break;
        }
    }
    if (!read_json(request, response, fields)) {
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

static void answer_refused(const struct http_request *request, struct http_response *response,
                           const struct stock_result *result)
{
    char members[96];

    snprintf(members, sizeof(members), ",\"stock\":%" PRId64 ",\"version\":%" PRId64, result->stock,
             result->version);
    switch (result->outcome) {
    case STOCK_NOT_FOUND:
        http_problem(request, response, HTTP_NOT_FOUND, "no such product", NULL);
        break;
    case STOCK_INSUFFICIENT:
        http_problem(request, response, HTTP_INSUFFICIENT_STOCK, "the stock would fall below zero",
                     members);
        break;
    case STOCK_VERSION_MISMATCH:
        http_problem(request, response, HTTP_PRECONDITION_FAILED,
                     "the product is not at the version of If-Match", members);
        break;
    case STOCK_LOCKED:
        http_problem(request, response, HTTP_UNAVAILABLE,
                     "another change of this product takes long; nothing was changed", NULL);
        break;
    default:
        http_problem(request, response, HTTP_OUT_OF_RANGE,
                     "the stock would exceed 9007199254740991", members);
        break;
    }
}

static void answer_applied(struct http_response *response, int64_t product_id,
                           const struct stock_result *result)
{
    char etag[32];

    strbuf_addf(http_start_json(response, 200),
                "{\"id\":%" PRId64 ",\"stock\":%" PRId64 ",\"version\":%" PRId64
                ",\"delta\":%" PRId64 "}",
                product_id, result->stock, result->version, result->delta);
    snprintf(etag, sizeof(etag), "\"%" PRId64 "\"", result->version);
    http_add_header(response, "ETag", etag);
    http_add_header(response, "Cache-Control", "no-store");
}

static void handle_update_stock(const struct http_request *request, struct http_response *response,
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
                          .max = REASON_CHARACTERS_MAX},
        [FIELDS] = {.name = NULL},
    };
    struct stock_change change = {.expected_version = 0};
    struct stock_result result;

    if (!check_token(request, response, handlers->auth)) {
        return;
    }
    if (read_change(request, response, fields, &change)) {
        enum status status =
            inventory_change(handlers->inventory, &change, request->deadline_us, &result);

        if (status != STATUS_OK) {
            refuse_status(request, response, status);
        } else if (result.outcome == STOCK_APPLIED) {
            answer_applied(response, change.product_id, &result);
        } else {
            answer_refused(request, response, &result);
        }
    }
    json_fields_finish(fields);
}

const struct http_route handlers_routes[] = {
    {"POST", API_UPDATE_STOCK, handle_update_stock},
    {"GET", "/health", ops_health},
    {"GET", "/metrics", ops_metrics},
    {NULL, NULL, NULL},
};
