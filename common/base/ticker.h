/* A thread that calls a function again and again, with pauses, until it is stopped. */
#ifndef FASTSTOCK_COMMON_BASE_TICKER_H
#define FASTSTOCK_COMMON_BASE_TICKER_H

#include <stdint.h>

struct ticker;

/* Calls `tick(arg)` on a thread of its own. tick returns how many milliseconds to pause before the
 * next call; the first call comes at once. The caller owns the ticker. */
struct ticker *ticker_create(int64_t (*tick)(void *arg), void *arg);

/* Ends the pause, or passes over the one that follows the call under way. Thread-safe. */
void ticker_hurry(struct ticker *ticker);

/* Ends the pause, waits for a call under way, and frees the ticker. NULL is fine. Not to be called
 * by tick itself. */
void ticker_destroy(struct ticker *ticker);

#endif
