#include "common/base/clock.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <time.h>

static int64_t read_clock_us(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * CLOCK_US_PER_S + now.tv_nsec / 1000;
}

int64_t clock_mono_us(void)
{
    return read_clock_us(CLOCK_MONOTONIC);
}

int64_t clock_wall_us(void)
{
    return read_clock_us(CLOCK_REALTIME);
}

int64_t clock_after_ms(int64_t ms)
{
    return clock_mono_us() + ms * CLOCK_US_PER_MS;
}

int clock_left_ms(int64_t deadline_us)
{
    int64_t left_ms = (deadline_us - clock_mono_us() + CLOCK_US_PER_MS - 1) / CLOCK_US_PER_MS;

    if (left_ms <= 0) {
        return 0;
    }
    return left_ms > INT_MAX ? INT_MAX : (int)left_ms;
}

void clock_format_rfc3339(int64_t wall_us, char out[CLOCK_RFC3339_SIZE])
{
    int64_t micros = wall_us % CLOCK_US_PER_S;
    time_t seconds = (time_t)(wall_us / CLOCK_US_PER_S);
    struct tm utc;

    if (micros < 0) {
        micros += CLOCK_US_PER_S;
        seconds--;
    }
    gmtime_r(&seconds, &utc);
    snprintf(out, CLOCK_RFC3339_SIZE, "%04u-%02u-%02uT%02u:%02u:%02u.%06uZ",
             (unsigned)(utc.tm_year + 1900) % 10000u, (unsigned)(utc.tm_mon + 1) % 100u,
             (unsigned)utc.tm_mday % 100u, (unsigned)utc.tm_hour % 100u,
             (unsigned)utc.tm_min % 100u, (unsigned)utc.tm_sec % 100u, (unsigned)micros % 1000000u);
}

void clock_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attributes;

    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attributes);
    pthread_condattr_destroy(&attributes);
}

bool clock_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex, int64_t deadline_us)
{
    struct timespec until = {.tv_sec = (time_t)(deadline_us / CLOCK_US_PER_S),
                             .tv_nsec = (long)(deadline_us % CLOCK_US_PER_S) * 1000};

    return pthread_cond_timedwait(cond, mutex, &until) != ETIMEDOUT;
}
