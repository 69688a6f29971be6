/* What the handlers of read-svc have in common: loading products for a request, the headers of
 * every read, and the answers that are no success. A request and its response belong to one
 * thread. */
#ifndef FASTSTOCK_READ_SVC_HANDLERS_ANSWERS_H
#define FASTSTOCK_READ_SVC_HANDLERS_ANSWERS_H

#include "read-svc/catalog.h"
#include "read-svc/products_read.h"
#include "read-svc/skus.h"

#include "common/base/status.h"
#include "common/base/strbuf.h"
#include "common/http/message.h"
#include "common/http/query.h"
#include "common/stores/pg.h"

#include <stdbool.h>
#include <stddef.h>

/* The context of the routes. */
struct handlers {
    struct catalog *catalog;
    struct products_read *read;
    struct skus *skus;
    const struct freshness *freshness;
    struct pg_store *database; /* the primary */
};

/* Appends a product that is present, as JSON. */
typedef void answers_render(struct strbuf *body, const struct product *product);

/* {"id":...,"sku":...} and so on; {"id":...,"stock":...,"version":...}. */
answers_render answers_render_product;
answers_render answers_render_stock;

/* Renders what L1 keeps of an answer (l1.h). */
void answers_render_l1(struct strbuf *out, const struct product *product, enum l1_answer answer,
                       size_t *ret_body_len);

/* The id in the path, of "a product" or another noun; on false the response says what is wrong. */
bool answers_read_id(const struct http_request *request, struct http_response *response,
                     const char *noun, int64_t *ret_id);

/* A whole number of the query, `fallback` when it is absent; on false the response says what is
 * wrong. */
bool answers_read_number(const struct http_request *request, struct http_response *response,
                         const struct http_query_param *param, int64_t min, int64_t max,
                         int64_t fallback, int64_t *ret_value);

/* Appends {"limit":...,"next":...}; `next` is 0 at the end. */
void answers_add_meta_after(struct strbuf *body, int64_t limit, int64_t next);

/* Answers with the product of the path's {id}, as Min-Version, If-None-Match and Cache-Control
 * ask. */
void answers_product(const struct http_request *request, struct http_response *response,
                     struct handlers *handlers, enum l1_answer answer);

/* The same out of memory, without a wait; false: that is not possible. */
bool answers_product_quickly(const struct http_request *request, struct http_response *response,
                             struct handlers *handlers, enum l1_answer answer);

/* Makes the response a 503, because a store did not answer. */
void answers_refuse(const struct http_request *request, struct http_response *response,
                    enum status status);

/* The same for a read with this wish: a 504, when it wants only what is in memory. */
void answers_refuse_read(const struct http_request *request, struct http_response *response,
                         const struct read_wish *wish, enum status status);

/* What the request says of the age of its answer. */
struct read_wish answers_wish(const struct handlers *handlers, const struct http_request *request);

/* Gives the products of items back that were loaded. */
void answers_release(struct flights_item *items, size_t count);

/* Starts a 200 with the headers of a read that this tier answered, and that may be as old as that;
 * the caller adds the body. */
struct strbuf *answers_start(struct http_response *response, enum tier_source source,
                             int64_t age_us);

/* --- lists ------------------------------------------------------------------------------------ */

#define ANSWERS_LIST_MAX 100

/* A list of products: {"data":[...],REST}. */
struct answers_list {
    const int64_t *ids; /* of the products, for answers_list */
    size_t count;       /* at most ANSWERS_LIST_MAX */
    answers_render *render;
    /* Appends REST; the i-th product is the one of the i-th id, and may be NULL. */
    void (*add_rest)(struct strbuf *body, const struct answers_list *list,
                     const struct product *const *products);
    const void *context;     /* of add_rest */
    struct read_wish wish;   /* for answers_list */
    enum tier_source source; /* of what else the list rests on, and how old that may be */
    int64_t age_us;
};

/* Loads the products and answers with them, or refuses. False: it could not do so out of memory
 * without a wait, which is all that it tries when it may not wait. */
bool answers_list(const struct http_request *request, struct http_response *response,
                  struct handlers *handlers, const struct answers_list *list, bool may_wait);

/* Answers with products that were loaded. */
void answers_list_loaded(struct http_response *response, const struct handlers *handlers,
                         const struct answers_list *list, const struct flights_item *items);

#endif
