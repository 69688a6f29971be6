/* Pages for people. Each is one file, embedded by CMake, with its style and its
 * script, if it has one, inside. Its Content-Security-Policy names both by their digest, so a
 * browser takes nothing that is not in the file. */
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
extern const struct page_source page_problems; /* an <article id="NAME"> for each type */
extern const struct page_source page_docs;     /* made of docs/openapi.yaml by pages/api.py */
extern const struct page_source page_openapi;  /* that document itself */

http_handler handle_console;  /* GET / */
http_handler handle_problems; /* GET /problems/: all types of problems */
http_handler handle_problem;  /* GET /problems/{name}: one */
http_handler handle_docs;     /* GET /docs: the API */
http_handler handle_openapi;  /* GET /docs/openapi.yaml */

#endif
