#include "common/http/quick.h"

#include "common/base/clock.h"
#include "common/http/head.h"
#include "common/http/tracing.h"

void quick_finish(struct quick *quick)
{
    http_response_finish(&quick->response);
    strbuf_finish(&quick->out);
}

bool quick_is_of_use(const struct http_route *routes)
{
    while (routes->method != NULL && routes->quick == NULL) {
        routes++;
    }
    return routes->method != NULL;
}

size_t quick_answer(struct quick *quick, char *bytes, size_t len)
{
    const struct quick_options *options = quick->options;
    struct http_request *request = &quick->request;
    struct http_response *response = &quick->response;
    size_t taken = head_read_plain_get(request, bytes, len);

    if (taken == 0) {
        return 0;
    }
    quick->route = http_match_route(options->routes, request);
    if (quick->route == NULL || quick->route->quick == NULL) {
        return 0;
    }
    http_identify(request);
    request->start_us = clock_mono_us();
    request->deadline_us = request->start_us + options->request_timeout_ms * CLOCK_US_PER_MS;
    http_response_reset(response);
    if (!quick->route->quick(request, response, options->context) || response->close) {
        return 0;
    }
    quick->body_bytes = http_write_answer(request, response, &quick->out);
    return taken;
}

void quick_note(const struct quick *quick, const char *peer, bool is_sent)
{
    const struct quick_options *options = quick->options;
    const struct traffic_answer answer = {
        .request = &quick->request,
        .route = quick->route,
        .peer = peer,
        .status = quick->response.status,
        .body_bytes = is_sent ? quick->body_bytes : 0,
        .took_us = clock_mono_us() - quick->request.start_us,
    };

    if (options->traffic != NULL) {
        traffic_note(options->traffic, &answer);
    }
    http_trace_end(options->traces, http_trace_begin(options->traces, &quick->request), &answer);
}
