#include "common/http/server.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/lifecycle.h"
#include "common/base/log.h"
#include "common/base/metrics.h"
#include "common/base/parse.h"
#include "common/http/sockets.h"

#include <civetweb.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <time.h>

#define HEAD_BYTES_MAX                                                                             \
    16384 /* what a request line and its headers may take: nginx's default of 4 x 8k, and thrift   \
           */
#define LIBRARY_HEAD_BYTES                                                                         \
    65536 /* the library's own limit; larger, so that ours can answer 431                          \
           */
#define DISCARD_BYTES_MAX                                                                          \
    1048576 /* read behind an answer that refused a body, so that the client gets to read it */
#define DISCARD_MS_MAX 1000
#define STATUSES_MAX 24
#define BUSY_PERCENT 75    /* of the threads: from there on `Connection: close` */
#define RESERVE_DIVISOR 16 /* one thread in so many is kept for saying 503 */
#define IDLE_POLL_MS 5
#define CHUNK_BYTES                                                                                \
    4096 /* on the stack, of which the library's threads have 100 KiB (its USE_STACK_SIZE) */

static struct metric_family requests_counter =
    METRIC_COUNTER("http_requests_total", "HTTP requests answered, by route template.", "method",
                   "route", "status");
static struct metric_family duration_histogram = METRIC_HISTOGRAM(
    "http_request_duration_seconds", "From the end of a request's head to the end of its answer.",
    metric_buckets_seconds, "method", "route");
static struct metric_family in_flight_gauge =
    METRIC_GAUGE("http_requests_in_flight", "Requests being answered.", METRIC_NO_LABELS);
static struct metric_family connections_gauge = METRIC_GAUGE(
    "http_connections", "Open client connections; each holds a thread.", METRIC_NO_LABELS);
static struct metric_family threads_gauge =
    METRIC_GAUGE("http_threads", "Threads that serve connections.", METRIC_NO_LABELS);
static struct metric_family shed_counter =
    METRIC_COUNTER("http_requests_shed_total",
                   "Requests refused with 503 because the threads were taken.", METRIC_NO_LABELS);

static const char *const methods[] = {"GET",   "HEAD",   "POST",    "PUT",
                                      "PATCH", "DELETE", "OPTIONS", "OTHER"};
#define METHODS FS_ARRAY_LEN(methods)

/* The series of one route and method. */
struct route_metrics {
    const char *route;
    _Atomic(struct metric *) duration[METHODS];
    _Atomic(struct metric *) requests[METHODS][STATUSES_MAX];
    _Atomic int statuses[STATUSES_MAX]; /* which status has which place in `requests` */
};

struct http_server {
    struct http_server_options options;
    struct mg_context *library;
    atomic_int connections;
    atomic_int in_flight;
    atomic_uint log_count;
    size_t route_count;
    struct route_metrics *route_metrics; /* one per route, and a last one for what matched none */
    struct metric *in_flight_now;
    struct metric *connections_now;
    struct metric *shed;
    struct socket_guard *guard;
};

/* What is remembered of a connection. */
struct connection {
    int64_t idle_since_us; /* since it opened, or since its last answer */
    bool was_used;
    int socket; /* -1: not looked for yet */
};

/* Buffers that each serving thread keeps. */
struct thread_buffers {
    struct http_response response;
    struct strbuf body;
    struct strbuf out;
};

/* --- metrics and logs ------------------------------------------------------------------------- */

static size_t method_index(const char *method)
{
    size_t i = 0;

    while (i + 1 < METHODS && (method == NULL || strcmp(methods[i], method) != 0)) {
        i++;
    }
    return i;
}

/* The place of a status in the tables of a route; claimed without a lock. */
static size_t status_index(struct route_metrics *metrics, int status)
{
    for (size_t i = 0; i + 1 < STATUSES_MAX; i++) {
        int found = 0;

        if (atomic_compare_exchange_strong(&metrics->statuses[i], &found, status) ||
            found == status) {
            return i;
        }
    }
    return STATUSES_MAX - 1;
}

