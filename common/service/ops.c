#include "common/service/ops.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/json.h"
#include "common/base/lifecycle.h"
#include "common/base/metrics.h"
#include "common/base/version.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct metric_family build_info = METRIC_GAUGE(
    "faststock_build_info", "1; the labels tell what runs.", "service", "version", "commit");
static struct metric_family cpu_seconds = METRIC_COUNTER(
    "process_cpu_seconds_total", "User and system CPU time spent in seconds.", METRIC_NO_LABELS);
static struct metric_family resident_bytes = METRIC_GAUGE(
    "process_resident_memory_bytes", "Resident memory size in bytes.", METRIC_NO_LABELS);
static struct metric_family virtual_bytes =
    METRIC_GAUGE("process_virtual_memory_bytes", "Virtual memory size in bytes.", METRIC_NO_LABELS);
static struct metric_family open_fds =
    METRIC_GAUGE("process_open_fds", "Number of open file descriptors.", METRIC_NO_LABELS);
static struct metric_family thread_count =
    METRIC_GAUGE("process_threads", "Number of threads.", METRIC_NO_LABELS);
static struct metric_family start_seconds =
    METRIC_GAUGE("process_start_time_seconds",
                 "Start time of the process since the epoch in seconds.", METRIC_NO_LABELS);

static const struct ops_options *ops;
static double started_at;

static int count_entries(const char *path)
{
    DIR *dir = opendir(path);
    int count = 0;

    if (dir == NULL) {
        return 0;
    }
    while (readdir(dir) != NULL) {
        count++;
    }
    closedir(dir);
    return count - 2; /* . and .. */
}

/* /proc/self/statm: pages of the whole address space, then resident ones (proc(5)). */
static void update_memory_metrics(void)
{
    double page_bytes = (double)sysconf(_SC_PAGESIZE);
    FILE *statm = fopen("/proc/self/statm", "re");
    char line[128];
    char *rest;

    if (statm == NULL) {
        return;
    }
    if (fgets(line, sizeof(line), statm) != NULL) {
        metric_set(metric_get(&virtual_bytes), (double)strtoul(line, &rest, 10) * page_bytes);
        metric_set(metric_get(&resident_bytes), (double)strtoul(rest, NULL, 10) * page_bytes);
    }
    fclose(statm);
}

static void update_process_metrics(void *arg)
{
    struct timespec cpu;

    (void)arg;
    update_memory_metrics();
    if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu) == 0) {
        metric_set(metric_get(&cpu_seconds), (double)cpu.tv_sec + (double)cpu.tv_nsec / 1e9);
    }
    metric_set(metric_get(&open_fds),
               count_entries("/proc/self/fd") - 1); /* less the one that counts */
    metric_set(metric_get(&thread_count), count_entries("/proc/self/task"));
    metric_set(metric_get(&start_seconds), started_at);
}

void ops_init(const struct ops_options *options)
{
    ops = options;
    started_at = (double)clock_wall_us() / (double)CLOCK_US_PER_S;
    metric_set(metric_get(&build_info, options->service, version_number(), version_commit()), 1);
    metrics_add_hook(update_process_metrics, NULL);
}

static const char *state_name(enum breaker_state state)
{
    static const char *const names[] = {
        [BREAKER_CLOSED] = "up", [BREAKER_HALF_OPEN] = "returning", [BREAKER_OPEN] = "down"};

    return names[state];
}

/* Adds `,"name":"text"` unless the text is empty. */
static void add_text(struct strbuf *body, const char *name, const char *text)
{
    if (text[0] != '\0') {
        strbuf_addf(body, ",\"%s\":", name);
        json_add_string(body, text);
    }
}

static void add_dependency(struct strbuf *body, const struct ops_dependency *d)
{
    char note[OPS_NOTE_SIZE] = "";

    if (d->note != NULL) {
        d->note(d->arg, note);
    }
    strbuf_addf(body, "\"%s\":{\"state\":\"%s\"", d->name, state_name(d->state(d->arg)));
    add_text(body, "note", note);
    strbuf_addc(body, '}');
}

static void answer_probe(struct http_response *response, bool good, const char *bad_word,
                         const char *why)
{
    struct strbuf *body = http_start_json(response, good ? 200 : 503);

    http_add_header(response, "Cache-Control", "no-store");
    strbuf_addf(body, "{\"status\":\"%s\"", good ? "ok" : bad_word);
    add_text(body, "reason", good ? "" : why);
    strbuf_adds(body, ",\"dependencies\":{");
    for (const struct ops_dependency *d = ops->dependencies; d->name != NULL; d++) {
        strbuf_adds(body, d == ops->dependencies ? "" : ",");
        add_dependency(body, d);
    }
    strbuf_adds(body, "}}");
}

/* /livez and /startupz: an answer proves that the process serves. A store that is away must not get
 * it restarted, because a restart does not bring the store back. */
static void handle_alive(const struct http_request *request, struct http_response *response,
                         void *context)
{
    (void)request;
    (void)context;
    answer_probe(response, true, "", "");
}

static void handle_readyz(const struct http_request *request, struct http_response *response,
                          void *context)
{
    bool draining = lifecycle_is_draining();
    char why[OPS_NOTE_SIZE] = "";

    (void)request;
    (void)context;
    answer_probe(response, !draining && ops->ready(ops->arg, why),
                 draining ? "draining" : "unavailable", why);
}

static void handle_version(const struct http_request *request, struct http_response *response,
                           void *context)
{
    (void)request;
    (void)context;
    strbuf_addf(http_start_json(response, 200),
                "{\"service\":\"%s\",\"version\":\"%s\",\"commit\":\"%s\"}", ops->service,
                version_number(), version_commit());
}

void ops_health(const struct http_request *request, struct http_response *response, void *context)
{
    char why[OPS_NOTE_SIZE];
    bool good = !lifecycle_is_draining() && ops->ready(ops->arg, why);

    (void)request;
    (void)context;
    strbuf_addf(http_start_json(response, good ? 200 : 503),
                "{\"status\":\"%s\",\"port\":%lld,\"pid\":%ld}", good ? "ok" : "unavailable",
                (long long)ops->http_port, (long)getpid());
    http_add_header(response, "Cache-Control", "no-store");
}

void ops_metrics(const struct http_request *request, struct http_response *response, void *context)
{
    (void)request;
    (void)context;
    metrics_render(http_start_json(response, 200));
    response->content_type = "text/plain; version=0.0.4; charset=utf-8";
}

const struct http_route ops_routes[] = {
    {"GET", "/livez", handle_alive, NULL, false},
    {"GET", "/readyz", handle_readyz, NULL, false},
    {"GET", "/startupz", handle_alive, NULL, false},
    {"GET", "/version", handle_version, NULL, false},
    {"GET", "/health", ops_health, NULL, false},
    {"GET", "/metrics", ops_metrics, NULL, false},
    {NULL, NULL, NULL, NULL, false},
};
