#include "common/stores/breaker.h"

#include <assert.h>

void breaker_init(struct breaker *breaker, int failures_max, int64_t probation_us)
{
    assert(failures_max > 0 && probation_us >= 0);
    *breaker = (struct breaker){
        .failures_max = failures_max, .probation_us = probation_us, .closed_from_us = INT64_MIN};
}

enum breaker_state breaker_state(const struct breaker *breaker, int64_t now_us)
{
    if (breaker->is_open) {
        return BREAKER_OPEN;
    }
    return now_us < breaker->closed_from_us ? BREAKER_HALF_OPEN : BREAKER_CLOSED;
}

void breaker_succeed(struct breaker *breaker, int64_t now_us)
{
    breaker->failures = 0;
    if (breaker->is_open) {
        breaker->is_open = false;
        breaker->closed_from_us = now_us + breaker->probation_us;
    }
}

bool breaker_fail(struct breaker *breaker, int64_t now_us)
{
    enum breaker_state state = breaker_state(breaker, now_us);

    if (state == BREAKER_OPEN) {
        return false; /* a call that was under way when it opened: of the same outage */
    }
    breaker->failures++;
    if (state == BREAKER_CLOSED && breaker->failures < breaker->failures_max) {
        return false;
    }
    breaker_trip(breaker);
    return true;
}

void breaker_trip(struct breaker *breaker)
{
    if (!breaker->is_open) {
        breaker->opened++;
    }
    breaker->is_open = true;
    breaker->failures = 0;
}
