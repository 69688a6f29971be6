#include "common/lifecycle.h"

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
    struct timespec timeout = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
    sigset_t set;

    fill_signal_set(&set);
    sigtimedwait(&set, NULL, &timeout);
}
