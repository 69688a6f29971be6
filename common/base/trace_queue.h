/* Traces on their way out: a bounded queue. A request never waits for what takes them out: when
 * the queue is full its trace is dropped, and counted. Thread-safe. */
#ifndef FASTSTOCK_COMMON_BASE_TRACE_QUEUE_H
#define FASTSTOCK_COMMON_BASE_TRACE_QUEUE_H

#include "common/base/trace.h"

#include <stddef.h>
#include <stdint.h>

struct trace_queue;

struct trace_queue_options {
    size_t traces_max;
    size_t hurry_at;          /* when so many wait, `hurry` is called: once, until some leave */
    void (*hurry)(void *arg); /* must not wait */
    void *arg;
};

struct trace_queue *trace_queue_create(const struct trace_queue_options *options);
void trace_queue_destroy(struct trace_queue *queue); /* NULL is fine; frees what waits */

/* Takes over a trace that is finished. */
void trace_queue_put(struct trace_queue *queue, struct trace *trace);

/* Takes the oldest ones out, a list that is the caller's, of at most `spans_max` spans (the
 * requests themselves are spans too), but one trace at least; NULL when none waits. */
struct trace *trace_queue_take(struct trace_queue *queue, size_t spans_max, size_t *ret_spans);

/* How many spans were dropped so far: of traces for which there was no room, and of records. */
uint64_t trace_queue_dropped(struct trace_queue *queue);
size_t trace_queue_waiting(struct trace_queue *queue); /* traces */

#endif
