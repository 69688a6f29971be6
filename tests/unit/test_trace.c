/* Records of spans, and the queue of finished traces. */
#include "support.h"

#include "common/base/clock.h"
#include "common/base/trace.h"
#include "common/base/trace_queue.h"

#include <stdio.h>
#include <string.h>

#define TRACE_ID "0af7651916cd43dd8448eb211c80319c"
#define PARENT_ID "b7ad6b7169203331"

static const struct trace_kind outer_kind = {.name = "outer", .count_key = "things"};
static const struct trace_kind inner_kind = {.name = "inner"};

/* --- records ---------------------------------------------------------------------------------- */

static void test_nothing_is_recorded_without_a_record(void **state)
{
    int span = trace_begin(&outer_kind, NULL, NULL);

    (void)state;
    assert_int_equal(span, TRACE_NONE);
    assert_false(trace_is_recording());
    trace_set_count(span, 5);
    trace_set_detail(span, "x");
    trace_add(&inner_kind, 1, 2);
    trace_end(span, STATUS_OK);
}

static void test_spans_lie_within_each_other(void **state)
{
    struct trace_record record;
    int outer;
    int inner;

    (void)state;
    trace_record_init(&record);
    trace_record_into(&record);
    outer = trace_begin(&outer_kind, NULL, NULL);
    inner = trace_begin(&inner_kind, "detail", "store");
    trace_end(inner, STATUS_TIMEOUT);
    inner = trace_begin(&inner_kind, NULL, NULL);
    trace_end(inner, STATUS_OK);
    trace_set_count(outer, 7);
    trace_end(outer, STATUS_OK);
    trace_record_into(NULL);

    assert_int_equal(record.count, 3);
    assert_int_equal(record.open, TRACE_NONE);
    assert_int_equal(record.spans[0].parent, TRACE_NONE);
    assert_int_equal(record.spans[0].count, 7);
    assert_int_equal(record.spans[1].parent, 0);
    assert_int_equal(record.spans[1].status, STATUS_TIMEOUT);
    assert_string_equal(record.spans[1].detail, "detail");
    assert_int_equal(record.spans[2].parent, 0);
    assert_true(record.spans[0].end_us >= record.spans[2].end_us);
}

static void test_a_full_record_loses_spans(void **state)
{
    struct trace_record record;

    (void)state;
    trace_record_init(&record);
    trace_record_into(&record);
    for (int i = 0; i < TRACE_SPANS_MAX + 3; i++) {
        trace_begin(&inner_kind, NULL, NULL);
    }
    for (int i = TRACE_SPANS_MAX - 1; i >= 0; i--) {
        trace_end(i, STATUS_OK);
    }
    trace_record_into(NULL);
    assert_int_equal(record.count, TRACE_SPANS_MAX);
    assert_int_equal(record.lost, 3);
    assert_int_equal(record.open, TRACE_NONE);
}

static void test_a_copy_ends_what_is_open(void **state)
{
    struct trace_record record;
    struct trace_record copy;
    int outer;

    (void)state;
    trace_record_init(&record);
    trace_record_into(&record);
    outer = trace_begin(&outer_kind, NULL, NULL);
    trace_copy(&copy);
    assert_int_equal(record.spans[outer].end_us, 0);
    trace_end(outer, STATUS_OK);
    trace_record_into(NULL);
    assert_int_equal(copy.open, TRACE_NONE);
    assert_true(copy.spans[outer].end_us >= copy.spans[outer].start_us);
}

static void test_adopted_spans_keep_their_order(void **state)
{
    struct trace_record work;
    struct trace_record request;
    int span;

    (void)state;
    trace_record_init(&work);
    trace_record_into(&work);
    span = trace_begin(&outer_kind, NULL, NULL);
    trace_end(trace_begin(&inner_kind, NULL, NULL), STATUS_OK);
    trace_end(span, STATUS_OK);

    trace_record_init(&request);
    trace_record_into(&request);
    trace_end(trace_begin(&inner_kind, NULL, NULL), STATUS_OK);
    span = trace_begin(&outer_kind, NULL, NULL);
    trace_add(&inner_kind, 1, 2);
    trace_adopt(&work);
    trace_end(span, STATUS_OK);
    trace_record_into(NULL);

    assert_int_equal(request.count, 5);
    assert_int_equal(request.spans[1].parent, TRACE_NONE);
    assert_int_equal(request.spans[2].parent, 1);
    assert_int_equal(request.spans[3].parent, 1);
    assert_ptr_equal(request.spans[3].kind, &outer_kind);
    assert_int_equal(request.spans[4].parent, 3);
}

