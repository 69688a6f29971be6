/* A thread that does something over and over, with pauses, until it is stopped. */
#ifndef FASTSTOCK_COMMON_BASE_TICKER_H
#define FASTSTOCK_COMMON_BASE_TICKER_H

#include <stdint.h>

struct ticker;

/* Calls `tick(arg)` on a thread of its own, at once and then each time as many milliseconds later
 * as it returned. */
struct ticker *ticker_create(int64_t (*tick)(void *arg), void *arg);

/* Waits for the tick under way; none follows. NULL is fine. */
void ticker_destroy(struct ticker *ticker);

#endif
