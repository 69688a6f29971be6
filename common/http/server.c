#include "common/http/server.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/lifecycle.h"
#include "common/base/log.h"
#include "common/base/metrics.h"
#include "common/base/ticker.h"
#include "common/http/content.h"
#include "common/http/head.h"
#include "common/http/parked.h"
#include "common/http/problem.h"
#include "common/http/sockets.h"
#include "common/http/stream.h"
#include "common/http/tracing.h"
#include "common/http/traffic.h"

#include <assert.h>
#include <civetweb.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>

#define LIBRARY_HEAD_BYTES                                                                         \
    65536 /* the library's own limit; larger, so that ours can answer 431                          \
           */
/* Read behind an answer that refused a body, so that the client gets to read the answer. */
#define DISCARD_BYTES_MAX 1048576
#define DISCARD_MS_MAX 1000
#define KEPT_BODY_BYTES_MAX 131072
#define BUSY_PERCENT 75    /* of the threads: from there on `Connection: close` */
#define RESERVE_DIVISOR 16 /* one thread in so many is kept for saying 503 */
#define SILENT_MS 100      /* longer than a client's first bytes are under way */
#define ROOM_LOOK_MS 50    /* how often is looked for such connections */
#define IDLE_POLL_MS 5
/* On the stack, of which the library's threads have 100 KiB (its USE_STACK_SIZE). */
#define CHUNK_BYTES 4096

static struct metric_family in_flight_gauge =
    METRIC_GAUGE("http_requests_in_flight", "Requests being answered.", METRIC_NO_LABELS);
static struct metric_family connections_gauge = METRIC_GAUGE(
    "http_connections", "Open client connections; each holds a thread.", METRIC_NO_LABELS);
static struct metric_family threads_gauge =
    METRIC_GAUGE("http_threads", "Threads that serve connections.", METRIC_NO_LABELS);
static struct metric_family shed_counter =
    METRIC_COUNTER("http_requests_shed_total",
                   "Requests refused with 503 because the threads were taken.", METRIC_NO_LABELS);
static struct metric_family watched_counter = METRIC_COUNTER(
    "http_requests_watched_total",
    "Requests that a watcher answered, while the connection's thread slept.", METRIC_NO_LABELS);
static struct metric_family silent_counter = METRIC_COUNTER(
    "http_connections_silent_total",
    "Connections closed to make room, because nothing came on them.", METRIC_NO_LABELS);

struct http_server {
    struct http_server_options options;
    struct mg_context *library;
    atomic_int in_flight;
    atomic_int handled;     /* of these, those that are not refused for want of a thread */
    atomic_int connections; /* as many as are in the list */
    pthread_mutex_t lock;   /* guards the list */
    struct connection *open;
    struct traffic *traffic; /* NULL: not counted */
    struct metric *in_flight_now;
    struct metric *connections_now;
    struct metric *shed;
    struct metric *silent;
    struct socket_guard *guard;
    struct parking *parking; /* NULL: no connection is parked */
    struct ticker *room;
};

/* A connection, from when the library gives it to a thread until that thread closes it. */
struct connection {
    struct connection *next;
    struct connection **previous;
    const struct mg_connection *library;
    atomic_bool was_used;
    bool is_unreadable;   /* the library could not read a request, and that was answered */
    struct parked parked; /* its `idle_since_us`: since the connection opened, or since its last
                             answer; 0: in a request */
};

/* Buffers that each serving thread keeps. */
struct thread_buffers {
    const char *head_start; /* where the library's buffer begins, as far as this thread has seen */
    struct http_request request;
    struct http_response response;
    struct http_stream stream;
    struct strbuf body;
    struct strbuf out;
    struct trace *trace; /* of the request, when it is traced */
};

/* --- start and stop --------------------------------------------------------------------------- */

static int on_connection_open(const struct mg_connection *connection, void **ret_data);
static void on_connection_close(const struct mg_connection *connection);
static void *on_thread_start(const struct mg_context *context, int type);
static void on_thread_exit(const struct mg_context *context, int type, void *arg);
static int on_library_message(const struct mg_connection *connection, const char *message);
static int on_request(struct mg_connection *connection);
static int on_library_error(struct mg_connection *connection, int status, const char *message);
static int64_t make_room(void *arg);
static void start_parking(struct http_server *server);
static void end_idle(struct http_server *server, int64_t ms);