static void test_what_is_adopted_is_bounded(void **state)
{
    struct trace_record work;
    struct trace_record request;

    (void)state;
    trace_record_init(&work);
    trace_record_into(&work);
    for (int i = 0; i < 20; i++) {
        trace_begin(&inner_kind, NULL, NULL);
    }
    for (int i = 19; i >= 0; i--) {
        trace_end(i, STATUS_OK);
    }
    trace_record_init(&request);
    trace_record_into(&request);
    trace_adopt(&work);
    trace_adopt(&work);
    trace_record_into(NULL);
    assert_int_equal(request.count, TRACE_SPANS_MAX);
    assert_int_equal(request.lost, 40 - TRACE_SPANS_MAX);
}

/* --- the queue -------------------------------------------------------------------------------- */

static void count_hurry(void *arg)
{
    ++*(int *)arg;
}

static struct trace *trace_of(const char *name, size_t spans)
{
    struct trace *trace = trace_create(TRACE_ID, PARENT_ID, clock_mono_us());

    trace_record_into(&trace->record);
    for (size_t i = 0; i < spans; i++) {
        trace_add(&inner_kind, 1, 2);
    }
    trace_record_into(NULL);
    trace_add_text(trace, "key", "text");
    trace_add_text(trace, "none", NULL);
    trace_add_number(trace, "number", 5);
    trace_finish(trace, name, false);
    return trace;
}

static struct trace_queue *queue_of(size_t traces_max, int *hurries)
{
    return trace_queue_create(&(struct trace_queue_options){
        .traces_max = traces_max, .hurry_at = 2, .hurry = count_hurry, .arg = hurries});
}

static size_t destroy_list(struct trace *list)
{
    size_t count = 0;

    for (; list != NULL; count++) {
        struct trace *next = list->next;

        trace_destroy(list);
        list = next;
    }
    return count;
}

static void test_traces_leave_in_their_order_and_in_batches(void **state)
{
    int hurries = 0;
    struct trace_queue *queue = queue_of(10, &hurries);
    struct trace *taken;
    size_t spans;

    (void)state;
    for (int i = 0; i < 5; i++) {
        char name[] = {(char)('a' + i), '\0'};

        trace_queue_put(queue, trace_of(name, 3));
    }
    assert_int_equal(hurries, 1);
    assert_int_equal(trace_queue_waiting(queue), 5);
    taken = trace_queue_take(queue, 11, &spans); /* of 4 spans each, two */
    assert_int_equal(spans, 8);
    assert_string_equal(taken->name, "a");
    assert_string_equal(taken->next->name, "b");
    assert_int_equal(taken->attribute_count, 2);
    assert_int_equal(destroy_list(taken), 2);
    taken = trace_queue_take(queue, 1, &spans); /* one at least */
    assert_int_equal(spans, 4);
    assert_int_equal(destroy_list(taken), 1);
    taken = trace_queue_take(queue, 100, &spans);
    assert_int_equal(destroy_list(taken), 2);
    assert_null(trace_queue_take(queue, 100, &spans));
    trace_queue_put(queue, trace_of("f", 0));
    assert_int_equal(trace_queue_waiting(queue), 1);
    assert_int_equal(trace_queue_dropped(queue), 0);
    trace_queue_destroy(queue);
}

static void test_a_full_queue_drops_and_counts(void **state)
{
    int hurries = 0;
    struct trace_queue *queue = queue_of(3, &hurries);
    struct trace *lossy = trace_of("lossy", TRACE_SPANS_MAX + 2);
    size_t spans;

    (void)state;
    trace_queue_put(queue, lossy);
    assert_int_equal(trace_queue_dropped(queue), 2);
    for (int i = 0; i < 5; i++) {
        trace_queue_put(queue, trace_of("x", 1));
    }
    assert_int_equal(trace_queue_waiting(queue), 3);
    assert_int_equal(trace_queue_dropped(queue), 2 + 3 * 2); /* three traces of two spans */
    destroy_list(trace_queue_take(queue, 1000, &spans));
    trace_queue_put(queue, trace_of("y", 1));
    assert_int_equal(trace_queue_dropped(queue), 8);
    trace_queue_destroy(queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_recorded_without_a_record),
        cmocka_unit_test(test_spans_lie_within_each_other),
        cmocka_unit_test(test_a_full_record_loses_spans),
        cmocka_unit_test(test_a_copy_ends_what_is_open),
        cmocka_unit_test(test_adopted_spans_keep_their_order),
        cmocka_unit_test(test_what_is_adopted_is_bounded),
        cmocka_unit_test(test_traces_leave_in_their_order_and_in_batches),
        cmocka_unit_test(test_a_full_queue_drops_and_counts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
