#include "common/base/trace.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

static _Thread_local struct trace_record *current;

struct trace *trace_create(const char *trace_id, const char *parent_id, int64_t start_us)
{
    struct trace *trace = fs_calloc(1, sizeof(*trace));

    snprintf(trace->trace_id, sizeof(trace->trace_id), "%s", trace_id);
    snprintf(trace->parent_id, sizeof(trace->parent_id), "%s", parent_id);
    trace->start_us = start_us;
    trace_record_init(&trace->record);
    return trace;
}

void trace_destroy(struct trace *trace)
{
    if (trace == NULL) {
        return;
    }
    for (size_t i = 0; i < trace->attribute_count; i++) {
        free(trace->attributes[i].text);
    }
    free(trace->name);
    free(trace);
}

void trace_finish(struct trace *trace, const char *name, bool is_failed)
{
    trace->name = fs_strdup(name);
    trace->is_failed = is_failed;
    trace->end_us = clock_mono_us();
    trace->wall_us = clock_wall_us() - trace->end_us;
}

static struct trace_attribute *add_attribute(struct trace *trace, const char *key)
{
    struct trace_attribute *attribute = &trace->attributes[trace->attribute_count++];

    assert(trace->attribute_count <= TRACE_ATTRIBUTES_MAX);
    attribute->key = key;
    return attribute;
}

void trace_add_text(struct trace *trace, const char *key, const char *text)
{
    if (text != NULL && *text != '\0') {
        add_attribute(trace, key)->text = fs_strdup(text);
    }
}

void trace_add_number(struct trace *trace, const char *key, int64_t number)
{
    add_attribute(trace, key)->number = number;
}

/* --- this thread's record --------------------------------------------------------------------- */

void trace_record_init(struct trace_record *record)
{
    record->count = 0;
    record->lost = 0;
    record->open = TRACE_NONE;
}

void trace_record_into(struct trace_record *record)
{
    current = record;
}

bool trace_is_recording(void)
{
    return current != NULL;
}

/* TRACE_NONE when there is no room. */
static int add_span(struct trace_record *record, const struct trace_span *span)
{
    if (record->count == TRACE_SPANS_MAX) {
        record->lost++;
        return TRACE_NONE;
    }
    record->spans[record->count] = *span;
    return (int)record->count++;
}

int trace_begin(const struct trace_kind *kind, const char *detail, const char *store)
{
    int span;

    if (current == NULL) {
        return TRACE_NONE;
    }
    span = add_span(current, &(struct trace_span){.kind = kind,
                                                  .detail = detail,
                                                  .store = store,
                                                  .start_us = clock_mono_us(),
                                                  .parent = current->open});
    if (span != TRACE_NONE) {
        current->open = span;
    }
    return span;
}

void trace_set_detail(int span, const char *detail)
{
    if (span != TRACE_NONE) {
        current->spans[span].detail = detail;
    }
}

void trace_set_count(int span, int64_t count)
{
    if (span != TRACE_NONE) {
        current->spans[span].count = count;
    }
}

void trace_end(int span, enum status status)
{
    if (span != TRACE_NONE) {
        assert(current->open == span);
        current->spans[span].end_us = clock_mono_us();
        current->spans[span].status = status;
        current->open = current->spans[span].parent;
    }
}

void trace_add(const struct trace_kind *kind, int64_t start_us, int64_t end_us)
{
    if (current != NULL) {
        add_span(current, &(struct trace_span){.kind = kind,
                                               .start_us = start_us,
                                               .end_us = end_us,
                                               .parent = current->open});
    }
}

void trace_copy(struct trace_record *ret_record)
{
    *ret_record = *current;
    for (int span = current->open; span != TRACE_NONE; span = current->spans[span].parent) {
        ret_record->spans[span].end_us = clock_mono_us();
    }
    ret_record->open = TRACE_NONE;
}

void trace_adopt(const struct trace_record *record)
{
    int places[TRACE_SPANS_MAX];

    if (current == NULL) {
        return;
    }
    current->lost += record->lost;
    for (size_t i = 0; i < record->count; i++) {
        struct trace_span span = record->spans[i];

        /* a parent stands before its children; one that is lost leaves them to its own parent */
        span.parent = span.parent == TRACE_NONE || places[span.parent] == TRACE_NONE
                          ? current->open
                          : places[span.parent];
        places[i] = add_span(current, &span);
    }
}
