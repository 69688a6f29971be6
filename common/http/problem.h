/* Problems: how an error is told (RFC 9457). This layer has those that HTTP itself knows; a service
 * adds the ones of its domain as a struct http_problem_type of its own. */
#ifndef FASTSTOCK_COMMON_HTTP_PROBLEM_H
#define FASTSTOCK_COMMON_HTTP_PROBLEM_H

#include "common/http/message.h"

struct http_problem_type {
    int status;
    const char *slug;  /* "/problems/<slug>" is its URI; part of the API */
    const char *title; /* the same for every occurrence */
};

enum http_problem {
    HTTP_BAD_REQUEST,
    HTTP_UNAUTHORIZED,
    HTTP_NOT_FOUND,
    HTTP_METHOD_NOT_ALLOWED,
    HTTP_REQUEST_TIMEOUT,
    HTTP_LENGTH_REQUIRED,
    HTTP_PRECONDITION_FAILED,
    HTTP_PAYLOAD_TOO_LARGE,
    HTTP_UNSUPPORTED_MEDIA_TYPE,
    HTTP_EXPECTATION_FAILED,
    HTTP_HEADERS_TOO_LARGE,
    HTTP_VERSION_NOT_SUPPORTED,
    HTTP_NOT_CACHED,
    HTTP_OVERLOADED,
    HTTP_UNAVAILABLE,
    HTTP_PROBLEMS
};

/* Makes the response a problem. `members` is NULL or further JSON members, each with a comma in
 * front. HTTP_OVERLOADED and HTTP_UNAVAILABLE get a Retry-After, because both pass. */
void http_problem(const struct http_request *request, struct http_response *response,
                  enum http_problem problem, const char *detail, const char *members);

/* The same with a problem of the service's own. */
void http_problem_of(const struct http_request *request, struct http_response *response,
                     const struct http_problem_type *type, const char *detail, const char *members);

/* A 400 that names the field (of the path, query, headers or body; "request" for the whole) and
 * the values that it may have. */
void http_bad_field(const struct http_request *request, struct http_response *response,
                    const char *field, const char *detail);

#endif
