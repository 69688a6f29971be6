#include "common/http/message.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/json.h"
#include "common/base/parse.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#define RETRY_AFTER_S "1"

static const struct {
    int status;
    const char *slug;
    const char *title;
} problems[] = {
    [HTTP_BAD_REQUEST] = {400, "bad-request", "Bad request"},
    [HTTP_UNAUTHORIZED] = {401, "unauthorized", "Unauthorized"},
    [HTTP_NOT_FOUND] = {404, "not-found", "Not found"},
    [HTTP_METHOD_NOT_ALLOWED] = {405, "method-not-allowed", "Method not allowed"},
    [HTTP_REQUEST_TIMEOUT] = {408, "request-timeout", "Request timeout"},
    [HTTP_INSUFFICIENT_STOCK] = {409, "insufficient-stock", "Insufficient stock"},
    [HTTP_OUT_OF_RANGE] = {409, "out-of-range", "Stock out of range"},
    [HTTP_LENGTH_REQUIRED] = {411, "length-required", "Length required"},
    [HTTP_PRECONDITION_FAILED] = {412, "precondition-failed", "Precondition failed"},
    [HTTP_PAYLOAD_TOO_LARGE] = {413, "payload-too-large", "Payload too large"},
    [HTTP_UNSUPPORTED_MEDIA_TYPE] = {415, "unsupported-media-type", "Unsupported media type"},
    [HTTP_HEADERS_TOO_LARGE] = {431, "headers-too-large", "Request header fields too large"},
    [HTTP_VERSION_NOT_SUPPORTED] = {505, "version-not-supported", "HTTP version not supported"},
    [HTTP_REFUSED] = {500, "refused-by-store", "Refused by a store"},
    [HTTP_OVERLOADED] = {503, "overloaded", "Overloaded"},
    [HTTP_UNAVAILABLE] = {503, "unavailable", "Service unavailable"},
};

const char *http_reason(int status)
{
    for (size_t i = 0; i < FS_ARRAY_LEN(problems); i++) {
        if (problems[i].status == status && status != 409 && status != 503) {
            return problems[i].title;
        }
    }
    switch (status) {
    case 200:
        return "OK";
    case 204:
        return "No Content";
    case 304:
        return "Not Modified";
    case 409:
        return "Conflict";
    case 503:
        return "Service Unavailable";
    default:
        return "Unknown";
    }
}

const char *http_header(const struct http_request *request, const char *name)
{
    for (size_t i = 0; i < request->header_count; i++) {
        if (strcasecmp(request->headers[i].name, name) == 0) {
            return request->headers[i].value;
        }
    }
    return NULL;
}

size_t http_header_count(const struct http_request *request, const char *name)
{
    size_t count = 0;

    for (size_t i = 0; i < request->header_count; i++) {
        count += strcasecmp(request->headers[i].name, name) == 0;
    }
    return count;
}

/* --- who asks --------------------------------------------------------------------------------- */

static bool only_of(const char *text, size_t len, const char *allowed)
{
    return strspn(text, allowed) >= len;
}