static void update_gauges(void *arg)
{
    struct http_server *server = arg;

    metric_set(server->in_flight_now, atomic_load(&server->in_flight));
    metric_set(server->connections_now, atomic_load(&server->connections));
}

static void init_metrics(struct http_server *server)
{
    server->silent = metric_get(&silent_counter);
    if (server->options.is_public) {
        server->traffic = traffic_create(server->options.routes, server->options.log_sample,
                                         server->options.log_slow_ms);
        server->in_flight_now = metric_get(&in_flight_gauge);
        server->connections_now = metric_get(&connections_gauge);
        server->shed = metric_get(&shed_counter);
        metric_set(metric_get(&threads_gauge), (double)server->options.threads);
        metrics_add_hook(update_gauges, server);
    }
}

/* Each connection is a descriptor, to clients and to stores: raise the limit to the most that the
 * system grants. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
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
    bool is_v6 = strchr(server->options.host, ':') != NULL;
    char port[320];
    char threads[24];
    char read_timeout[24];
    char keep_alive_timeout[24];
    char head_bytes_max[24];
    /* clang-format off */
    const char *const options[] = {
        "listening_ports", port,
        "num_threads", threads,
        "connection_queue", threads, /* accepted, and waiting for a thread */
        "listen_backlog", "1024",
        "tcp_nodelay", "1",
        "enable_keep_alive", "yes",
        "keep_alive_timeout_ms", keep_alive_timeout,
        "request_timeout_ms", read_timeout,
        "max_request_size", head_bytes_max,
        "decode_url", "no", /* handlers judge the path as it came */
        "enable_auth_domain_check", "no",
        "enable_directory_listing", "no",
        NULL};
    /* clang-format on */

    snprintf(port, sizeof(port), is_v6 ? "[%s]:%" PRId64 : "%s:%" PRId64, server->options.host,
             server->options.port);
    snprintf(threads, sizeof(threads), "%" PRId64, server->options.threads);
    snprintf(read_timeout, sizeof(read_timeout), "%" PRId64, server->options.read_timeout_ms);
    snprintf(keep_alive_timeout, sizeof(keep_alive_timeout), "%" PRId64,
             server->options.keep_alive_timeout_ms);
    snprintf(head_bytes_max, sizeof(head_bytes_max), "%d", LIBRARY_HEAD_BYTES);
    return mg_start(&callbacks, server, (const char **)options);
}

/* The library only says that it could not start: the cause is found out by listening without it. */
static void log_why_not(const struct http_server_options *options)
{
    const char *why = socket_why_not_listen(options->host, options->port);

    if (why == NULL && strchr(options->host, ':') != NULL && !mg_check_feature(MG_FEATURES_IPV6)) {
        why = "the HTTP library here is built without IPv6; expected an IPv4 address";
    }
    log_error(log_msg("cannot listen"), log_str("host", options->host),
              log_int("port", options->port),
              log_str("error",
                      why == NULL ? "the HTTP library did not start; it may have said why" : why));
}

struct http_server *http_server_start(const struct http_server_options *options)
{
    struct http_server *server = fs_calloc(1, sizeof(*server));

    assert(options->threads > 0 && options->port > 0 && options->routes != NULL);
    server->options = *options;
    pthread_mutex_init(&server->lock, NULL);
    raise_descriptor_limit();
    init_metrics(server);
    server->guard = socket_guard_create();
    start_parking(server);
    mg_init_library(MG_FEATURES_IPV6); /* of a library that is built with it */
    server->library = start_library(server);
    if (server->library == NULL) {
        log_why_not(options);
        http_server_destroy(server);
        return NULL;
    }
    server->room = ticker_create(make_room, server);
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
    ticker_destroy(server->room);
    if (server->library != NULL) {
        /* wakes the library's threads, which otherwise look every 2 s whether they are to stop */
        socket_shut_down_all(server->options.port, true);
        socket_shut_down_all(server->options.port, false);
        parking_end(server->parking);
        end_idle(server, 0);
        mg_stop(server->library);
    }
    assert(server->open == NULL && atomic_load(&server->connections) == 0);
    parking_destroy(server->parking);
    socket_guard_destroy(server->guard);
    if (server->options.is_public) {
        metrics_remove_hook(update_gauges, server);
    }
    mg_exit_library();
    traffic_destroy(server->traffic);
    pthread_mutex_destroy(&server->lock);
    free(server);
}

