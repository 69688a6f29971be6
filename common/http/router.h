/* Routes as a table: a method, a path with {parts}, and the function that answers. A path may have
 * several methods, each in a row of its own, in one service or in two. */
#ifndef FASTSTOCK_COMMON_HTTP_ROUTER_H
#define FASTSTOCK_COMMON_HTTP_ROUTER_H

#include "common/http/message.h"

#include <stdbool.h>

/* Fills the response. Runs on a thread of the server, many at a time. */
typedef void http_handler(const struct http_request *request, struct http_response *response,
                          void *context);

/* The same for an answer that is ready: false when there is none at once, so that `handle` is
 * asked. It must not wait for anything, because it runs on a thread that many connections wait for
 * (parked.h). What it has put into the response then is forgotten. */
typedef bool http_quick_handler(const struct http_request *request, struct http_response *response,
                                void *context);

struct http_route {
    const char *method; /* GET answers HEAD too; NULL ends a table */
    const char *path;   /* e.g. "/api/products/{id}"; also the route's name in metrics and logs */
    http_handler *handle;
    http_quick_handler *quick; /* NULL: none; of a GET only */
    bool is_streamed;          /* the handler reads the body as it arrives (stream.h) */
};

/* A route of the whole system, whichever service answers it. */
struct http_known_route {
    const char *method; /* NULL ends a table */
    const char *path;
    const char *service;
};

/* Does `path` have the form of `pattern`? A {part} takes one or more characters up to the next '/'.
 * `ret_params` (may be NULL) gets them in order. */
bool http_path_matches(const char *pattern, const char *path,
                       struct http_text ret_params[HTTP_PARAMS_MAX]);

/* The route that answers the request, its params set; else NULL. */
const struct http_route *http_match_route(const struct http_route *routes,
                                          struct http_request *request);

/* The same; when there is none, the response is made a 404, or a 405 whose Allow has the methods of
 * the path in `routes` and in `known` (NULL: nothing is known of other services). */
const struct http_route *http_find_route(const struct http_route *routes,
                                         const struct http_known_route *known,
                                         struct http_request *request,
                                         struct http_response *response);

#endif
