/* The HTTP server: a listener with a pool of threads, one thread per connection.
 *
 * Malformed requests never reach a handler, nor do bodies without a plain Content-Length or too
 * large, and unknown paths and methods. Head and body of an answer go out in one write.
 *
 * A connection holds a thread also while nothing comes on it, so connections are kept from taking
 * all threads in three steps. From three quarters on, answers say `Connection: close`, so that
 * threads come back. When nearly all are taken, connections that send nothing are closed,
 * because a client that wants an answer sends its request at once. And a request that still finds
 * nearly all of them taken gets a 503 and its connection ends, so that the threads that are left
 * can say so to others too.
 *
 * While nothing comes on a connection its thread may sleep, and watchers answer requests for what
 * is ready in memory (parked.h). */
#ifndef FASTSTOCK_COMMON_HTTP_SERVER_H
#define FASTSTOCK_COMMON_HTTP_SERVER_H

#include "common/base/trace_queue.h"
#include "common/http/router.h"

#include <stdbool.h>
#include <stdint.h>

struct http_server_options {
    const char *host;
    int64_t port;
    int64_t threads;
    int64_t watchers;              /* threads for answers that are ready; 0: none */
    int64_t request_timeout_ms;    /* a handler's deadline, from the end of the request, its body
                                      included */
    int64_t read_timeout_ms;       /* for a head or a body to arrive, and for an answer to leave */
    int64_t keep_alive_timeout_ms; /* how long an idle connection is kept; more than a proxy in
                                      front keeps it */
    int64_t body_bytes_max;
    const struct http_route *routes; /* borrowed for the life of the server, as are the next two */
    const struct http_known_route *known_routes; /* of all services (router.h), or NULL */
    void *context;                               /* for the handlers */
    bool is_public;             /* is counted, logged and shed; the operations port is not */
    int64_t log_sample;         /* one in N answers below 500 is logged */
    int64_t log_slow_ms;        /* and each that took that long */
    struct trace_queue *traces; /* borrowed; NULL: none are kept */
};

struct http_server;

/* Listens and serves, or logs why it cannot and returns NULL. A host with a colon is an IPv6
 * address. */
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
