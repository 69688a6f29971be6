#include "common/service/service.h"

#include "common/base/clock.h"
#include "common/base/cpus.h"
#include "common/base/lifecycle.h"
#include "common/base/log.h"
#include "common/base/version.h"
#include "common/products/api.h"
#include "common/service/exporter.h"
#include "common/service/ops.h"

#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define OPS_THREADS 16
#define API_ROUTES_MAX 64

const char *const service_log_levels[] = {"debug", "info", "warn", "error", NULL};

static void print_and_finish(struct strbuf *text, FILE *to)
{
    fputs(strbuf_text(text), to);
    strbuf_finish(text);
}

static void print_help(const char *name, const struct config_option *options)
{
    struct strbuf text = STRBUF_EMPTY;

    strbuf_addf(
        &text,
        "usage: %s [--config FILE] [--print-config | --check-config]\n"
        "       %s --help, -h | --version | --print-routes\n\n"
        "Settings come from the file (YAML, 'section:' and 'key: value' lines), then from the "
        "environment:\n\n",
        name, name);
    config_help(options, &text);
    print_and_finish(&text, stdout);
}

/* "METHOD PATH SERVICE" lines: the API of the whole system. */
static void print_routes(void)
{
    for (const struct api_route *route = api_routes; route->method != NULL; route++) {
        printf("%s %s %s\n", route->method, route->path, route->service);
    }
}

static int bad_usage(const char *name, const char *what, const char *argument)
{
    fprintf(stderr, "%s: %s %s; see %s --help\n", name, what, argument, name);
    return 2;
}

struct command_line {
    const char *path;
    bool print;
    bool check;
};

/* -1, or the exit status. */
static int read_command_line(const char *name, int argc, char **argv,
                             const struct config_option *options, struct command_line *ret)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            print_help(name, options);
            return 0;
        }
        if (strcmp(argv[i], "--version") == 0) {
            printf("%s %s (%s)\n", name, version_number(), version_commit());
            return 0;
        }
        if (strcmp(argv[i], "--print-routes") == 0) {
            print_routes();
            return 0;
        }
        if (strcmp(argv[i], "--config") == 0 && i + 1 < argc) {
            ret->path = argv[++i];
        } else if (strncmp(argv[i], "--config=", 9) == 0 && argv[i][9] != '\0') {
            ret->path = argv[i] + 9;
        } else if (strcmp(argv[i], "--print-config") == 0) {
            ret->print = true;
        } else if (strcmp(argv[i], "--check-config") == 0) {
            ret->check = true;
        } else {
            bool no_file = strncmp(argv[i], "--config", 8) == 0 &&
                           (argv[i][8] == '\0' || strcmp(argv[i] + 8, "=") == 0);

            return bad_usage(name, no_file ? "a file is expected after" : "unknown argument",
                             argv[i]);
        }
    }
    return -1;
}

int service_configure(const char *name, int argc, char **argv, const struct config_option *options,
                      void *settings)
{
    struct command_line line = {NULL, false, false};
    struct strbuf text = STRBUF_EMPTY;
    int status = read_command_line(name, argc, argv, options, &line);

    if (status >= 0) {
        return status;
    }
    if (!config_load(options, line.path, environ, settings, &text) ||
        (!line.print && !config_check_required(options, settings, &text))) {
        print_and_finish(&text, stderr);
        config_free(options, settings);
        return 2;
    }
    if (line.print) {
        config_print(options, settings, &text);
        print_and_finish(&text, stdout);
    }
    if (line.print || line.check) {
        config_free(options, settings);
        return 0;
    }
    return -1;
}

static struct http_server *start_ops(const struct service_settings *settings)
{
    return http_server_start(
        &(struct http_server_options){.host = settings->ops_host,
                                      .port = settings->ops_port,
                                      .threads = OPS_THREADS,
                                      .request_timeout_ms = settings->http_request_timeout_ms,
                                      .read_timeout_ms = settings->http_read_timeout_ms,
                                      .keep_alive_timeout_ms = settings->http_read_timeout_ms,
                                      .body_bytes_max = settings->http_body_bytes_max,
                                      .routes = ops_routes,
                                      .log_sample = settings->log_sample,
                                      .log_slow_ms = settings->log_slow_ms});
}

