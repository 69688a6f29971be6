/* The traces of requests whose `traceparent` says that their caller records them.
 *
 * The request itself is a span, from the end of its head to the end of its answer; what it waits
 * for are spans within (common/base/trace.h). A watcher's answers are traced too: they wait for
 * nothing, so such a trace is that one span, and a sampled request is as fast as the others. */
#ifndef FASTSTOCK_COMMON_HTTP_TRACING_H
#define FASTSTOCK_COMMON_HTTP_TRACING_H

#include "common/base/trace_queue.h"
#include "common/http/traffic.h"

/* The trace of a request, into whose record this thread's spans go from now on; NULL when it is not
 * to be traced, also without a queue. */
struct trace *http_trace_begin(struct trace_queue *queue, const struct http_request *request);

/* The answer was sent: ends the trace (NULL is fine), and gives it to the queue. */
void http_trace_end(struct trace_queue *queue, struct trace *trace,
                    const struct traffic_answer *answer);

#endif
