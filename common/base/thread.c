#include "common/base/thread.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

pthread_t thread_start(void *(*run)(void *arg), void *arg)
{
    pthread_t thread;
    int error = pthread_create(&thread, NULL, run, arg);

    if (error != 0) {
        fprintf(stderr, "no thread can be started: %s\n", strerror(error));
        abort();
    }
    return thread;
}

uint32_t thread_number(void)
{
    static _Atomic uint32_t numbers;
    static _Thread_local uint32_t number_plus_one;

    if (number_plus_one == 0) {
        number_plus_one = atomic_fetch_add(&numbers, 1) + 1;
    }
    return number_plus_one - 1;
}
