#include "common/http/problem.h"

#include "common/base/json.h"

#include <assert.h>
#include <stdlib.h>

#define RETRY_AFTER_S "1"

static const struct http_problem_type types[HTTP_PROBLEMS] = {
    [HTTP_BAD_REQUEST] = {400, "bad-request", "Bad request"},
    [HTTP_UNAUTHORIZED] = {401, "unauthorized", "Unauthorized"},
    [HTTP_NOT_FOUND] = {404, "not-found", "Not found"},
    [HTTP_METHOD_NOT_ALLOWED] = {405, "method-not-allowed", "Method not allowed"},
    [HTTP_REQUEST_TIMEOUT] = {408, "request-timeout", "Request timeout"},
    [HTTP_LENGTH_REQUIRED] = {411, "length-required", "Length required"},
    [HTTP_PRECONDITION_FAILED] = {412, "precondition-failed", "Precondition failed"},
    [HTTP_PAYLOAD_TOO_LARGE] = {413, "payload-too-large", "Payload too large"},
    [HTTP_UNSUPPORTED_MEDIA_TYPE] = {415, "unsupported-media-type", "Unsupported media type"},
    [HTTP_EXPECTATION_FAILED] = {417, "expectation-failed", "Expectation failed"},
    [HTTP_HEADERS_TOO_LARGE] = {431, "headers-too-large", "Request header fields too large"},
    [HTTP_VERSION_NOT_SUPPORTED] = {505, "version-not-supported", "HTTP version not supported"},
    /* 504 is what RFC 9111 section 5.2.1.7 asks for */
    [HTTP_NOT_CACHED] = {504, "not-cached", "Not cached"},
    [HTTP_OVERLOADED] = {503, "overloaded", "Overloaded"},
    [HTTP_UNAVAILABLE] = {503, "unavailable", "Service unavailable"},
};

void http_problem_of(const struct http_request *request, struct http_response *response,
                     const struct http_problem_type *type, const char *detail, const char *members)
{
    struct strbuf *body = http_start_json(response, type->status);

    assert(type->status >= 400 && type->status <= 599);
    response->content_type = "application/problem+json";
    strbuf_addf(body,
                "{\"type\":\"/problems/%s\",\"title\":\"%s\",\"status\":%d,\"detail\":", type->slug,
                type->title, type->status);
    json_add_string(body, detail);
    strbuf_addf(body, ",\"instance\":\"urn:request:%s\"%s}", request->id,
                members == NULL ? "" : members);
    http_add_header(response, "Cache-Control", "no-store");
}

void http_problem(const struct http_request *request, struct http_response *response,
                  enum http_problem problem, const char *detail, const char *members)
{
    http_problem_of(request, response, &types[problem], detail, members);
    if (problem == HTTP_OVERLOADED || problem == HTTP_UNAVAILABLE) {
        http_add_header(response, "Retry-After", RETRY_AFTER_S);
    }
}

void http_bad_field(const struct http_request *request, struct http_response *response,
                    const char *field, const char *detail)
{
    struct strbuf members = STRBUF_EMPTY;
    struct strbuf text = STRBUF_EMPTY;

    strbuf_adds(&members, ",\"errors\":[{\"field\":");
    json_add_string(&members, field);
    strbuf_adds(&members, ",\"detail\":");
    json_add_string(&members, detail);
    strbuf_adds(&members, "}]");
    strbuf_addf(&text, "%s%s%s", field, *field == '\0' ? "" : ": ", detail);
    http_problem(request, response, HTTP_BAD_REQUEST, text.text, members.text);
    strbuf_finish(&text);
    strbuf_finish(&members);
}
