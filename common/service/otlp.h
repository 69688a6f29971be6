/* Traces as OTLP/HTTP takes them in JSON, and what its answers mean (the OpenTelemetry Protocol
 * specification, 1.x: ids are hexadecimal, 64-bit integers are texts, enums are numbers). Pure
 * functions, but for the ids of spans, which are made up here. */
#ifndef FASTSTOCK_COMMON_SERVICE_OTLP_H
#define FASTSTOCK_COMMON_SERVICE_OTLP_H

#include "common/base/strbuf.h"
#include "common/base/trace.h"

#include <stdint.h>

#define OTLP_PATH "/v1/traces"
#define OTLP_CONTENT_TYPE "application/json"

/* Which process the spans are of. The texts are borrowed. */
struct otlp_resource {
    const char *service; /* service.name */
    const char *version;
    const char *instance; /* service.instance.id */
};

/* Adds one ExportTraceServiceRequest with all traces of a list. */
void otlp_encode(const struct otlp_resource *resource, const struct trace *traces,
                 struct strbuf *out);

/* What is to be done after an answer with this status of HTTP (0: none came). */
enum otlp_verdict { OTLP_TAKEN, OTLP_AGAIN, OTLP_REFUSED };

enum otlp_verdict otlp_judge(int status);

/* How many spans an answer with a 200 says were not taken (its partialSuccess). */
int64_t otlp_rejected_spans(const char *body);

#endif
