#include "read-svc/handlers/products.h"

#include "read-svc/handlers/answers.h"
#include "read-svc/handlers/skus.h"

#include "common/base/clock.h"
#include "common/base/parse.h"
#include "common/http/problem.h"
#include "common/http/query.h"

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
    /* of the catalogue: catalog_page, or catalog_after */
    enum status (*read)(struct catalog *catalog, int64_t start, size_t limit, int64_t deadline_us,
                        struct catalog_page *ret_page);
    int64_t start;
    int64_t number; /* of a numbered page */
    int64_t limit;
    struct catalog_page ids;
};

static void add_numbered_meta(struct strbuf *body, const struct answers_list *list,
                              const struct product *const *products)
{
    const struct page *page = list->context;

    (void)products;
    strbuf_adds(body, "\"meta\":{\"total\":");
    strbuf_add_int(body, page->ids.total);
    strbuf_adds(body, ",\"page\":");
    strbuf_add_int(body, page->number);
    strbuf_adds(body, ",\"limit\":");
    strbuf_add_int(body, page->limit);
    strbuf_adds(body, ",\"totalPages\":");
    strbuf_add_int(body, (page->ids.total + page->limit - 1) / page->limit);
    strbuf_addc(body, '}');
}

static void add_meta_after(struct strbuf *body, const struct answers_list *list,
                           const struct product *const *products)
{
    const struct page *page = list->context;

    (void)products;
    strbuf_adds(body, "\"meta\":");
    answers_add_meta_after(body, page->limit,
                           page->ids.more ? page->ids.ids[page->ids.count - 1] : 0);
}

static int64_t age_of(const struct catalog_page *ids)
{
    return clock_mono_us() - ids->as_of_us;
}

/* Which products there are is known as of a moment. Is that longer ago than so much? What there was
 * when the request came is never too old for it. */
static bool is_older(const struct http_request *request, const struct catalog_page *ids,
                     int64_t age_max_us)
{
    return ids->as_of_us < request->start_us && age_of(ids) > age_max_us;
}

static bool is_outdated(const struct http_request *request, const struct read_wish *wish,
                        const struct catalog_page *ids)
{
    return is_older(request, ids, wish->is_past_l1 ? 0 : wish->age_max_us);
}

static enum status read_ids(const struct http_request *request, const struct handlers *handlers,
                            const struct read_wish *wish, struct page *page, bool may_wait)
{
    int64_t deadline_us = may_wait ? request->deadline_us : CATALOG_AT_ONCE;
    size_t limit = (size_t)page->limit;
    enum status status = page->read(handlers->catalog, page->start, limit, deadline_us, &page->ids);

    if (status == STATUS_OK && may_wait && !wish->is_cached &&
        is_outdated(request, wish, &page->ids) &&
        catalog_catch_up(handlers->catalog, deadline_us)) {
        status = page->read(handlers->catalog, page->start, limit, deadline_us, &page->ids);
    }
    if (status == STATUS_OK && age_of(&page->ids) > handlers->freshness->stale_if_error_us) {
        status = STATUS_UNAVAILABLE;
    }
    return status;
}

static enum tier_source source_of(const struct http_request *request,
                                  const struct handlers *handlers, const struct catalog_page *ids,
                                  bool is_old)
{
    if (is_old || is_older(request, ids, handlers->freshness->max_staleness_us)) {
        return TIER_STALE;
    }
    return ids->count == 0 ? TIER_CATALOG : TIER_L1;
}

static bool answer_page(const struct http_request *request, struct http_response *response,
                        struct handlers *handlers, struct page *page, struct answers_list list,
                        bool may_wait)
{
    enum status status;
    bool is_old;

    list.wish = answers_wish(handlers, request);
    status = read_ids(request, handlers, &list.wish, page, may_wait);
    is_old = status == STATUS_OK && is_outdated(request, &list.wish, &page->ids);
    if (!may_wait && (status != STATUS_OK || is_old)) {
        return false;
    }
    if (status != STATUS_OK) {
        answers_refuse(request, response, status);
        return true;
    }
    list.ids = page->ids.ids;
    list.count = page->ids.count;
    list.age_us = age_of(&page->ids);
    list.source = source_of(request, handlers, &page->ids, is_old);
    list.context = page;
    list.render = answers_render_product;
    return answers_list(request, response, handlers, &list, may_wait);
}

static bool answer_numbered_page(const struct http_request *request, struct http_response *response,
                                 struct handlers *handlers, int64_t number, int64_t limit,
                                 bool may_wait)
{
    const struct answers_list list = {.add_rest = add_numbered_meta};
    struct page page = {.read = catalog_page, .number = number, .limit = limit};

    if (__builtin_mul_overflow(number - 1, limit, &page.start)) {
        page.start = INT64_MAX;
    }
    return answer_page(request, response, handlers, &page, list, may_wait);
}

static bool answer_page_after(const struct http_request *request, struct http_response *response,
                              struct handlers *handlers, int64_t after, int64_t limit,
                              bool may_wait)
{
    const struct answers_list list = {.add_rest = add_meta_after};
    struct page page = {.read = catalog_after, .start = after, .limit = limit};

    return answer_page(request, response, handlers, &page, list, may_wait);
}

/* True when the response is made; false only when it may not wait. */
static bool answer(const struct http_request *request, struct http_response *response,
                   struct handlers *handlers, bool may_wait)
{
    struct http_query_param params[] = {
        {.name = "page"}, {.name = "limit"}, {.name = "after"}, {.name = "sku"}, {.name = NULL}};
    int64_t page;
    int64_t limit;
    int64_t after;
    bool is_made = true;

    if (http_read_query(request, params, response) &&
        answers_read_number(request, response, &params[0], 1, INT64_MAX, 1, &page) &&
        answers_read_number(request, response, &params[1], 1, CATALOG_PAGE_MAX, LIMIT_DEFAULT,
                            &limit) &&
        answers_read_number(request, response, &params[2], 0, INT64_MAX, 0, &after)) {
        bool is_page =
            params[0].value != NULL || params[1].value != NULL || params[2].value != NULL;

        if (params[3].value != NULL && is_page) {
            http_bad_field(request, response, "sku", "expected without page, after and limit");
        } else if (params[3].value != NULL && !may_wait) {
            is_made = false;
        } else if (params[3].value != NULL) {
            skus_answer(request, response, handlers, "sku", params[3].value,
                        answers_render_product);
        } else if (params[0].value != NULL && params[2].value != NULL) {
            http_bad_field(request, response, "after", "expected either page or after, not both");
        } else if (params[2].value != NULL) {
            is_made = answer_page_after(request, response, handlers, after, limit, may_wait);
        } else {
            is_made = answer_numbered_page(request, response, handlers, page, limit, may_wait);
        }
    }
    http_query_finish(params);
    return is_made;
}

void handle_products(const struct http_request *request, struct http_response *response,
                     void *context)
{
    answer(request, response, context, true);
}

bool handle_products_quickly(const struct http_request *request, struct http_response *response,
                             void *context)
{
    return answer(request, response, context, false);
}