static void count_request(struct route_metrics *metrics, const char *method, int status,
                          int64_t took_us)
{
    size_t m = method_index(method);
    size_t s = status_index(metrics, status);
    struct metric *requests = atomic_load_explicit(&metrics->requests[m][s], memory_order_acquire);
    struct metric *duration = atomic_load_explicit(&metrics->duration[m], memory_order_acquire);

    if (requests == NULL) {
        char text[16];

        snprintf(text, sizeof(text), "%d", status);
        requests = metric_get(&requests_counter, methods[m], metrics->route, text);
        atomic_store_explicit(&metrics->requests[m][s], requests, memory_order_release);
    }
    if (duration == NULL) {
        duration = metric_get(&duration_histogram, methods[m], metrics->route);
        atomic_store_explicit(&metrics->duration[m], duration, memory_order_release);
    }
    metric_add(requests, 1);
    metric_observe(duration, (double)took_us / (double)CLOCK_US_PER_S);
}

static void log_request(struct http_server *server, const struct http_request *request,
                        const struct http_response *response, const char *route, const char *client,
                        int64_t took_us)
{
    bool slow = took_us >= server->options.log_slow_ms * CLOCK_US_PER_MS;
    unsigned count = atomic_fetch_add_explicit(&server->log_count, 1, memory_order_relaxed);

    if (response->status < 500 && !slow && count % (unsigned)server->options.log_sample != 0) {
        return;
    }
    log_write(response->status >= 500 ? LOG_WARN : LOG_INFO,
              LOG_FIELDS(
                  log_msg("request"), log_str("method", request->method), log_str("route", route),
                  log_str("path", request->path), log_int("status", response->status),
                  log_num("took_ms", (double)took_us / (double)CLOCK_US_PER_MS),
                  log_int("bytes", (int64_t)response->body.len), log_str("request_id", request->id),
                  log_str("trace_id", request->trace_id), log_str("client", client)));
}

static void update_gauges(void *arg)
{
    struct http_server *server = arg;

    metric_set(server->in_flight_now, atomic_load(&server->in_flight));
    metric_set(server->connections_now, atomic_load(&server->connections));
}

/* --- reading a request ------------------------------------------------------------------------ */

static size_t head_bytes(const struct http_request *request)
{
    size_t bytes = strlen(request->method) + strlen(request->path) + strlen(request->query);

    for (size_t i = 0; i < request->header_count; i++) {
        bytes += strlen(request->headers[i].name) + strlen(request->headers[i].value) + 4;
    }
    return bytes;
}

/* A 400 after which the connection ends: what follows on it cannot be trusted. */
static bool refuse_field(const struct http_request *request, struct http_response *response,
                         const char *field, const char *detail)
{
    http_bad_field(request, response, field, detail);
    response->close = true;
    return false;
}

/* Any other problem after which the connection ends. */
static bool refuse(const struct http_request *request, struct http_response *response,
                   enum http_problem problem, const char *detail)
{
    http_problem(request, response, problem, detail, NULL);
    response->close = true;
    return false;
}

/* The library parses in place: it overwrites the colon with NUL, and blanks before it too. So
 * behind the NUL of a plain name comes the value or what stands before it, and behind that of "Name
 * :" another NUL that is not the value. */
static bool has_blank_before_colon(const struct http_header *header)
{
    const char *behind = header->name + strlen(header->name) + 1;

    return header->value > behind && *behind == '\0';
}

/* Are the lines of the head those that the library has shown, each with CR LF behind it? It ends
 * its list at a line that begins with a blank, a colon or a byte above 127, and passes over what
 * follows: a Transfer-Encoding, say, by which a proxy in front goes. It overwrites CR and LF with
 * NUL, and the last LF of the head, but not the CR before that unless there was no header. */
