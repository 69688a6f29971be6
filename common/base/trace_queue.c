#include "common/base/trace_queue.h"

#include "common/base/alloc.h"

#include <pthread.h>
#include <stdlib.h>

struct trace_queue {
    struct trace_queue_options options;
    pthread_mutex_t lock; /* guards the rest */
    struct trace *first;
    struct trace **last;
    size_t count;
    uint64_t dropped;
};

struct trace_queue *trace_queue_create(const struct trace_queue_options *options)
{
    struct trace_queue *queue = fs_calloc(1, sizeof(*queue));

    queue->options = *options;
    queue->last = &queue->first;
    pthread_mutex_init(&queue->lock, NULL);
    return queue;
}

void trace_queue_destroy(struct trace_queue *queue)
{
    if (queue == NULL) {
        return;
    }
    while (queue->first != NULL) {
        struct trace *trace = queue->first;

        queue->first = trace->next;
        trace_destroy(trace);
    }
    pthread_mutex_destroy(&queue->lock);
    free(queue);
}

static size_t spans_of(const struct trace *trace)
{
    return 1 + trace->record.count;
}

void trace_queue_put(struct trace_queue *queue, struct trace *trace)
{
    bool is_full;
    bool is_due;

    trace->next = NULL;
    pthread_mutex_lock(&queue->lock);
    is_full = queue->count == queue->options.traces_max;
    queue->dropped += trace->record.lost + (is_full ? spans_of(trace) : 0);
    if (!is_full) {
        *queue->last = trace;
        queue->last = &trace->next;
        queue->count++;
    }
    is_due = !is_full && queue->count == queue->options.hurry_at;
    pthread_mutex_unlock(&queue->lock);
    if (is_full) {
        trace_destroy(trace);
    }
    if (is_due) {
        queue->options.hurry(queue->options.arg);
    }
}

struct trace *trace_queue_take(struct trace_queue *queue, size_t spans_max, size_t *ret_spans)
{
    struct trace *taken;
    struct trace **end = &taken;
    size_t spans = 0;

    pthread_mutex_lock(&queue->lock);
    taken = queue->first;
    while (*end != NULL && (spans == 0 || spans + spans_of(*end) <= spans_max)) {
        spans += spans_of(*end);
        queue->count--;
        end = &(*end)->next;
    }
    queue->first = *end;
    *end = NULL;
    if (queue->first == NULL) {
        queue->last = &queue->first;
    }
    pthread_mutex_unlock(&queue->lock);
    *ret_spans = spans;
    return taken;
}

uint64_t trace_queue_dropped(struct trace_queue *queue)
{
    uint64_t dropped;

    pthread_mutex_lock(&queue->lock);
    dropped = queue->dropped;
    pthread_mutex_unlock(&queue->lock);
    return dropped;
}

size_t trace_queue_waiting(struct trace_queue *queue)
{
    size_t count;

    pthread_mutex_lock(&queue->lock);
    count = queue->count;
    pthread_mutex_unlock(&queue->lock);
    return count;
}
