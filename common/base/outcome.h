/* An outcome: set once, awaited by any number of threads, each until its own deadline.
 *
 * The outcome itself says only "it is there". What came of it stands beside it, in the struct that
 * holds the outcome. The setter writes that first; a waiter reads it after outcome_wait:
 *
 *      setter                              waiters
 *      load->status = STATUS_OK;           if (outcome_wait(&load->done, deadline_us)) {
 *      outcome_set(&load->done);  ------->     use load->status, without a lock
 *                                          }
 *
 * This is a futex and no condition variable, because then one call of the kernel wakes all waiters
 * and none of them has to take a lock after it.
 *
 * Memory: an outcome has no finish function. outcome_set does not touch the outcome's memory after
 * it has let a waiter go on, so a waiter may free it as soon as outcome_wait returns true. (The
 * kernel may then be told to wake the threads that sleep at an address which is in use for
 * something else by now. It reads no memory for that, and a thread that is woken for nothing looks
 * again.) A waiter whose deadline has passed must not free it: the setter is still to come. */
#ifndef FASTSTOCK_COMMON_BASE_OUTCOME_H
#define FASTSTOCK_COMMON_BASE_OUTCOME_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct outcome {
    _Atomic uint32_t is_set; /* private; 1 once it is set, for good */
};

/* Not set yet. No other thread may know of it. */
void outcome_init(struct outcome *outcome);

/* Lets all waiters go on, those of now and those to come. Everything that this thread wrote before
 * is visible to them. To be called once; a second call is a fault of the program and ends it. */
void outcome_set(struct outcome *outcome);

/* Is it set? If so, what stands beside it may be read. */
bool outcome_is_set(const struct outcome *outcome);

/* Waits until it is set; false when the deadline (a point of the monotonic clock) passed first. One
 * that is set is never missed, even when the deadline has passed. */
bool outcome_wait(struct outcome *outcome, int64_t deadline_us);

#endif
