#include "common/http/stream.h"

#include "common/base/lifecycle.h"
#include "common/http/head.h"
#include "common/http/problem.h"

#include <assert.h>
#include <string.h>

/* --- the body --------------------------------------------------------------------------------- */

static void send_continue(struct http_stream *stream)
{
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";

    if (stream->wants_continue) {
        stream->io.write(stream->io.arg, text, strlen(text));
    }
}

/* How the body ended, if it did, with a read of `want` bytes that gave `got`. */
static enum http_stream_end judge_read(const struct http_stream *stream, size_t want, int got)
{
    if (stream->is_chunked) {
        return got < 0              ? HTTP_STREAM_CUT
               : (size_t)got < want ? HTTP_STREAM_WHOLE
                                    : HTTP_STREAM_GOES_ON;
    }
    return stream->left == 0               ? HTTP_STREAM_WHOLE
           : got < 0 || (size_t)got < want ? HTTP_STREAM_CUT
                                           : HTTP_STREAM_GOES_ON;
}

size_t http_stream_read(struct http_stream *stream, char *bytes, size_t size)
{
    size_t want = size < HTTP_STREAM_READ_MAX ? size : HTTP_STREAM_READ_MAX;
    int got;

    assert(size > 0);
    if (stream->end != HTTP_STREAM_GOES_ON) {
        return 0;
    }
    if (lifecycle_is_draining()) {
        stream->end = HTTP_STREAM_DRAINING;
        return 0;
    }
    if (!stream->was_read) {
        send_continue(stream);
    }
    if (!stream->is_chunked && (int64_t)want > stream->left) {
        want = (size_t)stream->left;
    }
    got = want == 0 ? 0 : stream->io.read(stream->io.arg, bytes, want);
    stream->left -= got > 0 ? got : 0;
    stream->end = judge_read(stream, want, got);
    if (stream->end == HTTP_STREAM_CUT && lifecycle_is_draining()) {
        stream->end = HTTP_STREAM_DRAINING;
    }
    if (!stream->was_read && got > 0 &&
        head_stands_again(stream->request->method, bytes, (size_t)got)) {
        stream->end = HTTP_STREAM_MALFORMED;
        got = 0;
    }
    stream->was_read = true;
    return got > 0 ? (size_t)got : 0;
}

void http_stream_problem(struct http_stream *stream, const char *members)
{
    const struct http_request *request = stream->request;

    switch (stream->end) {
    case HTTP_STREAM_CUT:
        http_problem(request, stream->response, HTTP_REQUEST_TIMEOUT,
                     stream->is_chunked
                         ? "the body did not arrive whole in time, or a chunk of it is malformed"
                         : "the body did not arrive whole in time",
                     members);
        break;
    case HTTP_STREAM_DRAINING:
        http_problem(request, stream->response, HTTP_UNAVAILABLE,
                     "this instance ends; send the rest to another one", members);
        break;
    case HTTP_STREAM_MALFORMED:
        http_bad_field(request, stream->response, "request",
                       "expected at most one empty line before it");
        break;
    case HTTP_STREAM_GOES_ON:
    case HTTP_STREAM_WHOLE:
        assert(false); /* nothing is wrong with it */
    }
}

/* --- the answer ------------------------------------------------------------------------------- */

static bool send_out(struct http_stream *stream)
{
    stream->is_broken =
        stream->is_broken || !stream->io.write(stream->io.arg, stream->out->text, stream->out->len);
    return !stream->is_broken;
}

bool http_stream_flush(struct http_stream *stream)
{
    struct strbuf *body = &stream->response->body;
    size_t len = body->len;

    strbuf_clear(stream->out);
    if (!stream->is_begun) {
        http_write_chunked_head(stream->request, stream->response, stream->out);
        stream->is_begun = true;
    }
    if (len > 0) { /* a chunk of 0 would be the last */
        strbuf_addf(stream->out, "%zx\r\n", len);
        strbuf_add(stream->out, body->text, len);
        strbuf_add(stream->out, "\r\n", 2);
        strbuf_clear(body);
    }
    if (stream->out->len > 0 && send_out(stream)) {
        stream->sent += len;
    }
    return !stream->is_broken;
}

void http_stream_finish(struct http_stream *stream, bool is_whole)
{
    assert(stream->is_begun);
    if (http_stream_flush(stream) && is_whole) {
        strbuf_clear(stream->out);
        strbuf_adds(stream->out, "0\r\n\r\n");
        send_out(stream);
    }
}
