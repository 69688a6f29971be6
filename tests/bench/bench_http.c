/* A server that answers GET with a text that never changes: what the HTTP layer itself can do, for
 * `./dev bench read`, and for tests of both ways on which a request may be answered.
 *
 *     bench_http watched PORT    by watchers, as hits in memory are (parked.h)
 *     bench_http threads PORT    by the connection's thread, as everything else is
 *     bench_http library PORT    by the HTTP library alone
 *
 * /stock is answered so; with `watched`, other paths are left to threads all the same. An idle
 * connection is kept for KEEP_ALIVE_MS, a further argument. */
#include "common/base/lifecycle.h"
#include "common/base/metrics.h"
#include "common/http/server.h"

#include <civetweb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEAD_LINES                                                                                 \
    "Content-Type: application/json\r\n"                                                           \
    "Content-Length: 55\r\n"                                                                       \
    "ETag: \"1764000000\"\r\n"                                                                     \
    "Cache-Control: no-cache\r\n"                                                                  \
    "Cache-Status: faststock; hit; detail=l1\r\n\r\n"
#define BODY "{\"id\":1,\"stock\":1000,\"version\":1764000000,\"bench\":true}"

static const char prepared[] = HEAD_LINES BODY;
_Static_assert(sizeof(BODY) - 1 == 55, "Content-Length");

static bool answer_at_once(const struct http_request *request, struct http_response *response,
                           void *context)
{
    (void)request;
    (void)context;
    http_start_prepared(response, 200, prepared, sizeof(prepared) - 1, sizeof(BODY) - 1);
    http_add_header(response, "Age", "0");
    return true;
}

static void answer(const struct http_request *request, struct http_response *response,
                   void *context)
{
    answer_at_once(request, response, context);
}

static void answer_length(const struct http_request *request, struct http_response *response,
                          void *context)
{
    (void)context;
    strbuf_addf(http_start_json(response, 200), "{\"bytes\":%zu}", request->body_len);
}

static void answer_metrics(const struct http_request *request, struct http_response *response,
                           void *context)
{
    (void)request;
    (void)context;
    metrics_render(http_start_json(response, 200));
    response->content_type = "text/plain; version=0.0.4; charset=utf-8";
}

static const struct http_route routes[] = {
    {"GET", "/stock", answer, answer_at_once, false},
    {"GET", "/other", answer, NULL, false},
    {"POST", "/other", answer_length, NULL, false},
    {"GET", "/metrics", answer_metrics, NULL, false},
    {NULL, NULL, NULL, NULL, false},
};

static int answer_alone(struct mg_connection *connection)
{
    static const char text[] = "HTTP/1.1 200 OK\r\n"
                               "Date: Tue, 24 Nov 2026 00:00:00 GMT\r\n"
                               "Age: 0\r\n"
                               "X-Request-Id: 0123456789abcdef\r\n"
                               "Connection: keep-alive\r\n" HEAD_LINES BODY;

    mg_write(connection, text, sizeof(text) - 1);
    return 200;
}

static int serve_library(const char *port)
{
    static const struct mg_callbacks callbacks = {.begin_request = answer_alone};
    const char *options[] = {"listening_ports",
                             port,
                             "num_threads",
                             "256",
                             "enable_keep_alive",
                             "yes",
                             "keep_alive_timeout_ms",
                             "60000",
                             "tcp_nodelay",
                             "1",
                             NULL};
    struct mg_context *library;

    mg_init_library(0);
    library = mg_start(&callbacks, NULL, options);
    if (library == NULL) {
        fprintf(stderr, "bench_http: cannot listen on port %s\n", port);
        return 1;
    }
    lifecycle_wait_for_signal();
    mg_stop(library);
    mg_exit_library();
    return 0;
}

static int serve(bool is_watched, const char *port, const char *keep_alive_ms)
{
    struct http_server *server = http_server_start(
        &(struct http_server_options){.host = "127.0.0.1",
                                      .port = strtol(port, NULL, 10),
                                      .threads = 256,
                                      .watchers = is_watched ? 2 : 0,
                                      .request_timeout_ms = 2000,
                                      .read_timeout_ms = 5000,
                                      .keep_alive_timeout_ms = strtol(keep_alive_ms, NULL, 10),
                                      .body_bytes_max = 16384,
                                      .routes = routes,
                                      .is_public = true,
                                      .log_sample = 1000000000,
                                      .log_slow_ms = 600000});

    if (server == NULL) {
        return 1;
    }
    lifecycle_wait_for_signal();
    lifecycle_start_drain();
    http_server_destroy(server);
    return 0;
}

int main(int argc, char **argv)
{
    const char *keep_alive_ms = argc > 3 ? argv[3] : "60000";

    lifecycle_init();
    if (argc >= 3 && strcmp(argv[1], "library") == 0) {
        return serve_library(argv[2]);
    }
    if (argc >= 3 && (strcmp(argv[1], "watched") == 0 || strcmp(argv[1], "threads") == 0)) {
        return serve(strcmp(argv[1], "watched") == 0, argv[2], keep_alive_ms);
    }
    fprintf(stderr, "usage: bench_http watched|threads|library PORT [KEEP_ALIVE_MS]\n");
    return 2;
}
