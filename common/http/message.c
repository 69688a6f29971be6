#include "common/http/message.h"

#include "common/base/alloc.h"
#include "common/base/random.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

/* --- headers ---------------------------------------------------------------------------------- */

#define NAMED(name) (name), sizeof(name) - 1

static const struct {
    const char *text;
    size_t len;
} names[HTTP_NAMES] = {
    [HTTP_OTHER_NAME] = {"", 0},
    [HTTP_AUTHORIZATION] = {NAMED("Authorization")},
    [HTTP_CACHE_CONTROL] = {NAMED("Cache-Control")},
    [HTTP_CONNECTION] = {NAMED("Connection")},
    [HTTP_CONTENT_ENCODING] = {NAMED("Content-Encoding")},
    [HTTP_CONTENT_LENGTH] = {NAMED("Content-Length")},
    [HTTP_CONTENT_TYPE] = {NAMED("Content-Type")},
    [HTTP_EXPECT] = {NAMED("Expect")},
    [HTTP_HOST] = {NAMED("Host")},
    [HTTP_IDEMPOTENCY_KEY] = {NAMED("Idempotency-Key")},
    [HTTP_IF_MATCH] = {NAMED("If-Match")},
    [HTTP_IF_NONE_MATCH] = {NAMED("If-None-Match")},
    [HTTP_MIN_VERSION] = {NAMED("Min-Version")},
    [HTTP_TRACEPARENT] = {NAMED("traceparent")},
    [HTTP_TRANSFER_ENCODING] = {NAMED("Transfer-Encoding")},
    [HTTP_X_REQUEST_ID] = {NAMED("X-Request-Id")},
};

/* The number of a name (case-insensitive, RFC 9110 section 5.1). Few names have the same length,
 * so nearly all are told apart by it alone. */
static enum http_name known_name(const char *name, size_t len)
{
    for (enum http_name i = HTTP_OTHER_NAME + 1; i < HTTP_NAMES; i++) {
        if (names[i].len == len && strncasecmp(names[i].text, name, len) == 0) {
            return i;
        }
    }
    return HTTP_OTHER_NAME;
}

void http_request_init(struct http_request *request, const char *method, const char *path,
                       const char *query)
{
    memset(request, 0, offsetof(struct http_request, headers));
    request->method = method;
    request->path = path;
    request->query = query;
    request->body = "";
}

bool http_request_add(struct http_request *request, const char *name, size_t name_len,
                      const char *value, size_t value_len)
{
    enum http_name known = known_name(name, name_len);

    assert(name[name_len] == '\0' && value[value_len] == '\0');
    if (request->header_count == HTTP_HEADERS_MAX) {
        return false;
    }
    request->headers[request->header_count++] =
        (struct http_header){name, value, name_len, value_len, known};
    if (request->count[known]++ == 0) {
        request->first[known] = (uint8_t)request->header_count;
    }
    return true;
}

const struct http_header *http_header_first(const struct http_request *request, enum http_name name)
{
    return request->count[name] == 0 ? NULL : &request->headers[request->first[name] - 1];
}

const struct http_header *http_header_next(const struct http_request *request,
                                           const struct http_header *header)
{
    const struct http_header *end = request->headers + request->header_count;

    for (const struct http_header *next = header + 1; next < end; next++) {
        if (next->known == header->known) {
            return next;
        }
    }
    return NULL;
}

const char *http_header(const struct http_request *request, enum http_name name)
{
    const struct http_header *header = http_header_first(request, name);

    return header == NULL ? NULL : header->value;
}

size_t http_header_count(const struct http_request *request, enum http_name name)
{
    return request->count[name];
}

/* --- identity of a request -------------------------------------------------------------------- */

static bool only_of(const char *text, size_t len, const char *allowed)
{
    return strspn(text, allowed) >= len;
}

