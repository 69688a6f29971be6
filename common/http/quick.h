/* Answers at once: a plain GET, out of the bytes of a connection, by the `quick` function of its
 * route (router.h). Whatever else comes is left to the connection's thread, which knows all of
 * HTTP, so this way can only be faster, never more lenient. */
#ifndef FASTSTOCK_COMMON_HTTP_QUICK_H
#define FASTSTOCK_COMMON_HTTP_QUICK_H

#include "common/base/trace_queue.h"
#include "common/http/router.h"
#include "common/http/traffic.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct quick_options {
    const struct http_route *routes; /* borrowed */
    void *context;                   /* for the handlers */
    int64_t request_timeout_ms;
    struct traffic *traffic;    /* borrowed; NULL: not counted */
    struct trace_queue *traces; /* borrowed; NULL: none are kept */
};

/* What a thread needs for it. To be zeroed; the options are borrowed. */
struct quick {
    const struct quick_options *options;
    const struct http_route *route;
    struct http_response response;
    struct strbuf out; /* the answer, as it goes over the wire */
    size_t body_bytes; /* of it */
    struct http_request request;
};

void quick_finish(struct quick *quick);

/* Is there a route that can be answered so? */
bool quick_is_of_use(const struct http_route *routes);

/* Answers the request at the beginning of `bytes`, which it cuts up. Returns how many bytes the
 * request takes, and the answer is in `out`; 0 when it is not a whole plain GET, or cannot be
 * answered at once. */
size_t quick_answer(struct quick *quick, char *bytes, size_t len);

/* Counts and logs the answer, when it has been sent. */
void quick_note(const struct quick *quick, const char *peer, bool is_sent);

#endif