/* --- connections ------------------------------------------------------------------------------ */

static int on_connection_open(const struct mg_connection *connection, void **ret_data)
{
    struct http_server *server = mg_get_user_data(mg_get_context(connection));
    struct connection *data = fs_calloc(1, sizeof(*data));

    data->library = connection;
    parked_init(&data->parked);
    atomic_store(&data->parked.idle_since_us, clock_mono_us());
    pthread_mutex_lock(&server->lock);
    data->next = server->open;
    data->previous = &server->open;
    if (data->next != NULL) {
        data->next->previous = &data->next;
    }
    server->open = data;
    pthread_mutex_unlock(&server->lock);
    atomic_fetch_add(&server->connections, 1);
    *ret_data = data;
    return 0;
}

static void forget_connection(struct http_server *server, struct connection *data)
{
    pthread_mutex_lock(&server->lock);
    *data->previous = data->next;
    if (data->next != NULL) {
        data->next->previous = data->previous;
    }
    pthread_mutex_unlock(&server->lock);
    atomic_fetch_sub(&server->connections, 1);
    parked_finish(&data->parked);
    free(data);
}

/* The library does not tell a connection's socket: it is looked for once. -1 when it is not
 * found. */
static int socket_of(struct http_server *server, const struct mg_connection *connection)
{
    const struct mg_request_info *info = mg_get_request_info(connection);
    struct connection *data = mg_get_user_connection_data(connection);

    if (data->parked.socket < 0) {
        data->parked.socket =
            socket_find(server->options.port, info->remote_addr, info->remote_port);
    }
    return data->parked.socket;
}

/* Reads as many of `len` bytes as come until the deadline; the library's own timeout begins anew
 * with every byte. */
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

/* How many requests are handled at once at most, so that threads are left to refuse others. */
static int64_t handled_max(const struct http_server *server)
{
    int64_t threads = server->options.threads;
    int64_t reserve = threads / RESERVE_DIVISOR > 0 ? threads / RESERVE_DIVISOR : 1;

    return threads - reserve;
}

static bool is_busy(struct http_server *server)
{
    return atomic_load_explicit(&server->connections, memory_order_relaxed) * INT64_C(100) >
           server->options.threads * BUSY_PERCENT;
}

/* Has nothing come on it for a while? On the public port a connection that has been used counts
 * as well-behaved: a proxy keeps it for its next request. */
static bool is_silent(struct http_server *server, const struct connection *data, int64_t now_us)
{
    int64_t since_us = atomic_load(&data->parked.idle_since_us);

    return since_us != 0 && now_us - since_us >= SILENT_MS * CLOCK_US_PER_MS &&
           !(server->options.is_public && atomic_load(&data->was_used));
}

/* Ends the silent connections when nearly all threads are taken. */
static void end_silent(struct http_server *server)
{
    int64_t now_us = clock_mono_us();

    pthread_mutex_lock(&server->lock); /* none closes meanwhile, so a socket keeps its number */
    for (struct connection *data = server->open; data != NULL; data = data->next) {
        if (is_silent(server, data, now_us)) {
            /* NULL only until the library begins to read, which is over after SILENT_MS */
            const struct mg_request_info *info = mg_get_request_info(data->library);

            if (info != NULL) {
                socket_shut_down(
                    socket_find(server->options.port, info->remote_addr, info->remote_port));
                metric_add(server->silent, 1);
            }
        }
    }
    pthread_mutex_unlock(&server->lock);
}

/* --- parked connections ----------------------------------------------------------------------- */

/* Otherwise answers say `Connection: close`, which is left to the connection's thread. */
static bool may_stay_parked(void *arg)
{
    return !lifecycle_is_draining() && !is_busy(arg);
}

static void start_parking(struct http_server *server)
{
    const struct http_server_options *options = &server->options;

    if (options->watchers > 0 && quick_is_of_use(options->routes)) {
        server->parking = parking_create(&(struct parking_options){
            .watchers = (size_t)options->watchers,
            .quick = {.routes = options->routes,
                      .context = options->context,
                      .request_timeout_ms = options->request_timeout_ms,
                      .traffic = server->traffic,
                      .traces = options->traces},
            .may_answer = may_stay_parked,
            .arg = server,
            .answered = metric_get(&watched_counter),
        });
    }
}

