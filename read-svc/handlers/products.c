#include "read-svc/handlers/products.h"

#include "read-svc/handlers/answers.h"
#include "read-svc/handlers/skus.h"

#include "common/base/parse.h"
#include "common/http/problem.h"
#include "common/http/query.h"

#include <inttypes.h>
#include <stdio.h>

#define LIMIT_DEFAULT 20

void handle_product(const struct http_request *request, struct http_response *response,
                    void *context)
{
    answers_product(request, response, context, L1_PRODUCT);
}

bool handle_product_quickly(const struct http_request *request, struct http_response *response,
                            void *context)
{
    return answers_product_quickly(request, response, context, L1_PRODUCT);
}

/* --- pages ------------------------------------------------------------------------------------ */

/* What a client asked for, and the ids that these are. */
struct page {
    int64_t number; /* of a numbered page */
    int64_t limit;
    struct catalog_page ids;
};

/* Appends the JSON of "meta". */
typedef void add_meta(struct strbuf *body, const struct page *page);

/* Which products there are is known as of a moment, too. */
static bool is_page_fresh(const struct http_request *request, struct http_response *response,
                          const struct handlers *handlers, const struct page *page,
                          enum tier_source *ret_source)
{
    if (page->ids.age_us > handlers->freshness->stale_if_error_us) {
        answers_refuse(request, response, STATUS_UNAVAILABLE);
        return false;
    }
    if (page->ids.age_us > handlers->freshness->max_staleness_us) {
        *ret_source = TIER_STALE;
    } else {
        *ret_source = page->ids.count == 0 ? TIER_CATALOG : TIER_L1;
    }
    return true;
}

static void answer_page(const struct http_request *request, struct http_response *response,
                        struct handlers *handlers, const struct page *page, add_meta *meta)
{
    struct flights_item items[CATALOG_PAGE_MAX];
    size_t count = page->ids.count;
    enum tier_source source = TIER_CATALOG;

    if (!is_page_fresh(request, response, handlers, page, &source)) {
        return;
    }

    for (size_t i = 0; i < count; i++) {
        items[i] = (struct flights_item){.id = page->ids.ids[i]};
    }
    if (answers_load(handlers, request, response, items, count)) {
        struct strbuf *body =
            answers_start_list(response, handlers, items, count, source, page->ids.age_us);

        strbuf_adds(body, "{\"data\":");
        answers_add_array(body, items, count, answers_render_product);
        strbuf_adds(body, ",\"meta\":");
        meta(body, page);
        strbuf_addc(body, '}');
    }
    answers_release(items, count);
}

static void add_numbered_meta(struct strbuf *body, const struct page *page)
{
    strbuf_addf(body,
                "{\"total\":%" PRId64 ",\"page\":%" PRId64 ",\"limit\":%" PRId64
                ",\"totalPages\":%" PRId64 "}",
                page->ids.total, page->number, page->limit,
                (page->ids.total + page->limit - 1) / page->limit);
}

static void answer_numbered_page(const struct http_request *request, struct http_response *response,
                                 struct handlers *handlers, int64_t number, int64_t limit)
{
    struct page page = {.number = number, .limit = limit};
    int64_t offset;
    enum status status;

    if (__builtin_mul_overflow(number - 1, limit, &offset)) {
        offset = INT64_MAX;
    }
    status =
        catalog_page(handlers->catalog, offset, (size_t)limit, request->deadline_us, &page.ids);
    if (status != STATUS_OK) {
        answers_refuse(request, response, status);
        return;
    }
    answer_page(request, response, handlers, &page, add_numbered_meta);
}

static void add_meta_after(struct strbuf *body, const struct page *page)
{
    answers_add_meta_after(body, page->limit,
                           page->ids.more ? page->ids.ids[page->ids.count - 1] : 0);
}

static void answer_page_after(const struct http_request *request, struct http_response *response,
                              struct handlers *handlers, int64_t after, int64_t limit)
{
    struct page page = {.limit = limit};
    enum status status =
        catalog_after(handlers->catalog, after, (size_t)limit, request->deadline_us, &page.ids);

    if (status != STATUS_OK) {
        answers_refuse(request, response, status);
        return;
    }
    answer_page(request, response, handlers, &page, add_meta_after);
}

void handle_products(const struct http_request *request, struct http_response *response,
                     void *context)
{
    struct http_query_param params[] = {
        {.name = "page"}, {.name = "limit"}, {.name = "after"}, {.name = "sku"}, {.name = NULL}};
    int64_t page;
    int64_t limit;
    int64_t after;

    if (http_read_query(request, params, response) &&
        answers_read_number(request, response, &params[0], 1, INT64_MAX, 1, &page) &&
        answers_read_number(request, response, &params[1], 1, CATALOG_PAGE_MAX, LIMIT_DEFAULT,
                            &limit) &&
        answers_read_number(request, response, &params[2], 0, INT64_MAX, 0, &after)) {
        bool is_page =
            params[0].value != NULL || params[1].value != NULL || params[2].value != NULL;

        if (params[3].value != NULL && is_page) {
            http_bad_field(request, response, "sku", "expected without page, after and limit");
        } else if (params[3].value != NULL) {
            skus_answer(request, response, context, "sku", params[3].value, answers_render_product);
        } else if (params[0].value != NULL && params[2].value != NULL) {
            http_bad_field(request, response, "after", "expected either page or after, not both");
        } else if (params[2].value != NULL) {
            answer_page_after(request, response, context, after, limit);
        } else {
            answer_numbered_page(request, response, context, page, limit);
        }
    }
    http_query_finish(params);
}
