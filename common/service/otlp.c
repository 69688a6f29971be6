#include "common/service/otlp.h"

#include "common/base/json.h"
#include "common/base/parse.h"
#include "common/base/random.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

enum { KIND_INTERNAL = 1, KIND_SERVER = 2, KIND_CLIENT = 3 }; /* of SpanKind */

#define STATUS_CODE_ERROR "2"

/* Of Span.flags: sampled; and it is known whether the parent is of another process, and it is. */
#define FLAGS_OF_REQUEST 0x301
#define FLAGS_WITHIN 0x101

/* --- attributes ------------------------------------------------------------------------------- */

static void begin_attribute(struct strbuf *out, const char *key)
{
    if (out->text[out->len - 1] != '[') {
        strbuf_addc(out, ',');
    }
    strbuf_addf(out, "{\"key\":\"%s\",\"value\":{", key);
}

static void add_text(struct strbuf *out, const char *key, const char *text)
{
    if (text != NULL) {
        begin_attribute(out, key);
        strbuf_adds(out, "\"stringValue\":");
        json_add_string(out, text);
        strbuf_adds(out, "}}");
    }
}

static void add_number(struct strbuf *out, const char *key, int64_t number)
{
    begin_attribute(out, key);
    strbuf_addf(out, "\"intValue\":\"%" PRId64 "\"}}", number);
}

/* --- spans ------------------------------------------------------------------------------------ */

struct span_ids {
    char request[RANDOM_HEX_SIZE];
    char spans[TRACE_SPANS_MAX][RANDOM_HEX_SIZE];
};

/* All zeros is no id. */
static void make_id(char id[RANDOM_HEX_SIZE])
{
    do {
        random_hex(id);
    } while (strspn(id, "0") == RANDOM_HEX_SIZE - 1);
}

/* What all spans begin with; its name and attributes follow. */
static void begin_span(struct strbuf *out, const struct trace *trace, const char *id,
                       const char *parent_id, int kind, unsigned flags)
{
    strbuf_addf(out,
                "{\"traceId\":\"%s\",\"spanId\":\"%s\",\"parentSpanId\":\"%s\",\"flags\":%u,"
                "\"kind\":%d",
                trace->trace_id, id, parent_id, flags, kind);
}

static void add_times(struct strbuf *out, const struct trace *trace, int64_t start_us,
                      int64_t end_us)
{
    strbuf_addf(out,
                ",\"startTimeUnixNano\":\"%" PRId64 "000\",\"endTimeUnixNano\":\"%" PRId64 "000\"",
                start_us + trace->wall_us, end_us + trace->wall_us);
}

static void add_request(struct strbuf *out, const struct trace *trace, const struct span_ids *ids)
{
    begin_span(out, trace, ids->request, trace->parent_id, KIND_SERVER, FLAGS_OF_REQUEST);
    strbuf_adds(out, ",\"name\":");
    json_add_string(out, trace->name);
    add_times(out, trace, trace->start_us, trace->end_us);
    strbuf_adds(out, ",\"attributes\":[");
    for (size_t i = 0; i < trace->attribute_count; i++) {
        const struct trace_attribute *attribute = &trace->attributes[i];

        if (attribute->text != NULL) {
            add_text(out, attribute->key, attribute->text);
        } else {
            add_number(out, attribute->key, attribute->number);
        }
    }
    if (trace->record.lost > 0) {
        add_number(out, "faststock.spans_lost", (int64_t)trace->record.lost);
    }
    strbuf_adds(out, trace->is_failed ? "],\"status\":{\"code\":" STATUS_CODE_ERROR "}}" : "]}");
}

static const char *status_name(enum status status)
{
    switch (status) {
    case STATUS_OK:
        return NULL;
    case STATUS_TIMEOUT:
        return "timeout";
    case STATUS_UNAVAILABLE:
        return "unavailable";
    case STATUS_BROKEN:
        return "broken";
    case STATUS_FAILED:
        break;
    }
    return "failed";
}

/* A call to a store is named with what it does, "redis MGET". */
static void add_name(struct strbuf *out, const struct trace_span *span)
{
    strbuf_addf(out, ",\"name\":\"%s", span->kind->name);
    if (span->kind->system != NULL && span->detail != NULL) {
        strbuf_addf(out, " %s", span->detail);
    }
    strbuf_addc(out, '"');
}

static void add_span(struct strbuf *out, const struct trace *trace, const struct span_ids *ids,
                     size_t place)
{
    const struct trace_span *span = &trace->record.spans[place];
    const char *failure = status_name(span->status);

    begin_span(out, trace, ids->spans[place],
               span->parent == TRACE_NONE ? ids->request : ids->spans[span->parent],
               span->kind->system == NULL ? KIND_INTERNAL : KIND_CLIENT, FLAGS_WITHIN);
    add_name(out, span);
    add_times(out, trace, span->start_us, span->end_us);
    strbuf_adds(out, ",\"attributes\":[");
    add_text(out, "db.system.name", span->kind->system);
    add_text(out, "faststock.store", span->store);
    if (span->kind->detail_key != NULL) {
        add_text(out, span->kind->detail_key, span->detail);
    }
    if (span->count > 0 && span->kind->count_key != NULL) {
        add_number(out, span->kind->count_key, span->count);
    }
    add_text(out, "error.type", failure);
    strbuf_adds(out, failure == NULL ? "]}" : "],\"status\":{\"code\":" STATUS_CODE_ERROR "}}");
}

static void add_trace(struct strbuf *out, const struct trace *trace)
{
    struct span_ids ids;

    make_id(ids.request);
    add_request(out, trace, &ids);
    for (size_t i = 0; i < trace->record.count; i++) {
        make_id(ids.spans[i]);
        strbuf_addc(out, ',');
        add_span(out, trace, &ids, i);
    }
}

void otlp_encode(const struct otlp_resource *resource, const struct trace *traces,
                 struct strbuf *out)
{
    strbuf_adds(out, "{\"resourceSpans\":[{\"resource\":{\"attributes\":[");
    add_text(out, "service.name", resource->service);
    add_text(out, "service.namespace", "faststock");
    add_text(out, "service.version", resource->version);
    add_text(out, "service.instance.id", resource->instance);
    strbuf_adds(out, "]},\"scopeSpans\":[{\"scope\":{\"name\":\"faststock\"},\"spans\":[");
    for (const struct trace *trace = traces; trace != NULL; trace = trace->next) {
        if (trace != traces) {
            strbuf_addc(out, ',');
        }
        add_trace(out, trace);
    }
    strbuf_adds(out, "]}]}]}");
}

/* --- answers ---------------------------------------------------------------------------------- */

/* Those that the specification calls retryable, "OTLP/HTTP Response, Failures"; and a collector
 * that cannot be reached is to be tried again. */
enum otlp_verdict otlp_judge(int status)
{
    switch (status) {
    case 0:
    case 429:
    case 502:
    case 503:
    case 504:
        return OTLP_AGAIN;
    default:
        return status >= 200 && status < 300 ? OTLP_TAKEN : OTLP_REFUSED;
    }
}

int64_t otlp_rejected_spans(const char *body)
{
    static const char key[] = "\"rejectedSpans\"";
    const char *at = strstr(body, key);
    int64_t count = 0;

    if (at != NULL) {
        at += strlen(key);
        at += strspn(at, " \t\r\n:\"");
        parse_int(at, strspn(at, "0123456789"), 0, INT64_MAX, &count);
    }
    return count;
}