/* Ends the parked connections that were idle for `ms`: their threads wake, and the library closes
 * them without a word, as it does itself. */
static void end_idle(struct http_server *server, int64_t ms)
{
    int64_t before_us = clock_mono_us() - ms * CLOCK_US_PER_MS;

    pthread_mutex_lock(&server->lock); /* none closes meanwhile */
    for (struct connection *data = server->open; data != NULL; data = data->next) {
        if (atomic_load(&data->parked.is_parked) &&
            atomic_load(&data->parked.idle_since_us) <= before_us) {
            socket_shut_down(data->parked.socket);
        }
    }
    pthread_mutex_unlock(&server->lock);
}

static int64_t make_room(void *arg)
{
    struct http_server *server = arg;

    if (atomic_load(&server->connections) >= handled_max(server)) {
        end_silent(server);
    }
    if (server->parking != NULL) {
        end_idle(server, server->options.keep_alive_timeout_ms);
    }
    return ROOM_LOOK_MS;
}

/* Parks the connection when it is worth it, until its thread is needed. */
static void park(struct http_server *server, struct mg_connection *connection)
{
    struct connection *data = mg_get_user_connection_data(connection);
    struct parked *parked = &data->parked;

    if (server->parking == NULL || !parked_is_due(parked)) {
        return;
    }
    parked->peer = mg_get_request_info(connection)->remote_addr;
    if (socket_of(server, connection) < 0 || !parking_wait(server->parking, parked)) {
        return;
    }
    atomic_store(&parked->idle_since_us, clock_mono_us()); /* from when on it waits for the rest */
    if (parked->unsent.len > 0 &&
        mg_write(connection, parked->unsent.text, parked->unsent.len) <= 0) {
        mg_disable_connection_keep_alive(connection);
    }
    strbuf_finish(&parked->unsent);
}

/* --- one request ------------------------------------------------------------------------------ */

/* Names the fault of a head; the connection ends, because it is not known where the request ends.
 */
static void refuse_head(const struct http_request *request, struct http_response *response,
                        enum head_fault fault)
{
    response->close = true;
    switch (fault) {
    case HEAD_IS_PLAIN:
        break;
    case HEAD_TOO_LARGE:
        http_problem(request, response, HTTP_HEADERS_TOO_LARGE,
                     "expected at most 63 headers and 16 KiB of them", NULL);
        break;
    case HEAD_BAD_HOST:
        http_bad_field(request, response, "Host", "expected once");
        break;
    case HEAD_BAD_PATH:
        http_bad_field(request, response, "path", "expected UTF-8");
        break;
    case HEAD_BAD_LINE: /* RFC 9112 sections 2.2 and 5.1 */
        http_bad_field(request, response, "request",
                       "expected lines of 'Name: value' that end in CR LF");
        break;
    case HEAD_EMPTY_LINES:
        http_bad_field(request, response, "request", "expected at most one empty line before it");
        break;
    }
}

/* Few bodies are large, so a thread does not keep the memory of one. */
static void forget_large_bodies(struct thread_buffers *buffers)
{
    struct strbuf *bodies[] = {&buffers->body, &buffers->response.body, &buffers->out};

    for (size_t i = 0; i < sizeof(bodies) / sizeof(*bodies); i++) {
        if (bodies[i]->capacity > KEPT_BODY_BYTES_MAX) {
            strbuf_finish(bodies[i]);
        }
    }
}

static bool read_body(struct http_server *server, struct mg_connection *connection,
                      struct http_request *request, size_t len, struct strbuf *buffer,
                      struct http_response *response)
{
    int64_t deadline_us = clock_after_ms(server->options.read_timeout_ms);
    char chunk[CHUNK_BYTES];

    strbuf_clear(buffer);
    if (len > 0 && http_wants_continue(request)) {
        mg_write(connection, "HTTP/1.1 100 Continue\r\n\r\n", 25);
    }
    while (buffer->len < len) {
        size_t want = len - buffer->len < sizeof(chunk) ? len - buffer->len : sizeof(chunk);
        size_t got = read_some(server, connection, chunk, want, deadline_us);

        strbuf_add(buffer, chunk, got);
        if (got < want) {
            http_problem(request, response, HTTP_REQUEST_TIMEOUT,
                         "the body did not arrive whole in time", NULL);
            response->close = true;
            return false;
        }
    }
    if (head_stands_again(request->method, strbuf_text(buffer), buffer->len)) {
        refuse_head(request, response, HEAD_EMPTY_LINES);
        return false;
    }
    request->body = strbuf_text(buffer);
    request->body_len = buffer->len;
    return true;
}

