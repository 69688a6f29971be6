#include "read-svc/handlers/movements.h"

#include "read-svc/handlers/answers.h"
#include "read-svc/movements.h"

#include "common/http/problem.h"
#include "common/http/query.h"

#include <stdlib.h>
#include <string.h>

#define LIMIT_DEFAULT 100

/* --- of one product --------------------------------------------------------------------------- */

static void answer_history(const struct http_request *request, struct http_response *response,
                           struct handlers *handlers, int64_t id, int64_t after, int64_t limit)
{
    struct strbuf *body = answers_start(response, TIER_DATABASE, 0);
    enum status status;
    int64_t next;
    bool is_found;

    strbuf_adds(body, "{\"data\":[");
    status = movements_read_product(handlers->database, id, after, (size_t)limit,
                                    request->deadline_us, body, &is_found, &next);
    if (status != STATUS_OK) {
        answers_refuse(request, response, status);
    } else if (!is_found) {
        http_problem(request, response, HTTP_NOT_FOUND, "no such product", NULL);
    } else {
        strbuf_adds(body, "],\"meta\":");
        answers_add_meta_after(body, limit, next);
        strbuf_addc(body, '}');
    }
}

void handle_movements(const struct http_request *request, struct http_response *response,
                      void *context)
{
    struct http_query_param params[] = {{.name = "after"}, {.name = "limit"}, {.name = NULL}};
    int64_t id;
    int64_t after;
    int64_t limit;

    if (answers_read_id(request, response, "product", &id) &&
        http_read_query(request, params, response) &&
        answers_read_number(request, response, &params[0], 0, INT64_MAX, 0, &after) &&
        answers_read_number(request, response, &params[1], 1, MOVEMENTS_PAGE_MAX, LIMIT_DEFAULT,
                            &limit)) {
        answer_history(request, response, context, id, after, limit);
    }
    http_query_finish(params);
}

/* --- the feed --------------------------------------------------------------------------------- */

static const struct http_problem_type feed_gone = {410, "feed-gone", "The feed has moved on"};

static void add_feed_meta(struct strbuf *body, const struct feed_cursor *next, bool is_last)
{
    strbuf_adds(body, "{\"next\":\"");
    feed_cursor_add(body, next); /* no character of it is escaped, in JSON or in a query */
    strbuf_addf(body, "\",\"caughtUp\":%s}", is_last ? "true" : "false");
}

static void answer_changes(const struct http_request *request, struct http_response *response,
                           struct handlers *handlers, const struct feed_cursor *cursor,
                           int64_t limit)
{
    struct strbuf *body = answers_start(response, TIER_DATABASE, 0);
    struct movements_page page;
    enum status status;

    strbuf_adds(body, "{\"data\":[");
    status = movements_read_changes(handlers->database, cursor, (size_t)limit, request->deadline_us,
                                    body, &page);
    if (status != STATUS_OK) {
        answers_refuse(request, response, status);
    } else if (page.is_gone) {
        http_problem_of(request, response, &feed_gone,
                        "movements behind this cursor were removed or lost: take a cursor with "
                        "after=now, then read the products, then follow from that cursor",
                        ",\"begin\":\"/api/changes?after=now\"");
    } else {
        strbuf_adds(body, "],\"meta\":");
        add_feed_meta(body, &page.next, page.is_last);
        strbuf_addc(body, '}');
        feed_cursor_finish(&page.next);
    }
}

/* A cursor of now needs no page: nothing is behind it yet. */
static void answer_now(struct http_response *response, const struct feed_cursor *now)
{
    struct strbuf *body = answers_start(response, TIER_DATABASE, 0);

    strbuf_adds(body, "{\"data\":[],\"meta\":");
    add_feed_meta(body, now, true);
    strbuf_addc(body, '}');
}

/* Where to read on; on false the response says why not. The caller finishes the cursor. */
static bool read_cursor(const struct http_request *request, struct http_response *response,
                        struct handlers *handlers, const struct http_query_param *after,
                        bool is_now, struct feed_cursor *ret_cursor)
{
    enum status status;

    if (after->value != NULL && !is_now) {
        if (feed_cursor_parse(after->value, after->len, ret_cursor)) {
            return true;
        }
        http_bad_field(request, response, "after",
                       "expected meta.next of an earlier answer, or now; or nothing, to begin at "
                       "the beginning");
        return false;
    }
    status = movements_begin(handlers->database, is_now, request->deadline_us, ret_cursor);
    if (status != STATUS_OK) {
        answers_refuse(request, response, status);
    }
    return status == STATUS_OK;
}

void handle_changes(const struct http_request *request, struct http_response *response,
                    void *context)
{
    struct http_query_param params[] = {{.name = "after"}, {.name = "limit"}, {.name = NULL}};
    struct feed_cursor cursor;
    int64_t limit;

    if (http_read_query(request, params, response) &&
        answers_read_number(request, response, &params[1], 1, MOVEMENTS_PAGE_MAX, LIMIT_DEFAULT,
                            &limit)) {
        bool is_now = params[0].value != NULL && strcmp(params[0].value, "now") == 0;

        if (read_cursor(request, response, context, &params[0], is_now, &cursor)) {
            if (is_now) {
                answer_now(response, &cursor);
            } else {
                answer_changes(request, response, context, &cursor, limit);
            }
            feed_cursor_finish(&cursor);
        }
    }
    http_query_finish(params);
}
