/* A request whose body its handler reads while it arrives, and whose answer may leave before the
 * body has ended. For routes that are marked is_streamed (router.h); all that is checked of a head
 * is checked before the handler is called.
 *
 * The answer is the response, as for any other request. When its body grows large the handler may
 * send what is there, as a chunk, and go on with an empty one:
 *
 *     while ((len = http_stream_read(request->stream, bytes, sizeof(bytes))) > 0) {
 *         ...adds to response->body...
 *         if (response->body.len > HELD_MAX && !http_stream_flush(request->stream)) {
 *             return;
 *         }
 *     }
 *
 * An answer should begin late all the same. Many clients read nothing before they have sent all,
 * and nginx stops sending a body that it passes on when the answer to it has begun and the service
 * does not keep up. Neither is waited for: a client that takes in nothing ends its connection.
 *
 * Time is bounded between two bytes, not as a whole: a client that sends nothing, or takes in
 * nothing, for read_timeout_ms ends its connection. When the service drains, a body ends at the
 * next read. So at most a handful of such requests should run at a time; the handler sees to that.
 *
 * One thread. */
#ifndef FASTSTOCK_COMMON_HTTP_STREAM_H
#define FASTSTOCK_COMMON_HTTP_STREAM_H

#include "common/http/message.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum http_stream_end {
    HTTP_STREAM_GOES_ON,
    HTTP_STREAM_WHOLE,    /* all of the body was read */
    HTTP_STREAM_CUT,      /* the connection ended, nothing came in time, or a chunk was malformed */
    HTTP_STREAM_DRAINING, /* this process ends */
    HTTP_STREAM_MALFORMED, /* the body begins with the head again (head_stands_again) */
};

/* How the server reads and writes. */
struct http_stream_io {
    void *arg;
    /* Reads `len` bytes; fewer at the end, or after a timeout. -1: an error. */
    int (*read)(void *arg, char *bytes, size_t len);
    bool (*write)(void *arg, const char *bytes, size_t len);
};

struct http_stream {
    const struct http_request *request;
    struct http_response *response;
    struct strbuf *out; /* room to write a chunk in */
    struct http_stream_io io;
    int64_t left;    /* of the body */
    bool is_chunked; /* then `left` does not count */
    bool wants_continue;
    bool was_read;
    enum http_stream_end end;
    bool is_begun;  /* the head of the answer was sent */
    bool is_broken; /* the client takes no more of the answer */
    size_t sent;    /* bytes of the answer's body */
};

/* Reads up to `size` bytes, at most HTTP_STREAM_READ_MAX of them, and waits until as many have come
 * or the body ends. 0: it has ended, and stream->end tells how. Bytes that came whole before a body
 * was cut are given out, unless it comes in chunks. */
#define HTTP_STREAM_READ_MAX 4096
size_t http_stream_read(struct http_stream *stream, char *bytes, size_t size);

/* Makes the response the problem that tells why a body ended early. `members` as http_problem. */
void http_stream_problem(struct http_stream *stream, const char *members);

/* Sends the response as far as it is there: the head the first time, and its body, which is then
 * empty. False when the client does not take it; there is nothing to be done for it any more. */
bool http_stream_flush(struct http_stream *stream);

/* Ends an answer that was begun. With is_whole == false the client sees that its end is missing. */
void http_stream_finish(struct http_stream *stream, bool is_whole);

#endif
