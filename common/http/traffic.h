/* The metrics and logs of the requests that a server answers. Thread-safe. */
#ifndef FASTSTOCK_COMMON_HTTP_TRAFFIC_H
#define FASTSTOCK_COMMON_HTTP_TRAFFIC_H

#include "common/http/router.h"

#include <stddef.h>
#include <stdint.h>

struct traffic;

/* One per process, for the routes of one table, which is borrowed. One in `log_sample` answers
 * below 500 is logged, and each that took `log_slow_ms`; from 500 on all are. */
struct traffic *traffic_create(const struct http_route *routes, int64_t log_sample,
                               int64_t log_slow_ms);
void traffic_destroy(struct traffic *traffic); /* NULL is fine */

/* An answer that was sent. */
struct traffic_answer {
    const struct http_request *request;
    const struct http_route *route; /* NULL: the request matched none */
    const char *peer; /* the address that the connection comes from: of a proxy, if there is one */
    int status;
    size_t body_bytes; /* sent */
    int64_t took_us;   /* from the end of the head to the end of the answer; -1: no head came */
};

/* Counts it, and logs it if it is to be logged. */
void traffic_note(struct traffic *traffic, const struct traffic_answer *answer);

#endif
