#include "common/http/tracing.h"

#include <stdio.h>

#define PATH_MAX_SHOWN 256
#define NAME_SIZE 160

struct trace *http_trace_begin(struct trace_queue *queue, const struct http_request *request)
{
    struct trace *trace;

    if (queue == NULL || !request->is_sampled) {
        return NULL;
    }
    trace = trace_create(request->trace_id, request->parent_id, request->start_us);
    trace_record_into(&trace->record);
    return trace;
}

/* The attributes' names are those of OpenTelemetry's semantic conventions for HTTP. */
void http_trace_end(struct trace_queue *queue, struct trace *trace,
                    const struct traffic_answer *answer)
{
    const struct http_request *request = answer->request;
    const char *route = answer->route == NULL ? NULL : answer->route->path;
    char name[NAME_SIZE];
    char path[PATH_MAX_SHOWN];

    if (trace == NULL) {
        return;
    }
    trace_record_into(NULL);
    snprintf(name, sizeof(name), "%s%s%s", request->method, route == NULL ? "" : " ",
             route == NULL ? "" : route);
    snprintf(path, sizeof(path), "%s", request->path);
    trace_add_text(trace, "http.request.method", request->method);
    trace_add_text(trace, "http.route", route);
    trace_add_text(trace, "url.path", path);
    trace_add_number(trace, "http.response.status_code", answer->status);
    trace_add_number(trace, "http.response.body.size", (int64_t)answer->body_bytes);
    trace_add_text(trace, "network.peer.address", answer->peer);
    trace_add_text(trace, "faststock.request_id", request->id);
    trace_finish(trace, name, answer->status >= 500);
    trace_queue_put(queue, trace);
}
