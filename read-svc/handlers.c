#include "read-svc/handlers.h"

#include "common/base/parse.h"
#include "common/http/api_paths.h"
#include "common/service/ops.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define PAGE_LIMIT_DEFAULT 20
#define IDS_MAX 100

/* --- answers ---------------------------------------------------------------------------------- */

static const char *cache_status(enum tier_source source)
{
    static const char *const values[] = {[TIER_REDIS] = "faststock; hit; detail=redis",
                                         [TIER_DATABASE] = "faststock; fwd=miss; detail=db",
                                         [TIER_STALE] = "faststock; hit; detail=stale"};

    return values[source];
}

/* The headers every read has. */
static void add_read_headers(struct http_response *response, const char *status)
{
    http_add_header(response, "Cache-Control", "no-cache");
    http_add_header(response, "Cache-Status", status);
}

static void refuse_load(const struct http_request *request, struct http_response *response,
                        enum status status)
{
    http_problem(request, response, HTTP_UNAVAILABLE,
                 status == STATUS_TIMEOUT ? "the stores did not answer in time"
                                          : "the stores do not answer",
                 NULL);
    http_add_header(response, "Cache-Status", "faststock; fwd=miss");
}

/* The headers of a list: that of the worst tier, so that its Cache-Status does not promise too
 * much. */
static void add_list_headers(struct http_response *response, const struct flights_item *items,
                             size_t count)
{
    enum tier_source worst = TIER_REDIS;

    for (size_t i = 0; i < count; i++) {
        worst = items[i].source > worst ? items[i].source : worst;
    }
    add_read_headers(response, count > 0 ? cache_status(worst) : "faststock; hit; detail=catalog");
}

/* Loads all items; on false the response says why not. The products must be released either way. */
static bool load_all(struct handlers *handlers, const struct http_request *request,
                     struct http_response *response, struct flights_item *items, size_t count)
{
    products_read_load(handlers->read, items, count, request->deadline_us);
    for (size_t i = 0; i < count; i++) {
        if (items[i].status != STATUS_OK) {
            refuse_load(request, response, items[i].status);
            return false;
        }
    }
    return true;
}

static void release_all(struct flights_item *items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        product_unref(items[i].product);
    }
}

/* --- one product ------------------------------------------------------------------------------ */

