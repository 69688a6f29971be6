#include "common/http/content.h"

#include "common/base/parse.h"
#include "common/http/problem.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* A problem after which the connection ends, because its bytes behind the head
 * cannot be told apart from a body. */
static bool refuse(const struct http_request *request, struct http_response *response,
                   enum http_problem problem, const char *detail)
{
    http_problem(request, response, problem, detail, NULL);
    response->close = true;
    return false;
}

static bool refuse_length(const struct http_request *request, struct http_response *response)
{
    http_bad_field(request, response, "Content-Length", "expected once, a whole number");
    response->close = true;
    return false;
}

/* A coding that is none may be named: identity. */
static bool is_coded(const struct http_request *request)
{
    for (const struct http_header *header = http_header_first(request, HTTP_CONTENT_ENCODING);
         header != NULL; header = http_header_next(request, header)) {
        if (strcasecmp(header->value, "identity") != 0) {
            return true;
        }
    }
    return false;
}

bool http_wants_continue(const struct http_request *request)
{
    const char *expect = http_header(request, HTTP_EXPECT);

    return expect != NULL && strcasecmp(expect, "100-continue") == 0;
}

/* Must the body be refused for how it comes? Then the response says so. */
static bool check_transfer(const struct http_request *request, struct http_response *response)
{
    if (http_header(request, HTTP_EXPECT) != NULL &&
        (!http_wants_continue(request) || http_header_count(request, HTTP_EXPECT) > 1)) {
        return refuse(request, response, HTTP_EXPECTATION_FAILED,
                      "expected no Expect, or 100-continue");
    }
    if (is_coded(request)) {
        refuse(request, response, HTTP_UNSUPPORTED_MEDIA_TYPE,
               "expected a body without Content-Encoding");
        http_add_header(response, "Accept-Encoding", "identity"); /* RFC 9110 section 15.5.16 */
        return false;
    }
    return true;
}

/* 0 when there is none. */
static bool read_length(const struct http_request *request, struct http_response *response,
                        int64_t *ret_len)
{
    const struct http_header *length = http_header_first(request, HTTP_CONTENT_LENGTH);

    *ret_len = 0;
    return length == NULL ||
           (http_header_count(request, HTTP_CONTENT_LENGTH) == 1 &&
            parse_int(length->value, length->value_len, 0, INT64_MAX, ret_len)) ||
           refuse_length(request, response);
}

bool http_content_length(const struct http_request *request, int64_t max,
                         struct http_response *response, size_t *ret_len)
{
    char detail[96];
    int64_t len;

    if (http_header(request, HTTP_TRANSFER_ENCODING) != NULL) {
        return refuse(request, response, HTTP_LENGTH_REQUIRED,
                      "Transfer-Encoding is not taken; send a Content-Length");
    }
    if (!check_transfer(request, response) || !read_length(request, response, &len)) {
        return false;
    }
    if (len > max) {
        snprintf(detail, sizeof(detail), "expected a body of at most %" PRId64 " bytes", max);
        return refuse(request, response, HTTP_PAYLOAD_TOO_LARGE, detail);
    }
    *ret_len = (size_t)len;
    return true;
}

/* A message with both a length and chunks might be an attempt to smuggle a request past a proxy
 * (RFC 9112 section 6.3). */
static bool check_chunks(const struct http_request *request, struct http_response *response)
{
    if (http_header_count(request, HTTP_TRANSFER_ENCODING) > 1 ||
        strcasecmp(http_header(request, HTTP_TRANSFER_ENCODING), "chunked") != 0 ||
        http_header(request, HTTP_CONTENT_LENGTH) != NULL) {
        return refuse(request, response, HTTP_LENGTH_REQUIRED,
                      "expected either a Content-Length, or Transfer-Encoding: chunked");
    }
    return true;
}

bool http_stream_length(const struct http_request *request, struct http_response *response,
                        bool *ret_is_chunked, int64_t *ret_len)
{
    bool is_chunked = http_header(request, HTTP_TRANSFER_ENCODING) != NULL;

    if (!check_transfer(request, response)) {
        return false;
    }
    if (!is_chunked && http_header(request, HTTP_CONTENT_LENGTH) == NULL) {
        return refuse(request, response, HTTP_LENGTH_REQUIRED,
                      "expected a body, with a Content-Length or in chunks");
    }
    if ((is_chunked && !check_chunks(request, response)) ||
        !read_length(request, response, ret_len)) {
        return false;
    }
    *ret_is_chunked = is_chunked;
    return true;
}

/* --- media types --------------------------------------------------------------------------------
 */

static const char *skip_blanks(const char *p)
{
    return p + strspn(p, " \t");
}

/* One parameter of a media type at *p, 'name=value' or 'name="value"' (RFC 9110 section 5.6.6).
 * Moves *p behind it; false when it is none, or a charset other than UTF-8. */
static bool check_parameter(const char **p)
{
    const char *name = *p;
    size_t name_len = strcspn(name, "= \t;");
    const char *value = name + name_len + 1;
    bool is_quoted;
    size_t len;

    if (name_len == 0 || name[name_len] != '=') {
        return false;
    }
    is_quoted = *value == '"';
    value += is_quoted ? 1 : 0;
    len = strcspn(value, is_quoted ? "\"" : " \t;");
    if (len == 0 || (is_quoted && value[len] != '"')) {
        return false;
    }
    *p = value + len + (is_quoted ? 1 : 0);
    return name_len != 7 || strncasecmp(name, "charset", 7) != 0 ||
           (len == 5 && strncasecmp(value, "utf-8", 5) == 0);
}

/* Is it this media type, in UTF-8? */
static bool is_type(const char *type, const char *expected)
{
    const char *p = type + strlen(expected);

    if (strncasecmp(type, expected, strlen(expected)) != 0) {
        return false;
    }
    for (p = skip_blanks(p); *p == ';'; p = skip_blanks(p)) {
        p = skip_blanks(p + 1);
        if (*p != ';' && *p != '\0' && !check_parameter(&p)) {
            return false;
        }
    }
    return *p == '\0';
}

bool http_check_json(const struct http_request *request, struct http_response *response)
{
    const char *type = http_header(request, HTTP_CONTENT_TYPE);

    if (http_header(request, HTTP_CONTENT_LENGTH) == NULL) {
        http_problem(request, response, HTTP_LENGTH_REQUIRED,
                     "expected a body and its Content-Length", NULL);
        return false;
    }
    if (http_header_count(request, HTTP_CONTENT_TYPE) == 1 && is_type(type, "application/json")) {
        return true;
    }
    http_problem(request, response, HTTP_UNSUPPORTED_MEDIA_TYPE,
                 "expected Content-Type: application/json, in UTF-8", NULL);
    return false;
}

bool http_check_ndjson(const struct http_request *request, struct http_response *response)
{
    if (http_header_count(request, HTTP_CONTENT_TYPE) == 1 &&
        is_type(http_header(request, HTTP_CONTENT_TYPE), "application/x-ndjson")) {
        return true;
    }
    http_problem(request, response, HTTP_UNSUPPORTED_MEDIA_TYPE,
                 "expected Content-Type: application/x-ndjson, in UTF-8", NULL);
    return false;
}