/* Closing a socket that has unread bytes resets it, and the client might lose the answer: so some
 * are read first. */
static void discard_body(struct http_server *server, struct mg_connection *connection,
                         const struct http_request *request)
{
    int64_t deadline_us = clock_after_ms(DISCARD_MS_MAX);
    char chunk[CHUNK_BYTES];
    size_t total = 0;
    /* without a body the library reads nothing, and the search for the socket is dear */
    size_t got = http_header(request, HTTP_CONTENT_LENGTH) == NULL &&
                         http_header(request, HTTP_TRANSFER_ENCODING) == NULL
                     ? 0
                     : sizeof(chunk);

    while (total < DISCARD_BYTES_MAX && got == sizeof(chunk)) {
        got = read_some(server, connection, chunk, sizeof(chunk), deadline_us);
        total += got;
    }
}

/* What the library will do after this answer (its should_keep_alive), so that the header says the
 * same. */
static bool client_keeps_alive(const struct http_request *request, const char *http_version)
{
    const char *connection = http_header(request, HTTP_CONNECTION);

    if (connection == NULL) {
        return strcmp(http_version, "1.1") == 0;
    }
    return strcasecmp(connection, "keep-alive") == 0;
}

/* Takes over the headers that the library has parsed. */
static enum head_fault take_head(struct http_request *request, const struct mg_request_info *info,
                                 size_t *ret_len)
{
    struct head_reader reader;

    head_begin(&reader, request, info->http_version);
    for (int i = 0; i < info->num_headers; i++) {
        /* in the library's buffer, which it writes to as well */
        head_add(&reader, info->http_headers[i].name, (char *)info->http_headers[i].value);
    }
    head_end(&reader);
    *ret_len = head_len(&reader);
    http_identify(request);
    return head_fault(&reader, info->http_version);
}

/* --- streamed requests ------------------------------------------------------------------------ */

struct stream_end {
    struct http_server *server;
    struct mg_connection *connection;
};

static int read_stream(void *arg, char *bytes, size_t len)
{
    const struct stream_end *end = arg;
    struct socket_guarded guarded;
    int got;

    socket_guard_begin_stream(end->server->guard, &guarded,
                              socket_of(end->server, end->connection));
    got = mg_read(end->connection, bytes, len);
    socket_guard_end(end->server->guard, &guarded);
    return got;
}

static bool write_stream(void *arg, const char *bytes, size_t len)
{
    const struct stream_end *end = arg;

    return mg_write(end->connection, bytes, len) == (int)len;
}

/* May this streamed request be handled? Sets how its body comes. The connection ends behind a body
 * in chunks, because the library is lenient about their form: a proxy in front might see its end
 * elsewhere. */
static bool begin_stream(struct http_server *server, const char *http_version,
                         const struct http_request *request, struct http_stream *stream)
{
    if (strcmp(http_version, "1.1") != 0) {
        http_problem(request, stream->response, HTTP_VERSION_NOT_SUPPORTED,
                     "expected HTTP/1.1, because the answer may come in chunks", NULL);
        stream->response->close = true;
        return false;
    }
    if (!http_stream_length(request, stream->response, &stream->is_chunked, &stream->left)) {
        return false;
    }
    stream->wants_continue = http_wants_continue(request);
    stream->response->close = stream->is_chunked || lifecycle_is_draining() || is_busy(server) ||
                              !client_keeps_alive(request, http_version);
    return true;
}

/* Handles a request that reads its body itself. */
static void answer_streamed(struct http_server *server, struct mg_connection *connection,
                            const struct http_route *route, struct http_request *request,
                            struct thread_buffers *buffers)
{
    struct stream_end end = {.server = server, .connection = connection};
    struct http_stream *stream = &buffers->stream;

