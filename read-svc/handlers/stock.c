#include "read-svc/handlers/stock.h"

#include "read-svc/handlers/answers.h"
#include "read-svc/handlers/skus.h"

#include "common/base/parse.h"
#include "common/http/problem.h"
#include "common/http/query.h"

#include <string.h>

#define IDS_MAX 100

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
    size_t count = 0;

    for (;;) {
        size_t len = strcspn(text, ",");
        int64_t id;

        if (++named > IDS_MAX || !parse_id(text, len, &id)) {
            return false;
        }
        if (!is_repeated(items, count, id)) {
            items[count++] = (struct flights_item){.id = id};
        }
        if (text[len] == '\0') {
            *ret_count = count;
            return true;
        }
        text += len + 1;
    }
}

static void add_missing(struct strbuf *body, const struct flights_item *items, size_t count)
{
    const char *separator = "";

    strbuf_addc(body, '[');
    for (size_t i = 0; i < count; i++) {
        if (items[i].product->state != PRODUCT_PRESENT) {
            strbuf_adds(body, separator);
            strbuf_add_int(body, items[i].id);
            separator = ",";
        }
    }
    strbuf_addc(body, ']');
}

static void answer_stocks(const struct http_request *request, struct http_response *response,
                          struct handlers *handlers, struct flights_item *items, size_t count)
{
    if (answers_load(handlers, request, response, items, count)) {
        struct strbuf *body = answers_start_list(response, handlers, items, count, TIER_L1, 0);

        strbuf_adds(body, "{\"data\":");
        answers_add_array(body, items, count, answers_render_stock);
        strbuf_adds(body, ",\"missing\":");
        add_missing(body, items, count);
        strbuf_addc(body, '}');
    }
    answers_release(items, count);
}

void handle_stock(const struct http_request *request, struct http_response *response, void *context)
{
    struct http_query_param params[] = {{.name = "ids"}, {.name = "skus"}, {.name = NULL}};
    struct flights_item items[IDS_MAX];
    size_t count;

    if (http_read_query(request, params, response)) {
        if (params[0].value != NULL && params[1].value != NULL) {
            http_bad_field(request, response, "skus", "expected either ids or skus, not both");
        } else if (params[1].value != NULL) {
            skus_answer(request, response, context, "skus", params[1].value, render_named_stock);
        } else if (params[0].value != NULL && read_ids(params[0].value, items, &count)) {
            answer_stocks(request, response, context, items, count);
        } else {
            http_bad_field(request, response, "ids",
                           "expected 1 to 100 product ids with commas between them, or skus");
        }
    }
    http_query_finish(params);
}
