/* How a call to a store ended. Shared code returns these; the service decides what a client
 * hears. */
#ifndef FASTSTOCK_COMMON_BASE_STATUS_H
#define FASTSTOCK_COMMON_BASE_STATUS_H

enum status {
    STATUS_OK = 0,
    STATUS_TIMEOUT,     /* the deadline passed first; whether the store did the work is unknown */
    STATUS_UNAVAILABLE, /* the store was not asked: it is away, or no connection came free in time
                         */
    STATUS_BROKEN, /* the connection broke in the middle; whether the store did the work is unknown
                    */
    STATUS_FAILED, /* the store answered with an error */
};

#endif
