#include "read-svc/handlers/orders.h"

#include "read-svc/handlers/answers.h"
#include "read-svc/orders.h"

#include "common/http/problem.h"
#include "common/http/query.h"

#include <inttypes.h>
#include <stdio.h>

#define LIMIT_DEFAULT 20

/* Adds the JSON of the order or reservation with this id. */
typedef enum status read_one(struct pg_store *database, int64_t id, int64_t deadline_us,
                             struct strbuf *json, bool *ret_found);

static void answer_one(const struct http_request *request, struct http_response *response,
                       struct handlers *handlers, const char *noun, read_one *read)
{
    char detail[64];
    bool is_found;
    enum status status;
    int64_t id;

    if (!answers_read_id(request, response, noun, &id)) {
        return;
    }
    status = read(handlers->database, id, request->deadline_us,
                  answers_start(response, TIER_DATABASE, 0), &is_found);
    if (status != STATUS_OK) {
        answers_refuse(request, response, status);
    } else if (!is_found) {
        snprintf(detail, sizeof(detail), "no such %s", noun);
        http_problem(request, response, HTTP_NOT_FOUND, detail, NULL);
    }
}

void handle_order(const struct http_request *request, struct http_response *response, void *context)
{
    answer_one(request, response, context, "order", orders_read_order);
}

void handle_reservation(const struct http_request *request, struct http_response *response,
                        void *context)
{
    answer_one(request, response, context, "reservation", orders_read_reservation);
}

static void answer_page(const struct http_request *request, struct http_response *response,
                        struct handlers *handlers, int64_t after, int64_t limit)
{
    struct strbuf *body = answers_start(response, TIER_DATABASE, 0);
    int64_t next;
    enum status status;

    strbuf_adds(body, "{\"data\":[");
    status = orders_read_page(handlers->database, after, (size_t)limit, request->deadline_us, body,
                              &next);
    if (status != STATUS_OK) {
        answers_refuse(request, response, status);
        return;
    }
    strbuf_adds(body, "],\"meta\":");
    answers_add_meta_after(body, limit, next);
    strbuf_addc(body, '}');
}

void handle_orders(const struct http_request *request, struct http_response *response,
                   void *context)
{
    struct http_query_param params[] = {{.name = "after"}, {.name = "limit"}, {.name = NULL}};
    int64_t after;
    int64_t limit;

    if (http_read_query(request, params, response) &&
        answers_read_number(request, response, &params[0], 0, INT64_MAX, 0, &after) &&
        answers_read_number(request, response, &params[1], 1, ORDERS_PAGE_MAX, LIMIT_DEFAULT,
                            &limit)) {
        answer_page(request, response, context, after, limit);
    }
    http_query_finish(params);
}
