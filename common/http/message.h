/* Requests and responses as handlers see them; nothing here knows the HTTP library. A request and
 * its response belong to one thread.
 *
 * The headers that the services read have a number, given to each header once, when the head is
 * taken over. Looking one up is then an index instead of a search by name: a GET has some ten
 * look-ups. */
#ifndef FASTSTOCK_COMMON_HTTP_MESSAGE_H
#define FASTSTOCK_COMMON_HTTP_MESSAGE_H

#include "common/base/strbuf.h"
#include "common/base/trace.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_HEADERS_MAX 64
#define HTTP_PARAMS_MAX 2
#define HTTP_REQUEST_ID_SIZE 129
#define HTTP_INSTANCE_SIZE 288 /* a host's name, a colon, a port, and NUL */

/* The headers that are read anywhere. A new one also needs a row in message.c. */
enum http_name {
    HTTP_OTHER_NAME, /* read by nobody */
    HTTP_AUTHORIZATION,
    HTTP_CACHE_CONTROL,
    HTTP_CONNECTION,
    HTTP_CONTENT_ENCODING,
    HTTP_CONTENT_LENGTH,
    HTTP_CONTENT_TYPE,
    HTTP_EXPECT,
    HTTP_HOST,
    HTTP_IDEMPOTENCY_KEY,
    HTTP_IF_MATCH,
    HTTP_IF_NONE_MATCH,
    HTTP_MIN_VERSION,
    HTTP_TRACEPARENT,
    HTTP_TRANSFER_ENCODING,
    HTTP_X_REQUEST_ID,
    HTTP_NAMES
};

struct http_header {
    const char *name; /* NUL behind it, and behind the value */
    const char *value;
    size_t name_len;
    size_t value_len; /* without the blanks around it */
    enum http_name known;
};

struct http_text {
    const char *start;
    size_t len;
};

struct http_stream;

struct http_request {
    const char *method;
    const char *path;                         /* as it came: not percent-decoded */
    const char *query;                        /* the text behind '?', or "" */
    struct http_text params[HTTP_PARAMS_MAX]; /* the {parts} of the route's path, in order */
    size_t header_count;
    uint8_t first[HTTP_NAMES]; /* per name: 1 + the place of its first header, or 0 */
    uint8_t count[HTTP_NAMES]; /* per name: how many headers have it */
    const char *body;
    size_t body_len;
    struct http_stream *stream; /* of a route that is streamed: then it has no body; else NULL */
    int64_t start_us;           /* monotonic; when the head had been read */
    int64_t deadline_us;        /* monotonic; counted from when the body had been read too */
    char id[HTTP_REQUEST_ID_SIZE];
    char trace_id[TRACE_ID_SIZE];                 /* of traceparent (W3C Trace Context), or "" */
    char parent_id[TRACE_PARENT_SIZE];            /* as above: the caller's span */
    bool is_sampled;                              /* as above: the caller records the trace */
    struct http_header headers[HTTP_HEADERS_MAX]; /* last, for it need not be zeroed */
};

struct http_response {
    int status;
    const char *content_type; /* NULL: no body */
    struct strbuf headers;    /* "Name: value\r\n" lines beside those the server adds */
    struct strbuf body;
    size_t prepared_body_at; /* of a prepared answer: where in `body` its body begins; else 0 */
    bool close;              /* end the connection after this response */
    bool is_cut;             /* of a streamed answer that was begun: it ends without its end */
};

/* An empty request with these three, which are borrowed. Leaves the room for headers as it is. */
void http_request_init(struct http_request *request, const char *method, const char *path,
                       const char *query);

/* Adds a header; false when there is no room for it. Both texts are borrowed and end with NUL. */
bool http_request_add(struct http_request *request, const char *name, size_t name_len,
                      const char *value, size_t value_len);

/* The value of the first header of that name, or NULL; how many there are. */
const char *http_header(const struct http_request *request, enum http_name name);
size_t http_header_count(const struct http_request *request, enum http_name name);

/* The first header of that name, and the one that follows `header` with the same; NULL at the end.
 * For headers that hold lists: a list may be spread over several lines (RFC 9110 section 5.3). */
const struct http_header *http_header_first(const struct http_request *request,
                                            enum http_name name);
const struct http_header *http_header_next(const struct http_request *request,
                                           const struct http_header *header);

/* How many characters of a token `text` begins with (RFC 9110 section 5.6.2). */
size_t http_token_len(const char *text);

/* Sets the request's id, and what traceparent says, from its headers; a
 * missing or unusable id is made up. */
void http_identify(struct http_request *request);

/* Gives every answer from now on the header X-Instance with this name. To be called before the
 * servers start; without it there is no such header. */
void http_set_instance(const char *name);

/* Empties the response and keeps its memory. */
void http_response_reset(struct http_response *response);
void http_response_finish(struct http_response *response);

/* `value` must hold no line ends. */
void http_add_header(struct http_response *response, const char *name, const char *value);

/* Empties the response and makes it JSON with this status; the caller adds the body. */
struct strbuf *http_start_json(struct http_response *response, int status);

/* Adds those lines of a response's head that are always the same (Content-Type, Content-Length, its
 * headers), an empty line, and its body; returns how much of it is body. */
size_t http_prepare(const struct http_response *response, struct strbuf *out);

/* Empties the response and makes it an answer that was rendered before: `text` has those lines of
 * the head that are always the same, Content-Type and Content-Length among them, each ended by CR
 * LF, then an empty line, then the body, of `body_len` bytes. It is copied. */
void http_start_prepared(struct http_response *response, int status, const char *text, size_t len,
                         size_t body_len);

/* The reason phrase of a status code (RFC 9110 section 15); of an unknown one that of its class. */
const char *http_reason(int status);

/* Adds the head of an answer whose body follows in chunks (RFC 9112 section 7.1). */
void http_write_chunked_head(const struct http_request *request,
                             const struct http_response *response, struct strbuf *out);

/* Writes head and body into `out` as they go over the wire. Returns how many bytes of it are body:
 * none in an answer to HEAD, and none in a 304. */
size_t http_write_answer(const struct http_request *request, const struct http_response *response,
                         struct strbuf *out);

#endif
