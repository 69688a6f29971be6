#include "common/stores/breaker.h"

void breaker_init(struct breaker *breaker, int failures_max, int64_t probation_us)
{
    *breaker = (struct breaker){
        .state = BREAKER_CLOSED, .failures_max = failures_max, .probation_us = probation_us};
}

bool breaker_allows(struct breaker *breaker, int64_t now_us)
{
    if (breaker->state == BREAKER_HALF_OPEN &&
        now_us - breaker->half_open_since_us >= breaker->probation_us) {
        breaker->state = BREAKER_CLOSED;
    }
    return breaker->state == BREAKER_CLOSED;
}

void breaker_success(struct breaker *breaker, int64_t now_us)
{
    breaker->failures = 0;
    if (breaker->state == BREAKER_OPEN) {
        breaker->state = BREAKER_HALF_OPEN;
        breaker->half_open_since_us = now_us;
    }
}

bool breaker_failure(struct breaker *breaker)
{
    breaker->failures++;
    return breaker->state != BREAKER_OPEN &&
           (breaker->failures >= breaker->failures_max || breaker->state == BREAKER_HALF_OPEN);
}

void breaker_trip(struct breaker *breaker)
{
    if (breaker->state != BREAKER_OPEN) {
        breaker->opened++;
    }
    breaker->state = BREAKER_OPEN;
    breaker->failures = 0;
}
