#include "read-svc/handlers/answers.h"

#include "common/base/clock.h"
#include "common/base/parse.h"
#include "common/http/etag.h"
#include "common/http/problem.h"

#include <inttypes.h>
#include <stdio.h>

/* --- bodies ----------------------------------------------------------------------------------- */

void answers_render_product(struct strbuf *body, const struct product *product)
{
    strbuf_add(body, product->json, product->json_len);
}

void answers_render_stock(struct strbuf *body, const struct product *product)
{
    strbuf_adds(body, "{\"id\":");
    strbuf_add_int(body, product->id);
    strbuf_adds(body, ",\"stock\":");
    strbuf_add_int(body, product->stock);
    strbuf_adds(body, ",\"version\":");
    strbuf_add_int(body, product->version);
    strbuf_addc(body, '}');
}

static answers_render *const renders[L1_ANSWERS] = {
    [L1_PRODUCT] = answers_render_product, [L1_STOCK] = answers_render_stock};

/* --- headers ---------------------------------------------------------------------------------- */

static const char *cache_status(enum tier_source source)
{
    static const char *const values[] = {[TIER_L1] = "faststock; hit; detail=l1",
                                         [TIER_CATALOG] = "faststock; hit; detail=catalog",
                                         [TIER_REDIS] = "faststock; hit; detail=redis",
                                         [TIER_DATABASE] = "faststock; fwd=miss; detail=db",
                                         [TIER_STALE] = "faststock; hit; detail=stale"};

    return values[source];
}

/* In whole seconds, as RFC 9111 section 5.1 wants it. */
static void add_age(struct http_response *response, int64_t age_us)
{
    char text[24];

    snprintf(text, sizeof(text), "%" PRId64, age_us / CLOCK_US_PER_S);
    http_add_header(response, "Age", text);
}

/* Where an answer came from, and how old it may be. */
static void add_source(struct http_response *response, enum tier_source source, int64_t age_us)
{
    http_add_header(response, "Cache-Status", cache_status(source));
    add_age(response, age_us);
}

/* Shared caches are to ask again each time (the ETag makes that cheap). */
static void add_cache_control(struct http_response *response)
{
    http_add_header(response, "Cache-Control", "no-cache");
}

/* Those of every read. */
static void add_read_headers(struct http_response *response, enum tier_source source,
                             int64_t age_us)
{
    add_cache_control(response);
    add_source(response, source, age_us);
}

struct strbuf *answers_start(struct http_response *response, enum tier_source source,
                             int64_t age_us)
{
    struct strbuf *body = http_start_json(response, 200);

    add_read_headers(response, source, age_us);
    return body;
}

static int64_t age_of(const struct handlers *handlers, const struct flights_item *item)
{
    return item->source == TIER_CATALOG ? 0 : freshness_age_us(handlers->freshness, item->as_of_us);
}

