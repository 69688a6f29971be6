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
    struct pg_store *database; /* the primary */
};

/* Appends a product that is present, as JSON. */
typedef void answers_render(struct strbuf *body, const struct product *product);

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

/* Answers with the product of the path's {id}, as Min-Version and If-None-Match ask. */
void answers_product(const struct http_request *request, struct http_response *response,
                     struct handlers *handlers, answers_render *render);

/* Makes the response a 503, because a store did not answer. */
void answers_refuse(const struct http_request *request, struct http_response *response,
                    enum status status);

/* Loads all items; on false the response says why not. The caller releases the products in either
 * case (answers_release). */
bool answers_load(struct handlers *handlers, const struct http_request *request,
                  struct http_response *response, struct flights_item *items, size_t count);
void answers_release(struct flights_item *items, size_t count);

/* Starts a 200 with the headers of a read that this tier answered; the caller adds the body. */
struct strbuf *answers_start(struct http_response *response, enum tier_source source);

/* Starts a 200 with the headers of a list of these items; the caller adds the body. */
struct strbuf *answers_start_list(struct http_response *response, const struct flights_item *items,
                                  size_t count);

/* Appends a JSON array of the products that are present; an item may have none. */
void answers_add_array(struct strbuf *body, const struct flights_item *items, size_t count,
                       answers_render *render);

#endif
