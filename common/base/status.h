/* How a call to a store ended. Each value says whether the store did the work, because a caller
 * must know if it may ask again. Shared code returns these; the service decides what it tells a
 * client. */
#ifndef FASTSTOCK_COMMON_BASE_STATUS_H
#define FASTSTOCK_COMMON_BASE_STATUS_H

enum status {
    STATUS_OK = 0,
    STATUS_TIMEOUT,     /* the deadline passed first: the store may have done the work */
    STATUS_UNAVAILABLE, /* the store was not asked: it is away, or no connection came free */
    STATUS_BROKEN,      /* the connection broke in the middle: the store may have done the work */
    STATUS_FAILED,      /* the store answered with an error, and did nothing */
};

#endif