static bool usable_request_id(const char *id)
{
    size_t len = id == NULL ? 0 : strlen(id);

    return len > 0 && len < HTTP_REQUEST_ID_SIZE &&
           only_of(id, len, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");
}

/* 64 random bits, from a generator of this thread that the kernel seeded (splitmix64, Steele et al.
 * 2014). */
static uint64_t random_bits(void)
{
    static _Thread_local uint64_t state;
    uint64_t z;

    if (state == 0 && getrandom(&state, sizeof(state), 0) != (ssize_t)sizeof(state)) {
        state = (uint64_t)clock_wall_us() ^ (uint64_t)(uintptr_t)&state;
    }
    z = state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

/* version 00: "00-" 32 hex "-" 16 hex "-" 2 hex; a later version may have more behind. All zeros is
 * no id. */
static void read_traceparent(const char *value, char trace_id[HTTP_TRACE_ID_SIZE])
{
    static const char hex[] = "0123456789abcdef";

    trace_id[0] = '\0';
    if (value != NULL && strlen(value) >= 55 && only_of(value, 2, hex) &&
        strncmp(value, "ff", 2) != 0 && value[2] == '-' && only_of(value + 3, 32, hex) &&
        !only_of(value + 3, 32, "0") && value[35] == '-' && only_of(value + 36, 16, hex) &&
        !only_of(value + 36, 16, "0") && value[52] == '-' && only_of(value + 53, 2, hex) &&
        (value[55] == '\0' || (value[55] == '-' && strncmp(value, "00", 2) != 0))) {
        memcpy(trace_id, value + 3, 32);
        trace_id[32] = '\0';
    }
}

static void format_hex(uint64_t value, char *out)
{
    static const char hex[] = "0123456789abcdef";

    for (int i = 15; i >= 0; i--, value >>= 4) {
        out[i] = hex[value & 15];
    }
    out[16] = '\0';
}

void http_identify(struct http_request *request)
{
    const char *id = http_header(request, "X-Request-Id");

    if (usable_request_id(id)) {
        memcpy(request->id, id, strlen(id) + 1);
    } else {
        format_hex(random_bits(), request->id);
    }
    read_traceparent(http_header(request, "traceparent"), request->trace_id);
}

/* --- answers ---------------------------------------------------------------------------------- */

void http_add_header(struct http_response *response, const char *name, const char *value)
{
    strbuf_adds(&response->headers, name);
    strbuf_add(&response->headers, ": ", 2);
    strbuf_adds(&response->headers, value);
    strbuf_add(&response->headers, "\r\n", 2);
}

struct strbuf *http_start_json(struct http_response *response, int status)
{
    response->status = status;
    response->content_type = "application/json";
    strbuf_clear(&response->headers);
    strbuf_clear(&response->body);
    return &response->body;
}

void http_problem(const struct http_request *request, struct http_response *response,
                  enum http_problem problem, const char *detail, const char *members)
{
    struct strbuf *body = http_start_json(response, problems[problem].status);

    response->content_type = "application/problem+json";
    strbuf_addf(body, "{\"type\":\"/problems/%s\",\"title\":\"%s\",\"status\":%d,\"detail\":",
                problems[problem].slug, problems[problem].title, problems[problem].status);
    json_add_string(body, detail);
    strbuf_addf(body, ",\"instance\":\"urn:request:%s\"%s}", request->id,
                members == NULL ? "" : members);
    http_add_header(response, "Cache-Control", "no-store");
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

/* --- queries ---------------------------------------------------------------------------------- */

/* A decoded copy of a part of the query, NULL when its encoding is bad. */
static char *decode(const char *start, size_t len, size_t *ret_len)
{
    char *copy = fs_calloc(1, len + 1);

    memcpy(copy, start, len);
    *ret_len = len;
    if (!parse_percent_decode(copy, ret_len)) {
        free(copy);
        return NULL;
    }
    copy[*ret_len] = '\0';
    return copy;
}

/* One "name=value". */
static bool read_pair(const struct http_request *request, const char *start, size_t len,
                      struct http_query_param *params, struct http_response *response)
{
    const char *equals = memchr(start, '=', len);
    size_t name_len = equals == NULL ? len : (size_t)(equals - start);
    size_t decoded_len = 0;
    char *name = decode(start, name_len, &decoded_len);

    if (name == NULL) {
        http_bad_field(request, response, "query", "bad percent-encoding, or not UTF-8");
        return false;
    }
    while (params->name != NULL && strcmp(params->name, name) != 0) {
        params++;
    }
    free(name);
    if (params->name == NULL) {
        return true;
    }
    if (params->value != NULL) {
        http_bad_field(request, response, params->name, "expected once, is repeated");
        return false;
    }
    params->value =
        equals == NULL ? fs_strdup("") : decode(equals + 1, len - name_len - 1, &params->len);
    if (params->value == NULL) {
        http_bad_field(request, response, params->name, "bad percent-encoding, or not UTF-8");
        return false;
    }
    return true;
}

bool http_read_query(const struct http_request *request, struct http_query_param *params,
                     struct http_response *response)
{
    const char *p = request->query;

    while (*p != '\0') {
        size_t len = strcspn(p, "&");

        if (len > 0 && !read_pair(request, p, len, params, response)) {
            return false;
        }
        p += len + (p[len] == '&' ? 1 : 0);
    }
    return true;
}

void http_query_finish(struct http_query_param *params)
{
    for (; params->name != NULL; params++) {
        free(params->value);
        params->value = NULL;
    }
}
