#include "read-svc/handlers/stock.h"

#include "read-svc/handlers/answers.h"
#include "read-svc/handlers/skus.h"

#include "common/base/parse.h"
#include "common/http/problem.h"
#include "common/http/query.h"

#include <string.h>

#define IDS_EXPECTED "expected 1 to 100 product ids with commas between them, or skus"

/* With the SKU, because a client that asked by SKU knows no id. */
static void render_named_stock(struct strbuf *body, const struct product *product)
{
    strbuf_adds(body, "{\"id\":");
    strbuf_add_int(body, product->id);
    strbuf_adds(body, ",\"sku\":");
    product_add_sku(product, body);
    strbuf_adds(body, ",\"stock\":");
    strbuf_add_int(body, product->stock);
    strbuf_adds(body, ",\"version\":");
    strbuf_add_int(body, product->version);
    strbuf_addc(body, '}');
}

void handle_product_stock(const struct http_request *request, struct http_response *response,
                          void *context)
{
    answers_product(request, response, context, L1_STOCK);
}

bool handle_product_stock_quickly(const struct http_request *request,
                                  struct http_response *response, void *context)
{
    return answers_product_quickly(request, response, context, L1_STOCK);
}

/* --- many stocks ------------------------------------------------------------------------------ */

static bool is_repeated(const int64_t *ids, size_t count, int64_t id)
{
    for (size_t i = 0; i < count; i++) {
        if (ids[i] == id) {
            return true;
        }
    }
    return false;
}

/* "1,2,3" into ids, each id once; false on anything else, or on more than ANSWERS_LIST_MAX. */
static bool read_ids(const char *text, int64_t ids[ANSWERS_LIST_MAX], size_t *ret_count)
{
    size_t named = 0;
    size_t count = 0;

    for (;;) {
        size_t len = strcspn(text, ",");
        int64_t id;

        if (++named > ANSWERS_LIST_MAX || !parse_id(text, len, &id)) {
            return false;
        }
        if (!is_repeated(ids, count, id)) {
            ids[count++] = id;
        }
        if (text[len] == '\0') {
            *ret_count = count;
            return true;
        }
        text += len + 1;
    }
}

static void add_missing(struct strbuf *body, const struct answers_list *list,
                        const struct product *const *products)
{
    const char *separator = "";

    strbuf_adds(body, "\"missing\":[");
    for (size_t i = 0; i < list->count; i++) {
        if (products[i]->state != PRODUCT_PRESENT) {
            strbuf_adds(body, separator);
            strbuf_add_int(body, list->ids[i]);
            separator = ",";
        }
    }
    strbuf_addc(body, ']');
}

static bool answer_stocks(const struct http_request *request, struct http_response *response,
                          struct handlers *handlers, const char *text, bool may_wait)
{
    int64_t ids[ANSWERS_LIST_MAX];
    struct answers_list list = {.ids = ids,
                                .render = answers_render_stock,
                                .add_rest = add_missing,
                                .wish = answers_wish(handlers, request),
                                .source = TIER_L1};

    if (!read_ids(text, ids, &list.count)) {
        http_bad_field(request, response, "ids", IDS_EXPECTED);
        return true;
    }
    return answers_list(request, response, handlers, &list, may_wait);
}

/* True when the response is made; false only when it may not wait. */
static bool answer(const struct http_request *request, struct http_response *response,
                   struct handlers *handlers, bool may_wait)
{
    struct http_query_param params[] = {{.name = "ids"}, {.name = "skus"}, {.name = NULL}};
    bool is_made = true;

    if (http_read_query(request, params, response)) {
        if (params[0].value != NULL && params[1].value != NULL) {
            http_bad_field(request, response, "skus", "expected either ids or skus, not both");
        } else if (params[1].value != NULL && may_wait) {
            skus_answer(request, response, handlers, "skus", params[1].value, render_named_stock);
        } else if (params[1].value != NULL) {
            is_made = false;
        } else if (params[0].value != NULL) {
            is_made = answer_stocks(request, response, handlers, params[0].value, may_wait);
        } else {
            http_bad_field(request, response, "ids", IDS_EXPECTED);
        }
    }
    http_query_finish(params);
    return is_made;
}

void handle_stock(const struct http_request *request, struct http_response *response, void *context)
{
    answer(request, response, context, true);
}

bool handle_stock_quickly(const struct http_request *request, struct http_response *response,
                          void *context)
{
    return answer(request, response, context, false);
}
