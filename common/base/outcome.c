#include "common/base/outcome.h"

#include "common/base/clock.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

void outcome_init(struct outcome *outcome)
{
    atomic_init(&outcome->is_set, 0);
}

void outcome_set(struct outcome *outcome)
{
    uint32_t before = atomic_exchange_explicit(&outcome->is_set, 1, memory_order_release);

    assert(before == 0);
    (void)before;
    syscall(SYS_futex, &outcome->is_set, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

bool outcome_is_set(const struct outcome *outcome)
{
    return atomic_load_explicit(&outcome->is_set, memory_order_acquire) != 0;
}

bool outcome_wait(struct outcome *outcome, int64_t deadline_us)
{
    const struct timespec until = {.tv_sec = (time_t)(deadline_us / CLOCK_US_PER_S),
                                   .tv_nsec = (long)(deadline_us % CLOCK_US_PER_S) * 1000};

    while (!outcome_is_set(outcome)) {
        /* FUTEX_WAIT_BITSET, because its timeout is a point of the monotonic clock, and that of
         * FUTEX_WAIT a duration. It returns at once when is_set is not 0 any more. */
        if (syscall(SYS_futex, &outcome->is_set, FUTEX_WAIT_BITSET_PRIVATE, 0, &until, NULL,
                    FUTEX_BITSET_MATCH_ANY) != 0 &&
            errno == ETIMEDOUT) {
            return outcome_is_set(outcome);
        }
    }
    return true;
}