static bool usable_request_id(const char *id, size_t len)
{
    return len > 0 && len < HTTP_REQUEST_ID_SIZE &&
           only_of(id, len, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");
}

/* version 00: "00-" 32 hex "-" 16 hex "-" 2 hex; a later version may have more behind. All zeros is
 * no id. The last bit of the flags says that the caller records the trace (section 3.2.2.5.1). */
static void read_traceparent(const char *value, struct http_request *request)
{
    static const char hex[] = "0123456789abcdef";

    request->trace_id[0] = '\0';
    request->parent_id[0] = '\0';
    request->is_sampled = false;
    if (value != NULL && strlen(value) >= 55 && only_of(value, 2, hex) &&
        strncmp(value, "ff", 2) != 0 && value[2] == '-' && only_of(value + 3, 32, hex) &&
        !only_of(value + 3, 32, "0") && value[35] == '-' && only_of(value + 36, 16, hex) &&
        !only_of(value + 36, 16, "0") && value[52] == '-' && only_of(value + 53, 2, hex) &&
        (value[55] == '\0' || (value[55] == '-' && strncmp(value, "00", 2) != 0))) {
        memcpy(request->trace_id, value + 3, 32);
        memcpy(request->parent_id, value + 36, 16);
        request->trace_id[32] = '\0';
        request->parent_id[16] = '\0';
        request->is_sampled = (strchr(hex, value[54]) - hex) % 2 == 1;
    }
}

/* An id that is made up is two words long, as nginx's are. */
void http_identify(struct http_request *request)
{
    const struct http_header *id = http_header_first(request, HTTP_X_REQUEST_ID);

    if (id != NULL && usable_request_id(id->value, id->value_len)) {
        memcpy(request->id, id->value, id->value_len + 1);
    } else {
        random_hex(request->id);
        random_hex(request->id + RANDOM_HEX_SIZE - 1);
    }
    read_traceparent(http_header(request, HTTP_TRACEPARENT), request);
}

size_t http_token_len(const char *text)
{
    return strspn(text, "!#$%&'*+-.^_`|~0123456789"
                        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");
}

/* --- answers ---------------------------------------------------------------------------------- */

static void start(struct http_response *response, int status, const char *content_type)
{
    response->status = status;
    response->content_type = content_type;
    response->prepared_body_at = 0;
    strbuf_clear(&response->headers);
    strbuf_clear(&response->body);
}

void http_response_reset(struct http_response *response)
{
    start(response, 0, NULL);
    response->close = false;
    response->is_cut = false;
}

void http_response_finish(struct http_response *response)
{
    strbuf_finish(&response->headers);
    strbuf_finish(&response->body);
}

void http_add_header(struct http_response *response, const char *name, const char *value)
{
    strbuf_adds(&response->headers, name);
    strbuf_add(&response->headers, ": ", 2);
    strbuf_adds(&response->headers, value);
    strbuf_add(&response->headers, "\r\n", 2);
}

struct strbuf *http_start_json(struct http_response *response, int status)
{
    start(response, status, "application/json");
    return &response->body;
}

void http_start_prepared(struct http_response *response, int status, const char *text, size_t len,
                         size_t body_len)
{
    static const char empty_line[] = "\r\n\r\n";
    const size_t empty_line_len = sizeof(empty_line) - 1;

    assert(len >= empty_line_len + body_len);
    assert(memcmp(text + len - body_len - empty_line_len, empty_line, empty_line_len) == 0);
    start(response, status, NULL);
    strbuf_add(&response->body, text, len);
    response->prepared_body_at = len - body_len;
}

const char *http_reason(int status)
{
    static const struct {
        int status;
        const char *phrase;
    } phrases[] = {
        {200, "OK"},
        {201, "Created"},
        {204, "No Content"},
        {304, "Not Modified"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {411, "Length Required"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {415, "Unsupported Media Type"},
        {417, "Expectation Failed"},
        {422, "Unprocessable Content"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
    };

    for (size_t i = 0; i < FS_ARRAY_LEN(phrases); i++) {
        if (phrases[i].status == status) {
            return phrases[i].phrase;
        }
    }
    return status < 300 ? "OK" : status < 500 ? "Bad Request" : "Internal Server Error";
}

/* "X-Instance: ...\r\n", or nothing */
static char instance_line[HTTP_INSTANCE_SIZE + sizeof("X-Instance: \r\n")];

void http_set_instance(const char *name)
{
    assert(strlen(name) < HTTP_INSTANCE_SIZE && strpbrk(name, "\r\n") == NULL);
    snprintf(instance_line, sizeof(instance_line), "X-Instance: %s\r\n", name);
}

/* The lines that stay the same for a second, made anew by each thread: X-Instance is copied with
 * Date, so it costs an answer no work of its own. */
static void add_lines_of_second(struct strbuf *out)
{
    static _Thread_local char text[64 + sizeof(instance_line)];
    static _Thread_local size_t len;
    static _Thread_local time_t made_at;
    time_t now = time(NULL);
    struct tm utc;

    if (now != made_at) {
        gmtime_r(&now, &utc);
        len = strftime(text, 64, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &utc);
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%s", instance_line);
        made_at = now;
    }
    strbuf_add(out, text, len);
}

static void add_number_header(struct strbuf *out, const char *name_and_colon, size_t value)
{
    strbuf_adds(out, name_and_colon);
    strbuf_add_int(out, (int64_t)value);
    strbuf_add(out, "\r\n", 2);
}

static void add_content_type(const struct http_response *response, struct strbuf *out)
{
    if (response->content_type != NULL) {
        strbuf_adds(out, "Content-Type: ");
        strbuf_adds(out, response->content_type);
        strbuf_add(out, "\r\n", 2);
    }
}

static void add_first_lines(const struct http_response *response, struct strbuf *out)
{
    strbuf_adds(out, "HTTP/1.1 ");
    strbuf_add_int(out, response->status);
    strbuf_addc(out, ' ');
    strbuf_adds(out, http_reason(response->status));
    strbuf_add(out, "\r\n", 2);
    add_lines_of_second(out);
    add_content_type(response, out);
}

static void add_last_lines(const struct http_request *request, const struct http_response *response,
                           struct strbuf *out)
{
    strbuf_add(out, strbuf_text(&response->headers), response->headers.len);
    strbuf_adds(out, "X-Request-Id: ");
    strbuf_adds(out, request->id);
    strbuf_adds(out,
                response->close ? "\r\nConnection: close\r\n" : "\r\nConnection: keep-alive\r\n");
}

size_t http_prepare(const struct http_response *response, struct strbuf *out)
{
    add_content_type(response, out);
    add_number_header(out, "Content-Length: ", response->body.len);
    strbuf_add(out, strbuf_text(&response->headers), response->headers.len);
    strbuf_add(out, "\r\n", 2);
    strbuf_add(out, strbuf_text(&response->body), response->body.len);
    return response->body.len;
}

void http_write_chunked_head(const struct http_request *request,
                             const struct http_response *response, struct strbuf *out)
{
    add_first_lines(response, out);
    strbuf_adds(out, "Transfer-Encoding: chunked\r\n");
    add_last_lines(request, response, out);
    strbuf_add(out, "\r\n", 2);
}

/* Adds the end of the head, and the body, unless the request is a HEAD: that is told the length
 * that a GET would get (RFC 9110 section 9.3.2). Returns the bytes of the body that were added. */
static size_t add_rest(const struct http_request *request, const struct http_response *response,
                       struct strbuf *out)
{
    const char *text = strbuf_text(&response->body);
    size_t body_at = response->prepared_body_at;
    size_t len = response->body.len;

    if (strcmp(request->method, "HEAD") == 0) {
        len = body_at;
    } else if (body_at == 0 && response->content_type == NULL) {
        len = 0;
    }
    if (body_at == 0) {
        strbuf_add(out, "\r\n", 2);
    }
    strbuf_add(out, text, len);
    return len - body_at;
}

size_t http_write_answer(const struct http_request *request, const struct http_response *response,
                         struct strbuf *out)
{
    strbuf_clear(out);
    add_first_lines(response, out);
    if (response->content_type != NULL) {
        add_number_header(out, "Content-Length: ", response->body.len);
    }
    add_last_lines(request, response, out);
    return add_rest(request, response, out);
}