static bool lines_are_plain(const struct http_request *request, const char *http_version)
{
    const char *line = http_version + strlen(http_version) + 2;

    for (size_t i = 0; i < request->header_count; i++) {
        const struct http_header *header = &request->headers[i];

        if (header->name != line || line[-1] != '\0' || has_blank_before_colon(header)) {
            return false;
        }
        line = header->value + strlen(header->value) + 2;
    }
    return line[-1] == '\0' && line[0] == (request->header_count > 0 ? '\r' : '\0') &&
           line[1] == '\0';
}

/* Blanks behind a value are no part of it (RFC 9110 section 5.5), but the library leaves them
 * there. */
static void trim_end(char *value)
{
    size_t len = strlen(value);

    while (len > 0 && value[len - 1] == ' ') { /* a head with a tab is refused by the library */
        value[--len] = '\0';
    }
}

/* Are the lines of the head plain? They cannot be told any more when the values have been
 * trimmed. */
static bool take_head(struct http_request *request, const struct mg_request_info *info)
{
    bool is_plain;

    request->method = info->request_method == NULL ? "" : info->request_method;
    request->path = info->local_uri_raw == NULL ? "" : info->local_uri_raw;
    request->query = info->query_string == NULL ? "" : info->query_string;
    request->header_count = info->num_headers > 0 ? (size_t)info->num_headers : 0;
    for (size_t i = 0; i < request->header_count; i++) {
        request->headers[i] =
            (struct http_header){info->http_headers[i].name, info->http_headers[i].value};
    }
    is_plain = lines_are_plain(request, info->http_version);
    for (size_t i = 0; i < request->header_count; i++) {
        trim_end((char *)info->http_headers[i]
                     .value); /* in the library's buffer, which it writes to as well */
    }
    return is_plain;
}

static bool check_head(const struct http_request *request, const char *http_version, bool is_plain,
                       struct http_response *response)
{
    size_t hosts = http_header_count(request, "Host");

    if (request->header_count >= HTTP_HEADERS_MAX || head_bytes(request) > HEAD_BYTES_MAX) {
        return refuse(request, response, HTTP_HEADERS_TOO_LARGE,
                      "expected at most 63 headers and 16 KiB of them");
    }
    if (hosts > 1 || (hosts == 0 && strcmp(http_version, "1.0") != 0)) { /* RFC 9112 section 3.2 */
        return refuse_field(request, response, "Host", "expected once");
    }
    if (!parse_is_utf8(request->path, strlen(request->path))) {
        return refuse_field(request, response, "path", "expected UTF-8");
    }
    if (!is_plain) { /* RFC 9112 sections 2.2 and 5.1 */
        return refuse_field(request, response, "request",
                            "expected lines of 'Name: value' that end in CR LF");
    }
    return true;
}

/* How long the body is to be; false when that is not said plainly. */
static bool body_length(const struct http_request *request, int64_t max,
                        struct http_response *response, size_t *ret_len)
{
    const char *value = http_header(request, "Content-Length");
    int64_t len = 0;

    if (http_header(request, "Transfer-Encoding") != NULL) {
        return refuse(request, response, HTTP_LENGTH_REQUIRED,
                      "Transfer-Encoding is not taken; send a Content-Length");
    }
    if (http_header_count(request, "Content-Length") > 1 ||
        (value != NULL && !parse_int(value, strlen(value), 0, INT64_MAX, &len))) {
        return refuse_field(request, response, "Content-Length", "expected once, a whole number");
    }
    if (len > max) {
        char detail[96];

        snprintf(detail, sizeof(detail), "expected a body of at most %" PRId64 " bytes", max);
        return refuse(request, response, HTTP_PAYLOAD_TOO_LARGE, detail);
    }
    *ret_len = (size_t)len;
    return true;
}

/* The library does not tell a connection's socket: it is looked for once. -1 when it is not
 * found. */
static int socket_of(struct http_server *server, const struct mg_connection *connection)
{
    const struct mg_request_info *info = mg_get_request_info(connection);
    struct connection *data = mg_get_user_connection_data(connection);

    if (data->socket < 0) {
        data->socket = socket_find(server->options.port, info->remote_addr, info->remote_port);
    }
    return data->socket;
}

