/* Requests and responses as handlers see them; nothing here knows the HTTP library. A request and
 * its response belong to one thread. */
#ifndef FASTSTOCK_COMMON_HTTP_MESSAGE_H
#define FASTSTOCK_COMMON_HTTP_MESSAGE_H

#include "common/base/strbuf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_HEADERS_MAX 64
#define HTTP_PARAMS_MAX 2
#define HTTP_REQUEST_ID_SIZE 129
#define HTTP_TRACE_ID_SIZE 33

struct http_header {
    const char *name;
    const char *value;
};

struct http_text {
    const char *start;
    size_t len;
};

struct http_request {
    const char *method;
    const char *path;                         /* as it came: not percent-decoded */
    const char *query;                        /* what stood behind '?', or "" */
    struct http_text params[HTTP_PARAMS_MAX]; /* the {parts} of the route's path, in order */
    struct http_header headers[HTTP_HEADERS_MAX];
    size_t header_count;
    const char *body;
    size_t body_len;
    int64_t start_us;    /* monotonic; when the head had been read */
    int64_t deadline_us; /* monotonic; counted from when the body had been read too */
    char id[HTTP_REQUEST_ID_SIZE];
    char trace_id[HTTP_TRACE_ID_SIZE]; /* of traceparent (W3C Trace Context), or "" */
};

struct http_response {
    int status;
    const char *content_type; /* NULL: no body */
    struct strbuf headers;    /* "Name: value\r\n" lines beside those the server adds */
    struct strbuf body;
    bool close; /* end the connection after this response */
};

/* The first header of that name (case-insensitive), or NULL. */
const char *http_header(const struct http_request *request, const char *name);
size_t http_header_count(const struct http_request *request, const char *name);

/* Sets request->id and trace_id from its headers; a missing or unusable id is made up. */
void http_identify(struct http_request *request);

/* `value` must hold no line ends. */
void http_add_header(struct http_response *response, const char *name, const char *value);

/* Forgets what the response held and makes it JSON with this status; the caller adds the body. */
struct strbuf *http_start_json(struct http_response *response, int status);

enum http_problem {
    HTTP_BAD_REQUEST,
    HTTP_UNAUTHORIZED,
    HTTP_NOT_FOUND,
    HTTP_METHOD_NOT_ALLOWED,
    HTTP_REQUEST_TIMEOUT,
    HTTP_INSUFFICIENT_STOCK,
    HTTP_OUT_OF_RANGE,
    HTTP_LENGTH_REQUIRED,
    HTTP_PRECONDITION_FAILED,
    HTTP_PAYLOAD_TOO_LARGE,
    HTTP_UNSUPPORTED_MEDIA_TYPE,
    HTTP_HEADERS_TOO_LARGE,
    HTTP_VERSION_NOT_SUPPORTED,
    HTTP_REFUSED, /* by a store, until an operator has mended it */
    HTTP_OVERLOADED,
    HTTP_UNAVAILABLE,
};

/* Makes the response a problem (RFC 9457). `members` is NULL or further JSON members, each with a
 * comma in front. HTTP_OVERLOADED and HTTP_UNAVAILABLE get a Retry-After. */
void http_problem(const struct http_request *request, struct http_response *response,
                  enum http_problem problem, const char *detail, const char *members);

/* A 400 that names the field (of the path, query, headers or body; "request" for the whole) and
 * what it expects. */
void http_bad_field(const struct http_request *request, struct http_response *response,
                    const char *field, const char *detail);

/* The reason phrase of a status code. */
const char *http_reason(int status);

/* --- queries ---------------------------------------------------------------------------------- */

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
