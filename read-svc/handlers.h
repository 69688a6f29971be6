/* The API of read-svc: HTTP on one side, catalogue and the read path on the other. */
#ifndef FASTSTOCK_READ_SVC_HANDLERS_H
#define FASTSTOCK_READ_SVC_HANDLERS_H

#include "read-svc/catalog.h"
#include "read-svc/products_read.h"

#include "common/http/router.h"

/* The context that the routes want. */
struct handlers {
    struct catalog *catalog;
    struct products_read *read;
};

extern const struct http_route handlers_routes[];

#endif
