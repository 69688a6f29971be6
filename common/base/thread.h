/* Threads that exist, or the process ends (as with memory, alloc.h): a service has few threads, and
 * is broken without one of them. */
#ifndef FASTSTOCK_COMMON_BASE_THREAD_H
#define FASTSTOCK_COMMON_BASE_THREAD_H

#include <pthread.h>
#include <stdint.h>

/* Starts a thread that runs `run(arg)`; it is to be joined. Aborts when the system grants none. */
pthread_t thread_start(void *(*run)(void *arg), void *arg);

/* The number of the calling thread, counted from 0 in the order in which threads first ask. */
uint32_t thread_number(void);

#endif
