/* Pages for people. Each is one file of read-svc/pages, embedded by CMake, with its style and its
 * script inside. Its Content-Security-Policy names both by their digest, so a browser takes nothing
 * that is not in the file. */
#ifndef FASTSTOCK_READ_SVC_HANDLERS_PAGES_H
#define FASTSTOCK_READ_SVC_HANDLERS_PAGES_H

#include "common/http/router.h"

#include <stddef.h>

/* A file as it was embedded. */
struct page_source {
    const char *text; /* NUL behind it */
    size_t len;
};

extern const struct page_source page_console;

http_handler handle_console; /* GET / */

#endif
