#include "read-svc/handlers/answers.h"

#include "common/base/parse.h"
#include "common/http/etag.h"
#include "common/http/problem.h"

#include <inttypes.h>
#include <stdio.h>

/* --- headers ---------------------------------------------------------------------------------- */

static const char *cache_status(enum tier_source source)
{
    static const char *const values[] = {[TIER_REDIS] = "faststock; hit; detail=redis",
                                         [TIER_DATABASE] = "faststock; fwd=miss; detail=db",
                                         [TIER_STALE] = "faststock; hit; detail=stale"};

    return values[source];
}

/* Those of every read: shared caches are to ask again each time (the ETag makes that cheap). */
static void add_read_headers(struct http_response *response, const char *status)
{
    http_add_header(response, "Cache-Control", "no-cache");
    http_add_header(response, "Cache-Status", status);
}

struct strbuf *answers_start(struct http_response *response, enum tier_source source)
{
    struct strbuf *body = http_start_json(response, 200);

    add_read_headers(response, cache_status(source));
    return body;
}

struct strbuf *answers_start_list(struct http_response *response, const struct flights_item *items,
                                  size_t count)
{
    enum tier_source worst = TIER_REDIS;
    struct strbuf *body;

    for (size_t i = 0; i < count; i++) {
        worst = items[i].source > worst ? items[i].source : worst;
    }
    if (count > 0) { /* of the worst tier, so that it does not promise too much of the others */
        return answers_start(response, worst);
    }
    body = http_start_json(response, 200);
    add_read_headers(response, "faststock; hit; detail=catalog");
    return body;
}

/* --- loading ---------------------------------------------------------------------------------- */

void answers_refuse(const struct http_request *request, struct http_response *response,
                    enum status status)
{
    http_problem(request, response, HTTP_UNAVAILABLE,
                 status == STATUS_TIMEOUT ? "the stores did not answer in time"
                                          : "the stores do not answer",
                 NULL);
    http_add_header(response, "Cache-Status", "faststock; fwd=miss");
}

bool answers_load(struct handlers *handlers, const struct http_request *request,
                  struct http_response *response, struct flights_item *items, size_t count)
{
    products_read_load(handlers->read, items, count, request->deadline_us);
    for (size_t i = 0; i < count; i++) {
        if (items[i].status != STATUS_OK) {
            answers_refuse(request, response, items[i].status);
            return false;
        }
    }
    return true;
}

void answers_release(struct flights_item *items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        product_unref(items[i].product);
    }
}

void answers_add_array(struct strbuf *body, const struct flights_item *items, size_t count,
                       answers_render *render)
{
    const char *separator = "";

    strbuf_addc(body, '[');
    for (size_t i = 0; i < count; i++) {
        if (items[i].product != NULL && items[i].product->state == PRODUCT_PRESENT) {
            strbuf_adds(body, separator);
            render(body, items[i].product);
            separator = ",";
        }
    }
    strbuf_addc(body, ']');
}

/* --- requests --------------------------------------------------------------------------------- */

bool answers_read_id(const struct http_request *request, struct http_response *response,
                     const char *noun, int64_t *ret_id)
{
    char detail[96];

    if (parse_id(request->params[0].start, request->params[0].len, ret_id)) {
        return true;
    }
    snprintf(detail, sizeof(detail),
             "expected a%s %s id, a whole number from 1 to 9223372036854775807",
             noun[0] == 'o' ? "n" : "", noun);
    http_bad_field(request, response, "id", detail);
    return false;
}

bool answers_read_number(const struct http_request *request, struct http_response *response,
                         const struct http_query_param *param, int64_t min, int64_t max,
                         int64_t fallback, int64_t *ret_value)
{
    int64_t value = fallback;
    char detail[96];

    if (param->value != NULL && !parse_int(param->value, param->len, min, max, &value)) {
        snprintf(detail, sizeof(detail), "expected a whole number from %" PRId64 " to %" PRId64,
                 min, max);
        http_bad_field(request, response, param->name, detail);
        return false;
    }
    *ret_value = value;
    return true;
}

/* --- pages ------------------------------------------------------------------------------------ */

void answers_add_meta_after(struct strbuf *body, int64_t limit, int64_t next)
{
    strbuf_addf(body, "{\"limit\":%" PRId64 ",\"next\":", limit);
    if (next > 0) {
        strbuf_add_int(body, next);
    } else {
        strbuf_adds(body, "null");
    }
    strbuf_addc(body, '}');
}

/* --- one product ------------------------------------------------------------------------------ */

static bool read_min_version(const struct http_request *request, struct http_response *response,
                             int64_t *ret_version)
{
    const struct http_header *header = http_header_first(request, HTTP_MIN_VERSION);
    int64_t version = 0;

    if (header != NULL && (http_header_count(request, HTTP_MIN_VERSION) > 1 ||
                           !parse_id(header->value, header->value_len, &version))) {
        http_bad_field(request, response, "Min-Version",
                       "expected one version, a whole number from 1");
        return false;
    }
    *ret_version = version;
    return true;
}

/* The id of the path, and Min-Version; on false the response says what is wrong. */
static bool read_item(const struct http_request *request, struct http_response *response,
                      struct flights_item *ret_item)
{
    int64_t id;
    int64_t min_version;

    if (!answers_read_id(request, response, "product", &id) ||
        !read_min_version(request, response, &min_version)) {
        return false;
    }
    *ret_item = (struct flights_item){.id = id, .min_version = min_version};
    return true;
}

static void refuse_old(const struct http_request *request, struct http_response *response,
                       const struct product *product, int64_t min_version)
{
    char detail[128];
    char members[64];

    snprintf(detail, sizeof(detail), "the product is at version %" PRId64 ", not yet at %" PRId64,
             product->version, min_version);
    snprintf(members, sizeof(members), ",\"version\":%" PRId64, product->version);
    http_problem(request, response, HTTP_PRECONDITION_FAILED, detail, members);
}

/* A 304 has the headers that a 200 would have, and no body. */
static void answer_present(const struct http_request *request, struct http_response *response,
                           const struct flights_item *item, answers_render *render)
{
    if (http_if_none_match(request, item->product->version)) {
        http_start_json(response, 304);
        response->content_type = NULL;
    } else {
        render(http_start_json(response, 200), item->product);
    }
    http_add_etag(response, item->product->version);
    add_read_headers(response, cache_status(item->source));
}

static void answer_item(const struct http_request *request, struct http_response *response,
                        const struct flights_item *item, answers_render *render)
{
    const struct product *product = item->product;

    if (product->version < item->min_version && product->state != PRODUCT_MISSING) {
        refuse_old(request, response, product, item->min_version);
        http_add_header(response, "Cache-Status", cache_status(item->source));
    } else if (product->state != PRODUCT_PRESENT) {
        http_problem(request, response, HTTP_NOT_FOUND, "no such product", NULL);
        http_add_header(response, "Cache-Status", cache_status(item->source));
    } else {
        answer_present(request, response, item, render);
    }
}

void answers_product(const struct http_request *request, struct http_response *response,
                     struct handlers *handlers, answers_render *render)
{
    struct flights_item item;

    if (!read_item(request, response, &item)) {
        return;
    }
    if (answers_load(handlers, request, response, &item, 1)) {
        answer_item(request, response, &item, render);
    }
    answers_release(&item, 1);
}
