/* The HTTP server: a listener with a pool of threads, one thread per connection. The only file that
 * includes civetweb.
 *
 * What never reaches a handler: malformed requests, bodies without a plain Content-Length or too
 * large, unknown paths and methods, and - when nearly all threads are held by connections - any
 * request at all: that one hears 503 and its connection ends, so that the threads left can say so
 * to others too. A pool that is getting full answers with `Connection: close`, so that threads come
 * back. Head and body of an answer go out in one write. */
#ifndef FASTSTOCK_COMMON_HTTP_SERVER_H
#define FASTSTOCK_COMMON_HTTP_SERVER_H

#include "common/http/router.h"

#include <stdbool.h>
#include <stdint.h>

struct http_server_options {
    const char *host;
    int64_t port;
    int64_t threads;
    int64_t request_timeout_ms;    /* a handler's deadline, from the end of the request, its body
                                      included */
    int64_t read_timeout_ms;       /* for a head or a body to arrive, and for an answer to leave */
    int64_t keep_alive_timeout_ms; /* how long an idle connection is kept; more than a proxy in
                                      front keeps it */
    int64_t body_bytes_max;
    const struct http_route *routes; /* borrowed for the life of the server, as is the context */
    void *context;                   /* for the handlers */
    bool is_public;                  /* is counted, logged and shed; the operations port is not */
    int64_t log_sample;              /* one in N answers below 500 is logged */
    int64_t log_slow_ms;             /* and each that took that long */
};

struct http_server;

/* Listens and serves, or logs why it cannot (a taken port) and returns NULL. */
struct http_server *http_server_start(const struct http_server_options *options);

/* No new connections from here on: the port refuses them, so that a proxy goes elsewhere at once.
 * Connections that are open are served on. */
void http_server_stop_listening(struct http_server *server);

/* Waits until no request is being answered, at most until the deadline; false when it passed
 * first. */
bool http_server_wait_idle(struct http_server *server, int64_t deadline_us);

/* Ends all connections and threads. NULL is fine. */
void http_server_destroy(struct http_server *server);

#endif