    *stream = (struct http_stream){
        .request = request,
        .response = &buffers->response,
        .out = &buffers->out,
        .io = {.arg = &end, .read = read_stream, .write = write_stream},
    };
    if (begin_stream(server, mg_get_request_info(connection)->http_version, request, stream)) {
        request->stream = stream;
        request->deadline_us = clock_after_ms(server->options.request_timeout_ms);
        route->handle(request, &buffers->response, server->options.context);
    }
    if (stream->end != HTTP_STREAM_WHOLE || stream->is_broken || buffers->response.is_cut) {
        buffers->response.close = true;
    }
    if (stream->is_begun) {
        http_stream_finish(stream, !buffers->response.is_cut);
    }
}

/* --- one request, whole ----------------------------------------------------------------------- */

/* Routes, reads the body and handles. Returns the route, or NULL when none was found. */
static const struct http_route *handle(struct http_server *server, struct mg_connection *connection,
                                       struct http_request *request, struct thread_buffers *buffers)
{
    struct http_response *response = &buffers->response;
    const struct http_route *route;
    size_t len = 0;

    /* The body is read also when there is no route: the next request stands behind it. */
    route =
        http_find_route(server->options.routes, server->options.known_routes, request, response);
    if (route != NULL && route->is_streamed) {
        answer_streamed(server, connection, route, request, buffers);
    } else if (http_content_length(request, server->options.body_bytes_max, response, &len) &&
               read_body(server, connection, request, len, &buffers->body, response) &&
               route != NULL) {
        request->deadline_us = clock_after_ms(server->options.request_timeout_ms);
        route->handle(request, response, server->options.context);
    }
    return route;
}

/* Handles a request unless as many are handled already as there are threads, but for those that
 * tell it. Returns the route, or NULL when none was found or looked for. */
static const struct http_route *answer(struct http_server *server, struct mg_connection *connection,
                                       struct http_request *request, struct thread_buffers *buffers)
{
    const struct http_route *route = NULL;

    buffers->trace = http_trace_begin(server->options.traces, request);
    if (atomic_fetch_add(&server->handled, 1) < handled_max(server) || !server->options.is_public) {
        route = handle(server, connection, request, buffers);
    } else {
        metric_add(server->shed, 1);
        http_problem(request, &buffers->response, HTTP_OVERLOADED,
                     "all threads of this instance are at work", NULL);
        buffers->response.close = true;
    }
    atomic_fetch_sub(&server->handled, 1);
    return route;
}

static void note_answer(struct http_server *server, struct thread_buffers *buffers,
                        const struct traffic_answer *answer)
{
    if (server->traffic != NULL) {
        traffic_note(server->traffic, answer);
    }
    http_trace_end(server->options.traces, buffers->trace, answer);
    buffers->trace = NULL;
}

/* Sends the answer, counts, logs and traces it; without a time where no head came, because the
 * request then has no beginning. */
static void finish(struct http_server *server, struct mg_connection *connection,
                   struct thread_buffers *buffers, const struct http_route *route, bool is_timed)
{
    const struct http_request *request = &buffers->request;
    size_t body_bytes = 0;

    if (request->stream != NULL && request->stream->is_begun) {
        body_bytes = request->stream->sent;
    } else {
        body_bytes = http_write_answer(request, &buffers->response, &buffers->out);
        body_bytes = mg_write(connection, buffers->out.text, buffers->out.len) > 0 ? body_bytes : 0;
    }
    note_answer(server, buffers,
                &(struct traffic_answer){
                    .request = request,
                    .route = route,
                    .peer = mg_get_request_info(connection)->remote_addr,
                    .status = buffers->response.status,
                    .body_bytes = body_bytes,
                    .took_us = is_timed ? clock_mono_us() - request->start_us : -1,
                });
}

/* Two empty lines before a request make the library lose the place of its end, see
 * head_stands_again. The library keeps one buffer a thread and moves each request to its beginning,
 * so that is the lowest place at which this thread has seen a request begin. (Until a thread has
 * seen one without empty lines it cannot know; then the library refuses what it reads next.) */
static bool is_behind_empty_lines(struct thread_buffers *buffers, const char *method)
{
    int lines = 0;

    if (buffers->head_start == NULL || method < buffers->head_start ||
        method - buffers->head_start > LIBRARY_HEAD_BYTES) {
        buffers->head_start = method;
    }
    for (const char *p = buffers->head_start; p < method; p++) {
        lines += *p == '\n';
    }
    return lines > 1;
}

