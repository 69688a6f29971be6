/* A circuit breaker: stops asking a store that does not answer, so that no request waits for it.
 *
 *            `failures_max` failures in a row, or a trip
 *     CLOSED --------------------------------------------> OPEN
 *        ^                                                 |  ^
 *        | the probation is over                 an answer |  | a failure, or a trip
 *        |                                                 v  |
 *        +--------------------------------------------- HALF_OPEN
 *
 * While the breaker is not closed only a probe asks the store (the pool's maintainer, see pool.h).
 * A call that was under way when it opened may be the first to be answered.
 *
 * The probation lets the writers take Redis back before the readers do, because a change that is
 * written then must be in Redis before a reader looks there. Without one the breaker closes with
 * the first answer.
 *
 * Not thread-safe; its owner holds a lock. Times are of the monotonic clock, in microseconds, and
 * never go back from one call to the next. */
#ifndef FASTSTOCK_COMMON_STORES_BREAKER_H
#define FASTSTOCK_COMMON_STORES_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

/* The numbers are those of the metric faststock_breaker_state. */
enum breaker_state { BREAKER_CLOSED = 0, BREAKER_HALF_OPEN = 1, BREAKER_OPEN = 2 };

struct breaker {
    bool is_open;
    int failures;     /* in a row */
    int failures_max; /* so many open it */
    int64_t probation_us;
    int64_t closed_from_us; /* the end of the last probation; counts when it is not open */
    uint64_t opened;        /* how often it opened */
};

/* Closed. */
void breaker_init(struct breaker *breaker, int failures_max, int64_t probation_us);

/* The store may be asked while this is BREAKER_CLOSED. Changes nothing. */
enum breaker_state breaker_state(const struct breaker *breaker, int64_t now_us);

/* The store answered, if only with an error of its own. */
void breaker_succeed(struct breaker *breaker, int64_t now_us);

/* The store did not answer in time. Opens after `failures_max` times in a row, and in the probation
 * after one. True when that was now. */
bool breaker_fail(struct breaker *breaker, int64_t now_us);

/* The store is known to be away: opens at once. */
void breaker_trip(struct breaker *breaker);

#endif
