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

/* Reads the known parameters. Unknown ones are ignored; a repeated known one or a bad
 * percent-encoding makes the response a 400 and false is returned. http_query_finish frees the
 * values in either case. */
bool http_read_query(const struct http_request *request, struct http_query_param *params,
                     struct http_response *response);
void http_query_finish(struct http_query_param *params);

#endif