/* The library has read a head. */
static int on_request(struct mg_connection *connection)
{
    struct http_server *server = mg_get_user_data(mg_get_context(connection));
    struct thread_buffers *buffers = mg_get_thread_pointer(connection);
    struct connection *data = mg_get_user_connection_data(connection);
    const struct mg_request_info *info = mg_get_request_info(connection);
    struct http_request *request = &buffers->request;
    struct http_response *response = &buffers->response;
    const struct http_route *route = NULL;
    size_t head_bytes;
    enum head_fault fault;

    atomic_store(&data->parked.idle_since_us, 0);
    atomic_fetch_add(&server->in_flight, 1);
    http_request_init(request, info->request_method, info->local_uri_raw,
                      info->query_string == NULL ? "" : info->query_string);
    request->start_us = clock_mono_us();
    http_response_reset(response);

    fault = take_head(request, info, &head_bytes);
    if (fault == HEAD_IS_PLAIN && is_behind_empty_lines(buffers, info->request_method)) {
        fault = HEAD_EMPTY_LINES;
    }
    if (fault == HEAD_IS_PLAIN) {
        route = answer(server, connection, request, buffers);
    } else {
        refuse_head(request, response, fault);
    }
    response->close = response->close || lifecycle_is_draining() || is_busy(server) ||
                      !client_keeps_alive(request, info->http_version);
    finish(server, connection, buffers, route, true);
    forget_large_bodies(buffers);
    if (response->close) {
        if (response->status >= 400 ||
            (request->stream != NULL && request->stream->end != HTTP_STREAM_WHOLE)) {
            discard_body(server, connection, request);
        }
        mg_disable_connection_keep_alive(connection);
    }
    atomic_store(&data->was_used, true);
    atomic_store(&data->parked.idle_since_us, clock_mono_us());
    atomic_fetch_sub(&server->in_flight, 1);
    parked_count(&data->parked, request, head_bytes);
    if (!response->close) {
        park(server, connection);
    }
    return response->status;
}

/* --- requests that the library does not hand over --------------------------------------------- */

static bool is_version_known(const char *version)
{
    return version != NULL && (strcmp(version, "1.1") == 0 || strcmp(version, "1.0") == 0);
}

/* The library gives up on a request whose method it does not know, before it parses the headers,
 * and on one whose target or Transfer-Encoding it does not know, after that. These can be refused
 * for what they ask: a 405 with Allow, a 404, a 411. False when the request is not plain
 * besides. */
static bool refuse_by_route(struct http_server *server, const struct mg_request_info *info,
                            struct thread_buffers *buffers)
{
    struct http_request *request = &buffers->request;
    const char *version = info->http_version;
    char *target = (char *)info->request_uri; /* in the library's buffer, as all of the head */
    size_t len;

    if (info->request_method == NULL || target == NULL || !is_version_known(version)) {
        return false;
    }
    http_request_init(request, info->request_method, "", "");
    if (info->num_headers > 0 ? take_head(request, info, &len) != HEAD_IS_PLAIN
                              : !head_read_lines(request, (char *)version + strlen(version) + 2)) {
        return false;
    }
    if (!head_set_target(request, target)) {
        return false;
    }
    http_identify(request);
    http_find_route(server->options.routes, server->options.known_routes, request,
                    &buffers->response);
    http_content_length(request, server->options.body_bytes_max, &buffers->response, &len);
    return buffers->response.status != 0;
}

/* The library could not read a request: too long, malformed, or not in time. It calls all three
 * malformed. They are told apart by the time that has passed, and by the bytes that have come: as
 * many as it has room for. (A malformed one with as many behind it is called too long.) */
static void answer_unreadable(struct http_server *server, struct mg_connection *connection,
                              const struct http_request *request, int status,
                              struct http_response *response)
{
    const struct connection *data = mg_get_user_connection_data(connection);
    const struct mg_request_info *info = mg_get_request_info(connection);
    int64_t limit_ms =
        data->was_used ? server->options.keep_alive_timeout_ms : server->options.read_timeout_ms;
    uint64_t untaken;

