/* How one store is reached: the one struct that settings fill in, and that a store's client and its
 * pool read. The integers are int64_t, because a table of settings (common/base/config.h) writes
 * them in place. */
#ifndef FASTSTOCK_COMMON_STORES_OPTIONS_H
#define FASTSTOCK_COMMON_STORES_OPTIONS_H

#include <stdint.h>

struct store_options {
    /* The label of logs and metrics, like "postgres"; borrowed for the life of the process. */
    const char *name;
    const char *url;            /* copied */
    int64_t size;               /* connections kept open, from 1 on */
    int64_t timeout_ms;         /* of one call, once it has a connection */
    int64_t connect_timeout_ms; /* for connecting and a first answer */
    int64_t retry_ms;           /* between attempts to connect while the store is away */
    int64_t probation_ms; /* after an outage the store is not used for so long, see breaker.h */
};

#endif
