#include "write-svc/handlers/checks.h"
#include "write-svc/handlers/handlers.h"

#include "common/base/json.h"
#include "common/base/parse.h"
#include "common/http/etag.h"
#include "common/http/problem.h"
#include "common/products/api.h"
#include "common/service/ops.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#define REASON_CHARACTERS_MAX 200

/* --- update-stock ----------------------------------------------------------------------------- */

enum { FIELD_STOCK, FIELD_DELTA, FIELD_REASON, FIELDS };

/* The change that the path, If-Match and the body ask for; the reason stays in `fields`. */
static bool read_change(const struct http_request *request, struct http_response *response,
                        struct json_field *fields, struct stock_change *change)
{
    if (!parse_id(request->params[0].start, request->params[0].len, &change->product_id)) {
        http_bad_field(request, response, "id",
                       "expected a product id, a whole number from 1 to 9223372036854775807");
        return false;
    }
    switch (http_if_match(request, 0, &change->expected_version)) {
    case ETAG_INVALID:
        http_bad_field(request, response, "If-Match",
                       "expected entity tags, e.g. \"7\" or \"7\", \"8\", or *");
        return false;
    case ETAG_NONE:
    case ETAG_FOUND:
        if (change->expected_version == 0) {
            change->expected_version = INT64_MAX; /* tags that no version of ours has */
        }
        break;
    case ETAG_ANY:
        break;
    }
    if (!checks_read_json(request, response, fields)) {
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

static const struct http_problem_type insufficient_stock = {409, "insufficient-stock",
                                                            "Insufficient stock"};
static const struct http_problem_type out_of_range = {409, "out-of-range", "Stock out of range"};
static const struct http_problem_type version_mismatch = {412, "precondition-failed",
                                                          "Precondition failed"};
static const struct http_problem_type refused_by_store = {500, "refused-by-store",
                                                          "Refused by a store"};

/* The state for which a change was refused, as members of the problem. */
static void refuse_with_stock(const struct http_request *request, struct http_response *response,
                              const struct stock_result *result,
                              const struct http_problem_type *problem, const char *detail)
{
    char members[96];

    snprintf(members, sizeof(members), ",\"stock\":%" PRId64 ",\"version\":%" PRId64, result->stock,
             result->version);
    http_problem_of(request, response, problem, detail, members);
}

static void answer_refused(const struct http_request *request, struct http_response *response,
                           const struct stock_result *result)
{
    switch (result->outcome) {
    case STOCK_NOT_FOUND:
        http_problem(request, response, HTTP_NOT_FOUND, "no such product", NULL);
        break;
    case STOCK_INSUFFICIENT:
        refuse_with_stock(request, response, result, &insufficient_stock,
                          "the stock would fall below zero");
        break;
    case STOCK_VERSION_MISMATCH:
        refuse_with_stock(request, response, result, &version_mismatch,
                          "the product is not at the version of If-Match");
        break;
    case STOCK_OUT_OF_RANGE:
        refuse_with_stock(request, response, result, &out_of_range,
                          "the stock would exceed 9007199254740991");
        break;
    case STOCK_UNKNOWN:
        http_problem(request, response, HTTP_UNAVAILABLE,
                     "PostgreSQL did not confirm the change: it may or may not have been made",
                     NULL);
        break;
    case STOCK_UNAVAILABLE:
        http_problem(request, response, HTTP_UNAVAILABLE,
                     "PostgreSQL is away, too busy, or refuses for now; nothing was changed", NULL);
        break;
    case STOCK_LOCKED:
        http_problem(request, response, HTTP_UNAVAILABLE,
                     "another change of this product takes long; nothing was changed", NULL);
        break;
    case STOCK_BAD_REASON:
        http_bad_field(request, response, "reason",
                       "the encoding of the database lacks a character of it");
        break;
    case STOCK_REFUSED:
        http_problem_of(
            request, response, &refused_by_store,
            "PostgreSQL refused the change, and will until an operator has looked at the "
            "log; nothing was changed",
            NULL);
        break;
    case STOCK_APPLIED:
    case STOCK_OUTCOMES:
        assert(false); /* no refusal */
    }
}

static void answer_applied(struct http_response *response, int64_t product_id,
                           const struct stock_result *result)
{
    strbuf_addf(http_start_json(response, 200),
                "{\"id\":%" PRId64 ",\"stock\":%" PRId64 ",\"version\":%" PRId64
                ",\"delta\":%" PRId64 "}",
                product_id, result->stock, result->version, result->delta);
    http_add_etag(response, result->version);
    http_add_header(response, "Cache-Control", "no-store");
}

/* Of several tags in If-Match one version is asked for at a time. A mismatch tells the product's
 * version: if that is in the list, it is asked for next. Versions only rise, so none is asked for
 * twice. */
static struct stock_result change_matching(struct handlers *handlers,
                                           const struct http_request *request,
                                           struct stock_change *change)
{
    for (;;) {
        struct stock_result result =
            inventory_change(handlers->inventory, change, request->deadline_us);

        if (result.outcome != STOCK_VERSION_MISMATCH ||
            result.version == change->expected_version ||
            http_if_match(request, result.version, NULL) != ETAG_FOUND) {
            return result;
        }
        change->expected_version = result.version;
    }
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

    if (!checks_token(request, response, handlers->auth)) {
        return;
    }
    if (read_change(request, response, fields, &change)) {
        struct stock_result result = change_matching(handlers, request, &change);

        if (result.outcome == STOCK_APPLIED) {
            answer_applied(response, change.product_id, &result);
        } else {
            answer_refused(request, response, &result);
        }
    }
    json_fields_finish(fields);
}

const struct http_route handlers_routes[] = {
    {"POST", API_UPDATE_STOCK, handle_update_stock, false},
    {"GET", "/health", ops_health, false},
    {"GET", "/metrics", ops_metrics, false},
    {NULL, NULL, NULL, false},
};