/* Reads what is there of `len` bytes until the deadline; the library's own timeout begins anew with
 * every byte. */
static size_t read_some(struct http_server *server, struct mg_connection *connection, char *bytes,
                        size_t len, int64_t deadline_us)
{
    struct socket_guarded guarded;
    int got;

    socket_guard_begin(server->guard, &guarded, socket_of(server, connection), deadline_us);
    got = mg_read(connection, bytes, len);
    socket_guard_end(server->guard, &guarded);
    return got <= 0 ? 0 : (size_t)got;
}

static bool read_body(struct http_server *server, struct mg_connection *connection,
                      struct http_request *request, size_t len, struct strbuf *buffer,
                      struct http_response *response)
{
    int64_t deadline_us = clock_mono_us() + server->options.read_timeout_ms * CLOCK_US_PER_MS;
    const char *expect = http_header(request, "Expect");
    char chunk[CHUNK_BYTES];

    strbuf_clear(buffer);
    if (len > 0 && expect != NULL && strcasecmp(expect, "100-continue") == 0) {
        mg_write(connection, "HTTP/1.1 100 Continue\r\n\r\n", 25);
    }
    while (buffer->len < len) {
        size_t want = len - buffer->len < sizeof(chunk) ? len - buffer->len : sizeof(chunk);
        size_t got = read_some(server, connection, chunk, want, deadline_us);

        strbuf_add(buffer, chunk, got);
        if (got < want) {
            return refuse(request, response, HTTP_REQUEST_TIMEOUT,
                          "the body did not arrive whole in time");
        }
    }
    request->body = strbuf_text(buffer);
    request->body_len = buffer->len;
    return true;
}

/* --- writing an answer ------------------------------------------------------------------------ */

