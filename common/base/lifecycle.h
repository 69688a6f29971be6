/* A service's life: starting, serving, draining. One per process. */
#ifndef FASTSTOCK_COMMON_BASE_LIFECYCLE_H
#define FASTSTOCK_COMMON_BASE_LIFECYCLE_H

#include <stdbool.h>
#include <stdint.h>

/* Blocks SIGTERM and SIGINT in the calling thread and those it starts later, and ignores SIGPIPE.
 * Call first in main. */
void lifecycle_init(void);

/* Waits for SIGTERM or SIGINT and returns which came. */
int lifecycle_wait_for_signal(void);

/* From here on readiness says no and responses say `Connection: close`. Thread-safe. */
void lifecycle_start_drain(void);
bool lifecycle_is_draining(void);

/* Sleeps for `ms`. Ends early when another SIGTERM or SIGINT arrives, because the operator then
 * does not want to wait. */
void lifecycle_sleep_ms(int64_t ms);

#endif