static bool read_min_version(const struct http_request *request, struct http_response *response,
                             int64_t *ret_version)
{
    const char *value = http_header(request, "Min-Version");

    *ret_version = 0;
    if (value == NULL) {
        return true;
    }
    if (http_header_count(request, "Min-Version") > 1 ||
        !parse_id(value, strlen(value), ret_version)) {
        http_bad_field(request, response, "Min-Version",
                       "expected one version, a whole number from 1");
        return false;
    }
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

/* Does the client have this version already? If-None-Match may stand on several lines (RFC 9110
 * section 5.3). */
static bool client_has(const struct http_request *request, int64_t version)
{
    for (size_t i = 0; i < request->header_count; i++) {
        if (strcasecmp(request->headers[i].name, "If-None-Match") == 0) {
            enum etag_match match = parse_etag_list(request->headers[i].value, version, true);

            if (match == ETAG_FOUND || match == ETAG_ANY) {
                return true;
            }
        }
    }
    return false;
}

/* Answers with one product, in the form that `render` gives it. */
static void answer_product(const struct http_request *request, struct http_response *response,
                           struct handlers *handlers,
                           void (*render)(struct strbuf *body, const struct product *product))
{
    struct flights_item item = {.id = 0};
    char etag[32];

    if (!parse_id(request->params[0].start, request->params[0].len, &item.id)) {
        http_bad_field(request, response, "id",
                       "expected a product id, a whole number from 1 to 9223372036854775807");
        return;
    }
    if (!read_min_version(request, response, &item.min_version)) {
        return;
    }
    if (!load_all(handlers, request, response, &item, 1)) {
        return;
    }
    if (item.product->version < item.min_version && item.product->state != PRODUCT_MISSING) {
        refuse_old(request, response, item.product, item.min_version);
        http_add_header(response, "Cache-Status", cache_status(item.source));
    } else if (item.product->state != PRODUCT_PRESENT) {
        http_problem(request, response, HTTP_NOT_FOUND, "no such product", NULL);
        http_add_header(response, "Cache-Status", cache_status(item.source));
    } else {
        render(http_start_json(response, 200), item.product);
        snprintf(etag, sizeof(etag), "\"%" PRId64 "\"", item.product->version);
        http_add_header(response, "ETag", etag);
        add_read_headers(response, cache_status(item.source));
        if (client_has(request, item.product->version)) {
            response->status = 304;
            response->content_type = NULL;
        }
    }
    product_unref(item.product);
}

static void render_product(struct strbuf *body, const struct product *product)
{
    strbuf_add(body, product->json, product->json_len);
}

static void render_stock(struct strbuf *body, const struct product *product)
{
    strbuf_adds(body, "{\"id\":");
    strbuf_add_int(body, product->id);
    strbuf_adds(body, ",\"stock\":");
    strbuf_add_int(body, product->stock);
    strbuf_adds(body, ",\"version\":");
    strbuf_add_int(body, product->version);
    strbuf_addc(body, '}');
}

static void handle_product(const struct http_request *request, struct http_response *response,
                           void *context)
{
    answer_product(request, response, context, render_product);
}

static void handle_product_stock(const struct http_request *request, struct http_response *response,
                                 void *context)
{
    answer_product(request, response, context, render_stock);
}

/* --- lists ------------------------------------------------------------------------------------ */

/* The products that are there, as a JSON array. */
static void add_array(struct strbuf *body, const struct flights_item *items, size_t count,
                      void (*render)(struct strbuf *body, const struct product *product))
{
    const char *separator = "[";

    for (size_t i = 0; i < count; i++) {
        if (items[i].product->state == PRODUCT_PRESENT) {
            strbuf_adds(body, separator);
            render(body, items[i].product);
            separator = ",";
        }
    }
    strbuf_adds(body, *separator == '[' ? "[]" : "]");
}

/* The products of a page and the opening of the answer: {"data":[...],"meta":{ . On false the
 * response is a problem. */
static bool start_page(const struct http_request *request, struct http_response *response,
                       struct handlers *handlers, const struct catalog_page *page)
{
    struct flights_item items[CATALOG_PAGE_MAX];
    struct strbuf *body;
    bool ok;

    for (size_t i = 0; i < page->count; i++) {
        items[i] = (struct flights_item){.id = page->ids[i]};
    }
    ok = load_all(handlers, request, response, items, page->count);
    if (ok) {
        body = http_start_json(response, 200);
        add_list_headers(response, items, page->count);
        strbuf_adds(body, "{\"data\":");
        add_array(body, items, page->count, render_product);
        strbuf_adds(body, ",\"meta\":{");
    }
    release_all(items, page->count);
    return ok;
}

static void answer_numbered_page(const struct http_request *request, struct http_response *response,
                                 struct handlers *handlers, int64_t number, int64_t limit)
{
    struct catalog_page page;
    int64_t offset;
    enum status status;

    if (__builtin_mul_overflow(number - 1, limit, &offset)) {
        offset = INT64_MAX;
    }
    status = catalog_page(handlers->catalog, offset, (size_t)limit, request->deadline_us, &page);
    if (status != STATUS_OK) {
        refuse_load(request, response, status);
    } else if (start_page(request, response, handlers, &page)) {
        strbuf_addf(&response->body,
                    "\"total\":%" PRId64 ",\"page\":%" PRId64 ",\"limit\":%" PRId64
                    ",\"totalPages\":%" PRId64 "}}",
                    page.total, number, limit, (page.total + limit - 1) / limit);
    }
}

static void answer_page_after(const struct http_request *request, struct http_response *response,
                              struct handlers *handlers, int64_t after, int64_t limit)
{
    struct catalog_page page;
    enum status status =
        catalog_after(handlers->catalog, after, (size_t)limit, request->deadline_us, &page);

    if (status != STATUS_OK) {
        refuse_load(request, response, status);
    } else if (start_page(request, response, handlers, &page)) {
        strbuf_addf(&response->body, "\"limit\":%" PRId64 ",\"next\":", limit);
        if (page.more) {
            strbuf_addf(&response->body, "%" PRId64 "}}", page.ids[page.count - 1]);
        } else {
            strbuf_adds(&response->body, "null}}");
        }
    }
}

/* A whole number of the query, `fallback` when it is absent. */
static bool read_number(const struct http_request *request, struct http_response *response,
                        const struct http_query_param *param, int64_t min, int64_t max,
                        int64_t fallback, int64_t *ret_value)
{
    char detail[96];

    *ret_value = fallback;
    if (param->value == NULL || parse_int(param->value, param->len, min, max, ret_value)) {
        return true;
    }
    snprintf(detail, sizeof(detail), "expected a whole number from %" PRId64 " to %" PRId64, min,
             max);
    http_bad_field(request, response, param->name, detail);
    return false;
}

static void handle_products(const struct http_request *request, struct http_response *response,
                            void *context)
{
    struct http_query_param params[] = {
        {.name = "page"}, {.name = "limit"}, {.name = "after"}, {.name = NULL}};
    int64_t page;
    int64_t limit;
    int64_t after;

    if (http_read_query(request, params, response) &&
        read_number(request, response, &params[0], 1, INT64_MAX, 1, &page) &&
        read_number(request, response, &params[1], 1, CATALOG_PAGE_MAX, PAGE_LIMIT_DEFAULT,
                    &limit) &&
        read_number(request, response, &params[2], 0, INT64_MAX, 0, &after)) {
        if (params[0].value != NULL && params[2].value != NULL) {
            http_bad_field(request, response, "after", "expected either page or after, not both");
        } else if (params[2].value != NULL) {
            answer_page_after(request, response, context, after, limit);
        } else {
            answer_numbered_page(request, response, context, page, limit);
        }
    }
    http_query_finish(params);
}

/* --- many stocks ------------------------------------------------------------------------------ */

static bool is_repeated(const struct flights_item *items, size_t count, int64_t id)
{
    for (size_t i = 0; i < count; i++) {
        if (items[i].id == id) {
            return true;
        }
    }
    return false;
}

/* "1,2,3" into items, each id once; false on anything else, or on more than IDS_MAX. */
static bool read_ids(const char *text, struct flights_item items[IDS_MAX], size_t *ret_count)
{
    size_t named = 0;

    *ret_count = 0;
    for (;;) {
        size_t len = strcspn(text, ",");
        int64_t id;

        if (++named > IDS_MAX || !parse_id(text, len, &id)) {
            return false;
        }
        if (!is_repeated(items, *ret_count, id)) {
            items[(*ret_count)++] = (struct flights_item){.id = id};
        }
        if (text[len] == '\0') {
            return true;
        }
        text += len + 1;
    }
}

static void add_missing(struct strbuf *body, const struct flights_item *items, size_t count)
{
    const char *separator = "[";

    for (size_t i = 0; i < count; i++) {
        if (items[i].product->state != PRODUCT_PRESENT) {
            strbuf_adds(body, separator);
            strbuf_add_int(body, items[i].id);
            separator = ",";
        }
    }
    strbuf_adds(body, *separator == '[' ? "[]" : "]");
}

static void answer_stocks(const struct http_request *request, struct http_response *response,
                          struct handlers *handlers, struct flights_item *items, size_t count)
{
    if (load_all(handlers, request, response, items, count)) {
        struct strbuf *body = http_start_json(response, 200);

        add_list_headers(response, items, count);
        strbuf_adds(body, "{\"data\":");
        add_array(body, items, count, render_stock);
        strbuf_adds(body, ",\"missing\":");
        add_missing(body, items, count);
        strbuf_addc(body, '}');
    }
    release_all(items, count);
}

static void handle_stock(const struct http_request *request, struct http_response *response,
                         void *context)
{
    struct http_query_param params[] = {{.name = "ids"}, {.name = NULL}};
    struct flights_item items[IDS_MAX];
    size_t count = 0;

    if (http_read_query(request, params, response)) {
        if (params[0].value == NULL || !read_ids(params[0].value, items, &count)) {
            http_bad_field(request, response, "ids",
                           "expected 1 to 100 product ids with commas between them");
        } else {
            answer_stocks(request, response, context, items, count);
        }
    }
    http_query_finish(params);
}

const struct http_route handlers_routes[] = {
    {"GET", API_PRODUCT_STOCK, handle_product_stock},
    {"GET", API_PRODUCT, handle_product},
    {"GET", API_PRODUCTS, handle_products},
    {"GET", API_STOCK, handle_stock},
    {"GET", "/health", ops_health},
    {"GET", "/metrics", ops_metrics},
    {NULL, NULL, NULL},
};