/* "Date: ...\r\n", made anew each second by each thread. */
static const char *date_header(void)
{
    static _Thread_local char text[48];
    static _Thread_local time_t made_at;
    time_t now = time(NULL);
    struct tm utc;

    if (now != made_at) {
        gmtime_r(&now, &utc);
        strftime(text, sizeof(text), "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &utc);
        made_at = now;
    }
    return text;
}

/* What the library will do after this answer (its should_keep_alive), so that the header says the
 * same. */
static bool client_keeps_alive(const struct http_request *request, const char *http_version)
{
    const char *connection = http_header(request, "Connection");

    if (connection == NULL) {
        return strcmp(http_version, "1.1") == 0;
    }
    return strcasecmp(connection, "keep-alive") == 0;
}

static void add_number_header(struct strbuf *out, const char *name_and_colon, size_t value)
{
    strbuf_adds(out, name_and_colon);
    strbuf_add_int(out, (int64_t)value);
    strbuf_add(out, "\r\n", 2);
}

static void write_answer(struct mg_connection *connection, const struct http_request *request,
                         const struct http_response *response, struct strbuf *out)
{
    bool has_body = response->content_type != NULL;

    strbuf_clear(out);
    strbuf_adds(out, "HTTP/1.1 ");
    strbuf_add_int(out, response->status);
    strbuf_addc(out, ' ');
    strbuf_adds(out, http_reason(response->status));
    strbuf_add(out, "\r\n", 2);
    strbuf_adds(out, date_header());
    if (has_body) {
        strbuf_adds(out, "Content-Type: ");
        strbuf_adds(out, response->content_type);
        strbuf_add(out, "\r\n", 2);
        add_number_header(out, "Content-Length: ", response->body.len);
    }
    strbuf_add(out, strbuf_text(&response->headers), response->headers.len);
    strbuf_adds(out, "X-Request-Id: ");
    strbuf_adds(out, request->id);
    strbuf_adds(out, response->close ? "\r\nConnection: close\r\n\r\n"
                                     : "\r\nConnection: keep-alive\r\n\r\n");
    if (has_body && strcmp(request->method, "HEAD") != 0) {
        strbuf_add(out, strbuf_text(&response->body), response->body.len);
    }
    mg_write(connection, out->text, out->len);
}

/* Closing a socket that has unread bytes resets it, and the client might lose the answer: so some
 * are read first. */
static void discard_body(struct http_server *server, struct mg_connection *connection)
{
    int64_t deadline_us = clock_mono_us() + DISCARD_MS_MAX * CLOCK_US_PER_MS;
    char chunk[CHUNK_BYTES];
    size_t total = 0;
    size_t got = sizeof(chunk);

    while (total < DISCARD_BYTES_MAX && got == sizeof(chunk)) {
        got = read_some(server, connection, chunk, sizeof(chunk), deadline_us);
        total += got;
    }
}

/* --- the library's callbacks ------------------------------------------------------------------ */

static int on_connection_open(const struct mg_connection *connection, void **ret_data)
{
    struct http_server *server = mg_get_user_data(mg_get_context(connection));
    struct connection *data = fs_calloc(1, sizeof(*data));

    data->idle_since_us = clock_mono_us();
    data->socket = -1;
    *ret_data = data;
    atomic_fetch_add(&server->connections, 1);
    return 0;
}

static void on_connection_close(const struct mg_connection *connection)
{
    struct http_server *server = mg_get_user_data(mg_get_context(connection));
    struct connection *data = mg_get_user_connection_data(connection);

    if (data != NULL) {
        free(data);
        mg_set_user_connection_data((struct mg_connection *)connection, NULL);
        atomic_fetch_sub(&server->connections, 1);
    }
}

static void *on_thread_start(const struct mg_context *context, int type)
{
    (void)context;
    return type == 1 ? fs_calloc(1, sizeof(struct thread_buffers)) : NULL;
}

static void on_thread_exit(const struct mg_context *context, int type, void *arg)
{
    struct thread_buffers *buffers = arg;

    (void)context;
    (void)type;
    if (buffers != NULL) {
        strbuf_finish(&buffers->response.headers);
        strbuf_finish(&buffers->response.body);
        strbuf_finish(&buffers->body);
        strbuf_finish(&buffers->out);
        free(buffers);
    }
}

static int on_library_message(const struct mg_connection *connection, const char *message)
{
    (void)connection;
    log_warn(log_msg("http library"), log_str("detail", message));
    return 1;
}

static bool must_shed(struct http_server *server)
{
    int64_t threads = server->options.threads;
    int64_t reserve = threads / RESERVE_DIVISOR > 0 ? threads / RESERVE_DIVISOR : 1;

    return server->options.is_public &&
           atomic_load_explicit(&server->connections, memory_order_relaxed) > threads - reserve;
}

static bool is_busy(struct http_server *server)
{
    return atomic_load_explicit(&server->connections, memory_order_relaxed) * INT64_C(100) >
           server->options.threads * BUSY_PERCENT;
}

/* Reads, routes and handles. Returns the place of the route in the table, or route_count when none
 * was found. */
static size_t answer(struct http_server *server, struct mg_connection *connection,
                     struct http_request *request, struct thread_buffers *buffers)
{
    struct http_response *response = &buffers->response;
    const struct http_route *route;
    size_t len = 0;

    if (must_shed(server)) {
        metric_add(server->shed, 1);
        refuse(request, response, HTTP_OVERLOADED, "all connections of this instance are taken");
        return server->route_count;
    }
    route = http_find_route(server->options.routes, request, response);
    if (!body_length(request, server->options.body_bytes_max, response, &len) ||
        !read_body(server, connection, request, len, &buffers->body, response) || route == NULL) {
        return route == NULL ? server->route_count : (size_t)(route - server->options.routes);
    }
    request->deadline_us = clock_mono_us() + server->options.request_timeout_ms * CLOCK_US_PER_MS;
    route->handle(request, response, server->options.context);
    return (size_t)(route - server->options.routes);
}

static void reset_response(struct http_response *response)
{
    response->status = 0;
    response->content_type = NULL;
    response->close = false;
    strbuf_clear(&response->headers);
    strbuf_clear(&response->body);
}

static int on_request(struct mg_connection *connection)
{
    struct http_server *server = mg_get_user_data(mg_get_context(connection));
    struct thread_buffers *buffers = mg_get_thread_pointer(connection);
    struct connection *data = mg_get_user_connection_data(connection);
    const struct mg_request_info *info = mg_get_request_info(connection);
    struct http_response *response = &buffers->response;
    struct http_request request;
    bool is_plain;
    size_t route;
    int64_t took_us;

    atomic_fetch_add(&server->in_flight, 1);
    request.body = "";
    request.body_len = 0;
    request.start_us = clock_mono_us();
    request.deadline_us = request.start_us;
    is_plain = take_head(&request, info);
    http_identify(&request);
    reset_response(response);

    route = check_head(&request, info->http_version, is_plain, response)
                ? answer(server, connection, &request, buffers)
                : server->route_count;
    response->close = response->close || lifecycle_is_draining() || is_busy(server) ||
                      !client_keeps_alive(&request, info->http_version);
    write_answer(connection, &request, response, &buffers->out);
    took_us = clock_mono_us() - request.start_us;
    if (server->options.is_public) {
        count_request(&server->route_metrics[route], request.method, response->status, took_us);
        log_request(server, &request, response, server->route_metrics[route].route,
                    info->remote_addr, took_us);
    }
    if (response->close) {
        if (response->status >= 400) {
            discard_body(server, connection);
        }
        mg_disable_connection_keep_alive(connection);
    }
    data->idle_since_us = clock_mono_us();
    data->was_used = true;
    atomic_fetch_sub(&server->in_flight, 1);
    return response->status;
}

/* The library could not read a request: too long, malformed, or not in time. It calls all three
 * malformed, so what it left is looked at: the time that passed, and bytes that it had no room
 * for. */
static void answer_unreadable(struct http_server *server, struct mg_connection *connection,
                              const struct http_request *request, int status,
                              struct http_response *response)
{
    const struct connection *data = mg_get_user_connection_data(connection);
    int64_t limit_ms =
        data->was_used ? server->options.keep_alive_timeout_ms : server->options.read_timeout_ms;
    int unread = 0;

    if (status == 505) {
        http_problem(request, response, HTTP_VERSION_NOT_SUPPORTED, "expected HTTP/1.1 or HTTP/1.0",
                     NULL);
    } else if (clock_mono_us() - data->idle_since_us >= limit_ms * CLOCK_US_PER_MS) {
        http_problem(request, response, HTTP_REQUEST_TIMEOUT,
                     "the head of the request did not arrive whole in time", NULL);
    } else if (status == 413 ||
               (ioctl(socket_of(server, connection), FIONREAD, &unread) == 0 && unread > 0)) {
        http_problem(request, response, HTTP_HEADERS_TOO_LARGE,
                     "expected at most 63 headers and 16 KiB of them", NULL);
    } else {
        http_bad_field(request, response, "request", "malformed request line or header");
    }
}

static int on_library_error(struct mg_connection *connection, int status, const char *message)
{
    struct http_server *server = mg_get_user_data(mg_get_context(connection));
    struct thread_buffers *buffers = mg_get_thread_pointer(connection);
    const struct mg_request_info *info = mg_get_request_info(connection);
    struct http_request request = {.method = "", .path = "", .query = "", .body = ""};

    (void)message;
    request.start_us = clock_mono_us();
    http_identify(&request);
    reset_response(&buffers->response);
    answer_unreadable(server, connection, &request, status, &buffers->response);
    buffers->response.close = true;
    write_answer(connection, &request, &buffers->response, &buffers->out);
    if (server->options.is_public) {
        count_request(&server->route_metrics[server->route_count], request.method,
                      buffers->response.status, 0);
        log_request(server, &request, &buffers->response, "unmatched", info->remote_addr, 0);
    }
    return 0;
}

/* --- start and stop --------------------------------------------------------------------------- */

/* Each connection is a descriptor, and so is each one of the stores: take what the system
 * grants. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static void init_metrics(struct http_server *server)
{
    while (server->options.routes[server->route_count].method != NULL) {
        server->route_count++;
    }
    server->route_metrics = fs_calloc(server->route_count + 1, sizeof(*server->route_metrics));
    for (size_t i = 0; i <= server->route_count; i++) {
        server->route_metrics[i].route =
            i < server->route_count ? server->options.routes[i].path : "unmatched";
    }
    if (server->options.is_public) {
        server->in_flight_now = metric_get(&in_flight_gauge);
        server->connections_now = metric_get(&connections_gauge);
        server->shed = metric_get(&shed_counter);
        metric_set(metric_get(&threads_gauge), (double)server->options.threads);
        metrics_add_hook(update_gauges, server);
    }
}

static struct mg_context *start_library(struct http_server *server)
{
    static const struct mg_callbacks callbacks = {.begin_request = on_request,
                                                  .log_message = on_library_message,
                                                  .http_error = on_library_error,
                                                  .init_connection = on_connection_open,
                                                  .connection_close = on_connection_close,
                                                  .init_thread = on_thread_start,
                                                  .exit_thread = on_thread_exit};
    char port[320];
    char threads[24];
    char read_timeout[24];
    char keep_alive_timeout[24];
    char head_bytes_max[24];
    const char *const options[] = {"listening_ports",
                                   port,
                                   "num_threads",
                                   threads,
                                   "connection_queue",
                                   threads,
                                   "listen_backlog",
                                   "1024",
                                   "tcp_nodelay",
                                   "1",
                                   "enable_keep_alive",
                                   "yes",
                                   "keep_alive_timeout_ms",
                                   keep_alive_timeout,
                                   "request_timeout_ms",
                                   read_timeout,
                                   "max_request_size",
                                   head_bytes_max,
                                   "decode_url",
                                   "no",
                                   "enable_auth_domain_check",
                                   "no",
                                   "enable_directory_listing",
                                   "no",
                                   NULL};

    snprintf(port, sizeof(port), "%s:%" PRId64, server->options.host, server->options.port);
    snprintf(threads, sizeof(threads), "%" PRId64, server->options.threads);
    snprintf(read_timeout, sizeof(read_timeout), "%" PRId64, server->options.read_timeout_ms);
    snprintf(keep_alive_timeout, sizeof(keep_alive_timeout), "%" PRId64,
             server->options.keep_alive_timeout_ms);
    snprintf(head_bytes_max, sizeof(head_bytes_max), "%d", LIBRARY_HEAD_BYTES);
    return mg_start(&callbacks, server, (const char **)options);
}

struct http_server *http_server_start(const struct http_server_options *options)
{
    struct http_server *server = fs_calloc(1, sizeof(*server));

    server->options = *options;
    raise_descriptor_limit();
    init_metrics(server);
    server->guard = socket_guard_create();
    mg_init_library(MG_FEATURES_DEFAULT);
    server->library = start_library(server);
    if (server->library == NULL) {
        log_error(log_msg("cannot listen; is the port taken?"), log_str("host", options->host),
                  log_int("port", options->port));
        http_server_destroy(server);
        return NULL;
    }
    return server;
}

void http_server_stop_listening(struct http_server *server)
{
    socket_shut_down_all(server->options.port, true);
}

bool http_server_wait_idle(struct http_server *server, int64_t deadline_us)
{
    while (atomic_load(&server->in_flight) > 0) {
        if (clock_left_ms(deadline_us) == 0) {
            return false;
        }
        lifecycle_sleep_ms(IDLE_POLL_MS);
    }
    return true;
}

void http_server_destroy(struct http_server *server)
{
    if (server == NULL) {
        return;
    }
    if (server->library != NULL) {
        socket_shut_down_all(server->options.port,
                             true); /* else the library's threads notice each 2 s only */
        socket_shut_down_all(server->options.port, false);
        mg_stop(server->library);
    }
    socket_guard_destroy(server->guard);
    if (server->options.is_public) {
        metrics_remove_hook(update_gauges, server);
    }
    mg_exit_library();
    free(server->route_metrics);
    free(server);
}
