/* What the mains of both services share: the command line, the settings both have, the two
 * listeners and their end. */
#ifndef FASTSTOCK_COMMON_SERVICE_SERVICE_H
#define FASTSTOCK_COMMON_SERVICE_SERVICE_H

#include "common/base/config.h"
#include "common/http/post.h"
#include "common/http/server.h"

#include <stddef.h>
#include <stdint.h>

/* Settings of both services, the first member of each one's own. */
struct service_settings {
    const char *http_host;
    int64_t http_port;
    int64_t http_threads;
    int64_t http_watchers;
    int64_t http_keep_alive_timeout_ms;
    int64_t http_request_timeout_ms;
    int64_t http_read_timeout_ms;
    int64_t http_body_bytes_max;
    int64_t http_drain_ms;
    const char *ops_host;
    int64_t ops_port;
    int64_t log_level; /* enum log_level */
    int64_t log_sample;
    int64_t log_slow_ms;
    const char *otel_endpoint; /* "": no traces are exported */
};

extern const char *const service_log_levels[];

#define SERVICE_WATCHERS_MAX 64

/* The rows of these in a service's table of options; `base` is the offset of the struct above in
 * the service's own, and the other two are the defaults of those settings. */
#define SERVICE_AT(base, member) ((base) + offsetof(struct service_settings, member))
/* clang-format off */
#define SERVICE_OPTIONS(base, threads, body_bytes_max)                                             \
    {"http", "host", CONFIG_STRING, SERVICE_AT(base, http_host), "0.0.0.0",                        \
     .help = "Address of the public port."},                                                       \
    {"http", "port", CONFIG_INT, SERVICE_AT(base, http_port), "8080",                              \
     1, 65535, .alias = "PORT",                                                                    \
     .help = "Public port: /api."},                                                                \
    {"http", "threads", CONFIG_INT, SERVICE_AT(base, http_threads), threads,                       \
     4, 4096,                                                                                      \
     .help = "One thread per connection: more than the keep-alive connections of all "             \
             "proxies in front."},                                                                 \
    {"http", "watchers", CONFIG_INT, SERVICE_AT(base, http_watchers), "-1",                        \
     -1, SERVICE_WATCHERS_MAX,                                                                     \
     .help = "Threads that answer what is ready in memory, so that a connection's own thread "     \
             "need not wake. -1: one for each CPU that the service may use; 0: none."},            \
    {"http", "keep_alive_timeout_ms", CONFIG_INT, SERVICE_AT(base, http_keep_alive_timeout_ms),    \
     "75000", 1, 3600000,                                                                          \
     .help = "How long an idle connection is kept; longer than the proxy in front keeps it "       \
             "(nginx: 60 s), or it may send a request into a closing connection."},                \
    {"http", "request_timeout_ms", CONFIG_INT, SERVICE_AT(base, http_request_timeout_ms), "2000",  \
     1, 600000,                                                                                    \
     .help = "Deadline of a request; each call to a store gets what is left of it."},              \
    {"http", "read_timeout_ms", CONFIG_INT, SERVICE_AT(base, http_read_timeout_ms), "5000",        \
     1, 600000,                                                                                    \
     .help = "How long a client may take to send a head, or a body, or to take in an "             \
             "answer."},                                                                           \
    {"http", "body_bytes_max", CONFIG_INT, SERVICE_AT(base, http_body_bytes_max), body_bytes_max,  \
     0, 16777216,                                                                                  \
     .help = "Largest body of a request."},                                                        \
    {"http", "drain_ms", CONFIG_INT, SERVICE_AT(base, http_drain_ms), "5000",                      \
     0, 600000,                                                                                    \
     .help = "After SIGTERM: how long requests are still taken, so that a proxy has time "         \
             "to learn that it must stop sending them."},                                          \
    {"ops", "host", CONFIG_STRING, SERVICE_AT(base, ops_host), "0.0.0.0",                          \
     .help = "Address of the operations port."},                                                   \
    {"ops", "port", CONFIG_INT, SERVICE_AT(base, ops_port), "9090",                                \
     1, 65535,                                                                                     \
     .help = "Operations port: /livez, /readyz, /startupz, /metrics, /version."},                  \
    {"log", "level", CONFIG_CHOICE, SERVICE_AT(base, log_level), "info",                           \
     .choices = service_log_levels,                                                                \
     .help = "Least level that is logged."},                                                       \
    {"log", "sample", CONFIG_INT, SERVICE_AT(base, log_sample), "100",                             \
     1, 1000000000,                                                                                \
     .help = "One in so many requests is logged; errors and slow ones always are."},               \
    {"log", "slow_ms", CONFIG_INT, SERVICE_AT(base, log_slow_ms), "100",                           \
     0, 600000,                                                                                    \
     .help = "A request that takes this long is logged."},                                         \
    {"otel", "endpoint", CONFIG_URL, SERVICE_AT(base, otel_endpoint), "",                          \
     .url = &post_url_kind, .secret = true,                                                        \
     .help = "OpenTelemetry collector (OTLP/HTTP, /v1/traces is added) that gets the spans of "    \
             "requests whose traceparent says sampled; empty: none are kept."}
/* clang-format on */

/* Reads the command line and the settings. Returns -1 when the service is to run, else the exit
 * status: 0 after --help, --version, --print-routes, --print-config or --check-config, 2 after a
 * mistake that was told on stderr. */
int service_configure(const char *name, int argc, char **argv, const struct config_option *options,
                      void *settings);

/* Starts the public listener, then the operations one (so a probe that is answered never comes
 * before the port that it speaks of), waits for SIGTERM or SIGINT, and drains: readiness says no
 * and answers say `Connection: close` for drain_ms, then the public port refuses connections, then
 * requests under way end, and the last traces are sent. Returns the exit status: 1 when a port
 * cannot be had. `name` is borrowed. */
int service_run(const char *name, const struct service_settings *settings,
                const struct http_route *routes, void *context);

#endif
