/* Sends traces to an OpenTelemetry collector, by OTLP/HTTP in JSON.
 *
 * One thread takes them out of a bounded queue, each second or as soon as a batch waits, and POSTs
 * them. A collector that cannot be reached, or answers 429, 502, 503 or 504, is asked again: after
 * a pause that doubles from one second up to 30, or after what its Retry-After says; a batch is
 * given up after some five tries. Any other refusal drops the batch. Meanwhile the queue fills, and
 * what it has no room for is dropped: requests never wait for it, and the memory is bounded. */
#ifndef FASTSTOCK_COMMON_SERVICE_EXPORTER_H
#define FASTSTOCK_COMMON_SERVICE_EXPORTER_H

#include "common/base/trace_queue.h"

struct exporter;

/* `endpoint` is a URL that post_url_kind takes (OTLP_PATH is added), or "", which gives NULL. The
 * service's name is borrowed for the life of the process, the instance's is copied. */
struct exporter *exporter_create(const char *endpoint, const char *service, const char *instance);

/* Sends what waits, within EXPORTER_END_MS, and drops the rest. No trace may be on its way any
 * more. NULL is fine. */
#define EXPORTER_END_MS 1000
void exporter_destroy(struct exporter *exporter);

/* Where finished traces go; NULL when there is no exporter. */
struct trace_queue *exporter_queue(struct exporter *exporter);

#endif
