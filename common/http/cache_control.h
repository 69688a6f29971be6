/* How fresh an answer the client asks for: Cache-Control of a request (RFC 9111 section 5.2.1).
 *
 * A directive in doubt asks for the strictest that it could mean, as section 4.2.1 advises: one
 * whose value cannot be read, or that comes twice with different values, counts as max-age=0 or as
 * no max-stale at all, and so does a line that cannot be read. An answer is then newer than the
 * client wanted, never older.
 *
 * Left out, because nothing here could act on them: min-fresh (no answer tells how long it will be
 * fresh), no-store and no-transform (they say nothing about age), and Pragma, which HTTP/1.1
 * clients need not send and section 5.4 deprecates. Pure functions. */
#ifndef FASTSTOCK_COMMON_HTTP_CACHE_CONTROL_H
#define FASTSTOCK_COMMON_HTTP_CACHE_CONTROL_H

#include "common/http/message.h"

#include <stdbool.h>
#include <stdint.h>

/* Larger numbers count as this one (RFC 9111 section 1.2.2); as microseconds it fits an int64_t. */
#define HTTP_CACHE_CONTROL_MAX_S (INT64_C(1) << 31)

struct http_cache_control {
    int64_t max_age_s;   /* -1: none; 0 with no_cache */
    bool no_cache;       /* it was asked for by that name */
    int64_t max_stale_s; /* -1: none; INT64_MAX: any */
    bool only_if_cached;
};

/* What all Cache-Control lines together ask for; other directives are ignored. */
struct http_cache_control http_cache_control(const struct http_request *request);

#endif