void answers_render_l1(struct strbuf *out, const struct product *product, enum l1_answer answer,
                       size_t *ret_body_len)
{
    struct http_response response = {.status = 0};

    *ret_body_len = 0;
    if (product->state != PRODUCT_PRESENT) {
        return;
    }
    renders[answer](http_start_json(&response, 200), product);
    http_add_etag(&response, product->version);
    add_cache_control(&response);
    http_add_header(&response, "Cache-Status", cache_status(TIER_L1));
    *ret_body_len = http_prepare(&response, out);
    http_response_finish(&response);
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

void answers_refuse_read(const struct http_request *request, struct http_response *response,
                         const struct read_wish *wish, enum status status)
{
    if (!wish->is_cached) {
        answers_refuse(request, response, status);
        return;
    }
    http_problem(request, response, HTTP_NOT_CACHED, "no answer is in this instance's memory",
                 NULL);
    http_add_header(response, "Cache-Status", "faststock; fwd=miss");
}

struct read_wish answers_wish(const struct handlers *handlers, const struct http_request *request)
{
    struct http_cache_control control = http_cache_control(request);

    return products_read_wish(handlers->read, &control);
}

/* Loads all items; on false the response says why not. The caller releases the products in either
 * case. */
static bool load(struct handlers *handlers, const struct http_request *request,
                 struct http_response *response, const struct read_wish *wish,
                 struct flights_item *items, size_t count)
{
    products_read_load(handlers->read, wish, items, count, request->deadline_us);
    for (size_t i = 0; i < count; i++) {
        if (items[i].status != STATUS_OK) {
            answers_refuse_read(request, response, wish, items[i].status);
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
    strbuf_adds(body, "{\"limit\":");
    strbuf_add_int(body, limit);
    strbuf_adds(body, ",\"next\":");
    if (next > 0) {
        strbuf_add_int(body, next);
    } else {
        strbuf_adds(body, "null");
    }
    strbuf_addc(body, '}');
}

/* --- lists ------------------------------------------------------------------------------------ */

static void add_present(struct strbuf *body, const struct answers_list *list,
                        const struct product *const *products)
{
    const char *separator = "";

    for (size_t i = 0; i < list->count; i++) {
        if (products[i] != NULL && products[i]->state == PRODUCT_PRESENT) {
            strbuf_adds(body, separator);
            list->render(body, products[i]);
            separator = ",";
        }
    }
}

static void answer_list(struct http_response *response, const struct answers_list *list,
                        const struct product *const *products, enum tier_source source,
                        int64_t age_us)
{
    struct strbuf *body = answers_start(response, source, age_us);

    strbuf_adds(body, "{\"data\":[");
    add_present(body, list, products);
    strbuf_adds(body, "],");
    list->add_rest(body, list, products);
    strbuf_addc(body, '}');
}

/* Of the worst tier and the oldest item, so that it does not promise too much of the others. */
void answers_list_loaded(struct http_response *response, const struct handlers *handlers,
                         const struct answers_list *list, const struct flights_item *items)
{
    const struct product *products[ANSWERS_LIST_MAX];
    enum tier_source worst = list->source;
    int64_t age_us = list->age_us;
    int64_t oldest_us = INT64_MAX; /* the clock is asked once, not for each item */

    for (size_t i = 0; i < list->count; i++) {
        products[i] = items[i].product;
        if (items[i].product != NULL) {
            worst = items[i].source > worst ? items[i].source : worst;
        }
        if (items[i].product != NULL && items[i].source != TIER_CATALOG) {
            oldest_us = items[i].as_of_us < oldest_us ? items[i].as_of_us : oldest_us;
        }
    }
    if (oldest_us != INT64_MAX) {
        int64_t items_age_us = freshness_age_us(handlers->freshness, oldest_us);

        age_us = items_age_us > age_us ? items_age_us : age_us;
    }
    answer_list(response, list, products, worst, age_us);
}

static bool list_at_once(struct http_response *response, struct handlers *handlers,
                         const struct answers_list *list)
{
    struct l1 *l1 = handlers->freshness->l1;
    const struct product *products[ANSWERS_LIST_MAX];
    int64_t age_us;
    bool is_hit;

    l1_enter(l1);
    is_hit =
        products_read_hits(handlers->read, &list->wish, list->ids, list->count, products, &age_us);
    if (is_hit) {
        answer_list(response, list, products, list->source,
                    age_us > list->age_us ? age_us : list->age_us);
    }
    l1_leave(l1);
    return is_hit;
}

bool answers_list(const struct http_request *request, struct http_response *response,
                  struct handlers *handlers, const struct answers_list *list, bool may_wait)
{
    struct flights_item items[ANSWERS_LIST_MAX];

    if (list_at_once(response, handlers, list)) {
        return true;
    }
    if (!may_wait) {
        return false;
    }
    for (size_t i = 0; i < list->count; i++) {
        items[i] = (struct flights_item){.id = list->ids[i]};
    }
    if (load(handlers, request, response, &list->wish, items, list->count)) {
        answers_list_loaded(response, handlers, list, items);
    }
    answers_release(items, list->count);
    return true;
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
                           const struct flights_item *item, int64_t age_us, answers_render *render)
{
    if (http_if_none_match(request, item->product->version)) {
        http_start_json(response, 304);
        response->content_type = NULL;
    } else {
        render(http_start_json(response, 200), item->product);
    }
    http_add_etag(response, item->product->version);
    add_read_headers(response, item->source, age_us);
}

static void answer_item(const struct http_request *request, struct http_response *response,
                        const struct flights_item *item, int64_t age_us, answers_render *render)
{
    const struct product *product = item->product;

    if (product->version < item->min_version && product->state != PRODUCT_MISSING) {
        refuse_old(request, response, product, item->min_version);
        add_source(response, item->source, age_us);
    } else if (product->state != PRODUCT_PRESENT) {
        http_problem(request, response, HTTP_NOT_FOUND, "no such product", NULL);
        add_source(response, item->source, age_us);
    } else {
        answer_present(request, response, item, age_us, render);
    }
}

/* The answer of L1 as it lies there. */
static void answer_prepared(struct http_response *response, const struct read_hit *hit,
                            enum l1_answer answer)
{
    http_start_prepared(response, 200, hit->found.answers[answer].text,
                        hit->found.answers[answer].len, hit->found.answers[answer].body_len);
    add_age(response, hit->age_us);
}

/* Between l1_enter and l1_leave. */
static void answer_hit(const struct http_request *request, struct http_response *response,
                       const struct read_hit *hit, enum l1_answer answer, int64_t min_version)
{
    const struct flights_item item = {.min_version = min_version,
                                      .product = hit->found.product,
                                      .source = hit->is_stale ? TIER_STALE : TIER_L1};

    if (item.product->state == PRODUCT_PRESENT && !hit->is_stale &&
        http_header(request, HTTP_IF_NONE_MATCH) == NULL) {
        answer_prepared(response, hit, answer);
    } else {
        answer_item(request, response, &item, hit->age_us, renders[answer]);
    }
}

/* True when the response is made: a refusal, or the answer of L1. */
static bool answer_at_once(const struct http_request *request, struct http_response *response,
                           struct handlers *handlers, enum l1_answer answer,
                           struct flights_item *ret_item)
{
    struct l1 *l1 = handlers->freshness->l1;
    struct read_wish wish;
    struct read_hit hit;
    bool is_hit;

    if (!read_item(request, response, ret_item)) {
        return true;
    }
    wish = answers_wish(handlers, request);
    l1_enter(l1);
    is_hit = products_read_hit(handlers->read, &wish, ret_item->id, ret_item->min_version, &hit);
    if (is_hit) {
        answer_hit(request, response, &hit, answer, ret_item->min_version);
    }
    l1_leave(l1);
    return is_hit;
}

bool answers_product_quickly(const struct http_request *request, struct http_response *response,
                             struct handlers *handlers, enum l1_answer answer)
{
    struct flights_item item;

    return answer_at_once(request, response, handlers, answer, &item);
}

void answers_product(const struct http_request *request, struct http_response *response,
                     struct handlers *handlers, enum l1_answer answer)
{
    struct flights_item item;
    struct read_wish wish;

    if (answer_at_once(request, response, handlers, answer, &item)) {
        return;
    }
    wish = answers_wish(handlers, request);
    if (load(handlers, request, response, &wish, &item, 1)) {
        answer_item(request, response, &item, age_of(handlers, &item), renders[answer]);
    }
    answers_release(&item, 1);
}
