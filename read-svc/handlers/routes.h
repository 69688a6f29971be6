/* The API of read-svc: which handler answers which path. */
#ifndef FASTSTOCK_READ_SVC_HANDLERS_ROUTES_H
#define FASTSTOCK_READ_SVC_HANDLERS_ROUTES_H

#include "common/http/router.h"

/* Their context is a struct handlers (answers.h). With or without the pages for people. */
const struct http_route *routes_table(bool has_console);

#endif