/* The table of the API in the form that the router takes: it knows nothing of products. */
static const struct http_known_route *known_routes(void)
{
    static struct http_known_route known[API_ROUTES_MAX];
    size_t count = 0;

    for (; api_routes[count].method != NULL; count++) {
        assert(count + 1 < API_ROUTES_MAX);
        known[count] = (struct http_known_route){api_routes[count].method, api_routes[count].path,
                                                 api_routes[count].service};
    }
    return known;
}

/* More than there are CPUs would take them from each other in the middle of their answers. */
static int64_t watchers(const struct service_settings *settings)
{
    int64_t cpus = cpus_usable();

    if (settings->http_watchers >= 0) {
        return settings->http_watchers;
    }
    return cpus < SERVICE_WATCHERS_MAX ? cpus : SERVICE_WATCHERS_MAX;
}

static struct http_server *start_public(const struct service_settings *settings,
                                        const struct http_route *routes, void *context,
                                        struct trace_queue *traces)
{
    return http_server_start(
        &(struct http_server_options){.host = settings->http_host,
                                      .port = settings->http_port,
                                      .threads = settings->http_threads,
                                      .watchers = watchers(settings),
                                      .request_timeout_ms = settings->http_request_timeout_ms,
                                      .read_timeout_ms = settings->http_read_timeout_ms,
                                      .keep_alive_timeout_ms = settings->http_keep_alive_timeout_ms,
                                      .body_bytes_max = settings->http_body_bytes_max,
                                      .routes = routes,
                                      .known_routes = known_routes(),
                                      .context = context,
                                      .is_public = true,
                                      .log_sample = settings->log_sample,
                                      .log_slow_ms = settings->log_slow_ms,
                                      .traces = traces});
}

/* "HOST:PORT". The name of the host is that of the pod in Kubernetes, and the port tells instances
 * on one machine apart. It goes into a header, so only letters that suit there are left in it. */
static void name_instance(const struct service_settings *settings, char name[HTTP_INSTANCE_SIZE])
{
    char host[HOST_NAME_MAX + 1] = "";

    gethostname(host, sizeof(host) - 1);
    for (char *p = host; *p != '\0'; p++) {
        if (!isalnum((unsigned char)*p) && strchr("._-", *p) == NULL) {
            *p = '-';
        }
    }
    snprintf(name, HTTP_INSTANCE_SIZE, "%s:%" PRId64, host, settings->http_port);
    http_set_instance(name);
}

static void drain(const struct service_settings *settings, struct http_server *server)
{
    log_info(log_msg("draining"), log_int("drain_ms", settings->http_drain_ms));
    lifecycle_start_drain();
    lifecycle_sleep_ms(settings->http_drain_ms);
    http_server_stop_listening(server);
    if (!http_server_wait_idle(server, clock_after_ms(settings->http_request_timeout_ms))) {
        log_warn(log_msg("some requests are cut off"));
    }
}

int service_run(const char *name, const struct service_settings *settings,
                const struct http_route *routes, void *context)
{
    char instance[HTTP_INSTANCE_SIZE];
    struct exporter *exporter;
    struct http_server *server;
    struct http_server *ops;
    int status = 1;

    name_instance(settings, instance);
    exporter = exporter_create(settings->otel_endpoint, name, instance);
    server = start_public(settings, routes, context, exporter_queue(exporter));
    ops = server == NULL ? NULL : start_ops(settings);
    if (ops != NULL) {
        log_info(log_msg("serving"), log_str("version", version_number()),
                 log_str("commit", version_commit()), log_int("port", settings->http_port),
                 log_int("ops_port", settings->ops_port), log_int("pid", (int64_t)getpid()));
        lifecycle_wait_for_signal();
        drain(settings, server);
        status = 0;
    }
    http_server_destroy(ops);
    http_server_destroy(server);
    exporter_destroy(exporter);
    return status;
}
