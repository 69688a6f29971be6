/* The query of a request: the parameters that a handler knows, decoded. */
#ifndef FASTSTOCK_COMMON_HTTP_QUERY_H
#define FASTSTOCK_COMMON_HTTP_QUERY_H

#include "common/http/message.h"

#include <stdbool.h>
#include <stddef.h>

/* A query parameter that a handler knows; an array of them ends with name == NULL. */
struct http_query_param {
    const char *name;
    char *value; /* set by http_read_query: decoded, owned; NULL when absent */
    size_t len;
};

/* Reads the known parameters. A repeated one, a bad percent-encoding or an unknown one makes the
 * response a 400, and false is returned. The unknown one is refused because the answer without it
 * would look like the answer to it. http_query_finish frees the values in either case. */
bool http_read_query(const struct http_request *request, struct http_query_param *params,
                     struct http_response *response);
void http_query_finish(struct http_query_param *params);

#endif
