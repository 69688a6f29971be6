#include "common/base/lifecycle.h"

#include "common/base/clock.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

static atomic_bool draining;

static void fill_signal_set(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
}

void lifecycle_init(void)
{
    sigset_t set;

    fill_signal_set(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
}

int lifecycle_wait_for_signal(void)
{
    sigset_t set;
    int received = 0;

    fill_signal_set(&set);
    sigwait(&set, &received);
    return received;
}

void lifecycle_start_drain(void)
{
    atomic_store(&draining, true);
}

bool lifecycle_is_draining(void)
{
    return atomic_load_explicit(&draining, memory_order_relaxed);
}

void lifecycle_sleep_ms(int64_t ms)
{
    int64_t until_us = clock_after_ms(ms);
    sigset_t set;
    int received;

    fill_signal_set(&set);
    do { /* a pause of the process (SIGSTOP, SIGCONT) interrupts the call */
        int left_ms = clock_left_ms(until_us);
        struct timespec timeout = {.tv_sec = left_ms / 1000,
                                   .tv_nsec = (long)(left_ms % 1000) * 1000000};

        received = sigtimedwait(&set, NULL, &timeout);
    } while (received < 0 && errno == EINTR);
}
