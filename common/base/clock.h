/* Times. `_us` values are microseconds. A deadline is a point of the monotonic clock.
 * Thread-safe. */
#ifndef FASTSTOCK_COMMON_BASE_CLOCK_H
#define FASTSTOCK_COMMON_BASE_CLOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLOCK_US_PER_MS INT64_C(1000)
#define CLOCK_US_PER_S INT64_C(1000000)

/* "2026-01-02T03:04:05.123456Z" and its NUL. */
#define CLOCK_RFC3339_SIZE 28

/* The times that RFC 3339 shows, in microseconds since 1970: from the year 1 to before 10000. */
#define CLOCK_SHOWN_FROM_US INT64_C(-62135596800000000)
#define CLOCK_SHOWN_UNTIL_US INT64_C(253402300800000000)

/* Now, on the clock that never jumps; only differences mean something. */
int64_t clock_mono_us(void);

/* Now, since 1970-01-01 UTC. */
int64_t clock_wall_us(void);

/* The deadline that is `ms` milliseconds away. */
int64_t clock_after_ms(int64_t ms);

/* Milliseconds until `deadline_us`, rounded up, 0 when it has passed; fits poll(2). */
int clock_left_ms(int64_t deadline_us);

/* `wall_us` as RFC 3339 in UTC, with microseconds. */
void clock_format_rfc3339(int64_t wall_us, char out[CLOCK_RFC3339_SIZE]);

/* A condition variable whose timed wait follows the monotonic clock. */
void clock_cond_init(pthread_cond_t *cond);

/* Like pthread_cond_timedwait. Returns false when `deadline_us` has passed. */
bool clock_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex, int64_t deadline_us);

#endif
