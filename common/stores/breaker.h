/* A circuit breaker: stops asking a store that does not answer, so that nobody waits for it.
 *
 *   CLOSED --`failures` failures in a row, or a trip--> OPEN --an answer--> HALF_OPEN --probation
 * over--> CLOSED
 *                                                        ^-----------any timeout-----------'
 *
 * Only a probe (the pool's maintainer, see pool.h) asks the store while the breaker is not closed;
 * a call that was under way when it opened may be answered, too. The probation lets the writers
 * take Redis back before the readers do: what is written meanwhile is in Redis before a reader
 * looks there. Not thread-safe; its owner holds a lock. Times are of the monotonic clock, in
 * microseconds. */
#ifndef FASTSTOCK_COMMON_STORES_BREAKER_H
#define FASTSTOCK_COMMON_STORES_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

enum breaker_state { BREAKER_CLOSED = 0, BREAKER_HALF_OPEN = 1, BREAKER_OPEN = 2 };

struct breaker {
    enum breaker_state state;
    int failures;     /* in a row */
    int failures_max; /* that many open it */
    int64_t probation_us;
    int64_t half_open_since_us;
    uint64_t opened; /* how often it opened */
};

void breaker_init(struct breaker *breaker, int failures_max, int64_t probation_us);

/* May the store be asked? Also ends a probation that is over: until somebody asks, `state` says
 * HALF_OPEN. */
bool breaker_allows(struct breaker *breaker, int64_t now_us);

/* The store answered, if only with an error of its own. */
void breaker_success(struct breaker *breaker, int64_t now_us);

/* The store did not answer in time. True when that is one time too many: trip it. */
bool breaker_failure(struct breaker *breaker);

/* The store is away: too many failures, or a refused connection. Open at once. */
void breaker_trip(struct breaker *breaker);

#endif
