/* Traces in OTLP's JSON, read back by jansson, and the answers of collectors. */
#include "support.h"

#include "common/service/otlp.h"

#include "common/base/alloc.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define TRACE_ID "0af7651916cd43dd8448eb211c80319c"
#define PARENT_ID "b7ad6b7169203331"

static const struct otlp_resource resource = {
    .service = "read-svc", .version = "1.2.3", .instance = "host:8080"};
static const struct trace_kind wait_kind = {.name = "wait", .count_key = "faststock.products"};
static const struct trace_kind call_kind = {
    .name = "redis", .system = "redis", .detail_key = "db.operation.name"};

/* A request of 5 ms that waited 3 ms of them for a call that timed out. */
static struct trace *slow_trace(const char *path, bool is_failed)
{
    struct trace *trace = trace_create(TRACE_ID, PARENT_ID, 1000000);
    int wait;
    int call;

    trace_record_into(&trace->record);
    wait = trace_begin(&wait_kind, NULL, NULL);
    call = trace_begin(&call_kind, "MGET", "redis-replica");
    trace_end(call, STATUS_TIMEOUT);
    trace_set_count(wait, 3);
    trace_end(wait, STATUS_OK);
    trace_record_into(NULL);
    trace_add_text(trace, "url.path", path);
    trace_add_number(trace, "http.response.status_code", 503);
    trace_finish(trace, "GET /x", is_failed);
    trace->end_us = 1005000;
    trace->wall_us = INT64_C(1700000000000000);
    for (size_t i = 0; i < 2; i++) {
        trace->record.spans[i].start_us = 1001000;
        trace->record.spans[i].end_us = 1004000;
    }
    return trace;
}

static json_t *encode(const struct trace *traces)
{
    struct strbuf text = STRBUF_EMPTY;
    json_error_t error;
    json_t *json;

    otlp_encode(&resource, traces, &text);
    json = json_loadb(text.text, text.len, JSON_REJECT_DUPLICATES, &error);
    check_row(json != NULL, "%s in %s", error.text, text.text);
    strbuf_finish(&text);
    return json;
}

static json_t *resource_spans(json_t *json)
{
    return json_array_get(json_object_get(json, "resourceSpans"), 0);
}

static json_t *spans_of(json_t *json)
{
    json_t *scope = json_array_get(json_object_get(resource_spans(json), "scopeSpans"), 0);

    return json_object_get(scope, "spans");
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text == NULL ? "" : text;
}

/* The text of an attribute's value, of an integer its digits. */
static const char *attribute(const json_t *owner, const char *key)
{
    const json_t *list = json_object_get(owner, "attributes");

    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);

        if (strcmp(text_of(one, "key"), key) == 0) {
            const json_t *value = json_object_get(one, "value");
            const char *text = text_of(value, "stringValue");

            return *text != '\0' ? text : text_of(value, "intValue");
        }
    }
    return "";
}

static void check_id(const json_t *span, const char *key, size_t len)
{
    const char *id = text_of(span, key);

    assert_int_equal(strlen(id), len);
    assert_int_equal(strspn(id, "0123456789abcdef"), len);
    assert_true(strspn(id, "0") < len);
}

static void test_a_request_and_its_spans(void **state)
{
    struct trace *trace = slow_trace("/x", true);
    json_t *json = encode(trace);
    const json_t *spans = spans_of(json);
    const json_t *request = json_array_get(spans, 0);
    const json_t *wait = json_array_get(spans, 1);
    const json_t *call = json_array_get(spans, 2);

    (void)state;
    assert_int_equal(json_array_size(spans), 3);
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(text_of(json_array_get(spans, i), "traceId"), TRACE_ID);
        check_id(json_array_get(spans, i), "spanId", 16);
    }
    assert_string_equal(text_of(request, "parentSpanId"), PARENT_ID);
    assert_string_equal(text_of(wait, "parentSpanId"), text_of(request, "spanId"));
    assert_string_equal(text_of(call, "parentSpanId"), text_of(wait, "spanId"));
    assert_string_equal(text_of(request, "name"), "GET /x");
    assert_string_equal(text_of(wait, "name"), "wait");
    assert_string_equal(text_of(call, "name"), "redis MGET");
    assert_int_equal(json_integer_value(json_object_get(request, "kind")), 2);
    assert_int_equal(json_integer_value(json_object_get(wait, "kind")), 1);
    assert_int_equal(json_integer_value(json_object_get(call, "kind")), 3);
    assert_int_equal(json_integer_value(json_object_get(request, "flags")), 0x301);
    json_decref(json);
    trace_destroy(trace);
}

