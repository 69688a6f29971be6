#include "common/base/thread.h"

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