    (void)socket_of(server, connection); /* it is looked for, if it was not yet */
    untaken = parked_untaken(&data->parked);
    if (status == 505 || (info->http_version != NULL && !is_version_known(info->http_version))) {
        http_problem(request, response, HTTP_VERSION_NOT_SUPPORTED, "expected HTTP/1.1 or HTTP/1.0",
                     NULL);
    } else if (clock_mono_us() - data->parked.idle_since_us >= limit_ms * CLOCK_US_PER_MS) {
        http_problem(request, response, HTTP_REQUEST_TIMEOUT,
                     "the head of the request did not arrive whole in time", NULL);
    } else if (status == 413 || (untaken >= LIBRARY_HEAD_BYTES && untaken != UINT64_MAX)) {
        refuse_head(request, response, HEAD_TOO_LARGE);
    } else {
        http_bad_field(request, response, "request",
                       "malformed request line or header, or a control character in it");
    }
}

static int on_library_error(struct mg_connection *connection, int status, const char *message)
{
    struct http_server *server = mg_get_user_data(mg_get_context(connection));
    struct thread_buffers *buffers = mg_get_thread_pointer(connection);
    struct connection *data = mg_get_user_connection_data(connection);

    (void)message;
    data->is_unreadable = true;
    http_response_reset(&buffers->response);
    if (!refuse_by_route(server, mg_get_request_info(connection), buffers)) {
        http_request_init(&buffers->request, "", "", "");
        http_identify(&buffers->request);
        answer_unreadable(server, connection, &buffers->request, status, &buffers->response);
    }
    buffers->response.close = true;
    finish(server, connection, buffers, NULL, false);
    return 0;
}

/* The library drops a request for "*", and one in absolute form unless it names this very port, and
 * closes the connection without a word. It leaves them parsed, so they are answered here. Their
 * body is gone, so a request that had one is refused. A request that was sent behind them may have
 * overwritten their head: then its lines are not plain any more, and it is refused too. */
static void answer_dropped(struct http_server *server, struct mg_connection *connection)
{
    struct thread_buffers *buffers = mg_get_thread_pointer(connection);
    const struct mg_request_info *info = mg_get_request_info(connection);
    struct http_request *request = &buffers->request;
    struct http_response *response = &buffers->response;
    const struct http_route *route = NULL;
    size_t head_bytes;
    enum head_fault fault;

    http_response_reset(response);
    http_request_init(request, info->request_method, "", "");
    request->start_us = clock_mono_us();
    fault = take_head(request, info, &head_bytes);
    if (request->method + strlen(request->method) + 1 != info->request_uri ||
        !head_set_target(request, (char *)info->request_uri)) {
        fault = HEAD_BAD_LINE;
    }
    if (fault != HEAD_IS_PLAIN) {
        refuse_head(request, response, fault);
    } else if (http_header(request, HTTP_CONTENT_LENGTH) != NULL ||
               http_header(request, HTTP_TRANSFER_ENCODING) != NULL) {
        http_bad_field(request, response, "request",
                       "expected the path alone as the target of a request with a body");
    } else {
        route = answer(server, connection, request, buffers);
    }
    response->close = true;
    finish(server, connection, buffers, route, true);
}

static void on_connection_close(const struct mg_connection *connection)
{
    struct http_server *server = mg_get_user_data(mg_get_context(connection));
    struct connection *data = mg_get_user_connection_data(connection);
    const struct mg_request_info *info = mg_get_request_info(connection);

    if (data == NULL) {
        return;
    }
    if (!data->is_unreadable && info != NULL && info->request_method != NULL &&
        info->request_uri != NULL && info->http_version != NULL && info->local_uri_raw == NULL) {
        atomic_fetch_add(&server->in_flight, 1);
        atomic_store(&data->parked.idle_since_us, 0);
        answer_dropped(server, (struct mg_connection *)connection);
        atomic_fetch_sub(&server->in_flight, 1);
    }
    mg_set_user_connection_data((struct mg_connection *)connection, NULL);
    forget_connection(server, data);
}

/* --- the library's threads and messages ------------------------------------------------------- */

static void *on_thread_start(const struct mg_context *context, int type)
{
    (void)context;
    return type == 1 ? fs_calloc(1, sizeof(struct thread_buffers)) : NULL; /* 1: it serves */
}

static void on_thread_exit(const struct mg_context *context, int type, void *arg)
{
    struct thread_buffers *buffers = arg;

    (void)context;
    (void)type;
    if (buffers != NULL) {
        http_response_finish(&buffers->response);
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