static void test_times_are_nanoseconds_since_1970(void **state)
{
    struct trace *trace = slow_trace("/x", false);
    json_t *json = encode(trace);
    const json_t *request = json_array_get(spans_of(json), 0);
    const json_t *call = json_array_get(spans_of(json), 2);

    (void)state;
    assert_string_equal(text_of(request, "startTimeUnixNano"), "1700000001000000000");
    assert_string_equal(text_of(request, "endTimeUnixNano"), "1700000001005000000");
    assert_string_equal(text_of(call, "startTimeUnixNano"), "1700000001001000000");
    assert_string_equal(text_of(call, "endTimeUnixNano"), "1700000001004000000");
    json_decref(json);
    trace_destroy(trace);
}

static void test_attributes_and_failures(void **state)
{
    struct trace *trace = slow_trace("/x", true);
    json_t *json = encode(trace);
    const json_t *request = json_array_get(spans_of(json), 0);
    const json_t *wait = json_array_get(spans_of(json), 1);
    const json_t *call = json_array_get(spans_of(json), 2);
    const json_t *process = json_object_get(resource_spans(json), "resource");

    (void)state;
    assert_string_equal(attribute(process, "service.name"), "read-svc");
    assert_string_equal(attribute(process, "service.version"), "1.2.3");
    assert_string_equal(attribute(process, "service.instance.id"), "host:8080");
    assert_string_equal(attribute(request, "http.response.status_code"), "503");
    assert_string_equal(attribute(wait, "faststock.products"), "3");
    assert_string_equal(attribute(call, "db.system.name"), "redis");
    assert_string_equal(attribute(call, "db.operation.name"), "MGET");
    assert_string_equal(attribute(call, "faststock.store"), "redis-replica");
    assert_string_equal(attribute(call, "error.type"), "timeout");
    assert_non_null(json_object_get(request, "status"));
    assert_non_null(json_object_get(call, "status"));
    assert_null(json_object_get(wait, "status"));
    json_decref(json);
    trace_destroy(trace);
}

static void test_texts_of_clients_are_escaped(void **state)
{
    struct trace *trace = slow_trace("/\"\\\x01\xff", false);
    json_t *json = encode(trace);

    (void)state;
    assert_string_equal(attribute(json_array_get(spans_of(json), 0), "url.path"),
                        "/\"\\\x01\xef\xbf\xbd");
    json_decref(json);
    trace_destroy(trace);
}

static void test_several_traces_and_lost_spans(void **state)
{
    struct trace *first = slow_trace("/1", false);
    struct trace *second = slow_trace("/2", false);
    json_t *json;

    (void)state;
    first->next = second;
    second->record.lost = 4;
    json = encode(first);
    assert_int_equal(json_array_size(spans_of(json)), 6);
    assert_string_equal(attribute(json_array_get(spans_of(json), 0), "faststock.spans_lost"), "");
    assert_string_equal(attribute(json_array_get(spans_of(json), 3), "faststock.spans_lost"), "4");
    assert_string_not_equal(text_of(json_array_get(spans_of(json), 0), "spanId"),
                            text_of(json_array_get(spans_of(json), 3), "spanId"));
    json_decref(json);
    trace_destroy(first);
    trace_destroy(second);
}

static void test_which_answers_are_tried_again(void **state)
{
    static const struct {
        int status;
        enum otlp_verdict verdict;
    } rows[] = {{0, OTLP_AGAIN},     {429, OTLP_AGAIN},   {502, OTLP_AGAIN},   {503, OTLP_AGAIN},
                {504, OTLP_AGAIN},   {200, OTLP_TAKEN},   {202, OTLP_TAKEN},   {400, OTLP_REFUSED},
                {401, OTLP_REFUSED}, {404, OTLP_REFUSED}, {413, OTLP_REFUSED}, {500, OTLP_REFUSED},
                {501, OTLP_REFUSED}, {301, OTLP_REFUSED}};

    (void)state;
    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        check_row(otlp_judge(rows[i].status) == rows[i].verdict, "%d", rows[i].status);
    }
}

static void test_partial_success(void **state)
{
    (void)state;
    assert_int_equal(otlp_rejected_spans(""), 0);
    assert_int_equal(otlp_rejected_spans("{}"), 0);
    assert_int_equal(otlp_rejected_spans("{\"partialSuccess\":{}}"), 0);
    assert_int_equal(otlp_rejected_spans("{\"partialSuccess\":{\"rejectedSpans\":\"12\"}}"), 12);
    assert_int_equal(otlp_rejected_spans("{\"partialSuccess\": {\"rejectedSpans\" : 3}}"), 3);
    assert_int_equal(otlp_rejected_spans("{\"partialSuccess\":{\"rejectedSpans\":\"-1\"}}"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_request_and_its_spans),
        cmocka_unit_test(test_times_are_nanoseconds_since_1970),
        cmocka_unit_test(test_attributes_and_failures),
        cmocka_unit_test(test_texts_of_clients_are_escaped),
        cmocka_unit_test(test_several_traces_and_lost_spans),
        cmocka_unit_test(test_which_answers_are_tried_again),
        cmocka_unit_test(test_partial_success),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
