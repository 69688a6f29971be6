#include "common/http/router.h"

#include "common/http/api_paths.h"

#include <stdio.h>
#include <string.h>

bool http_path_matches(const char *pattern, const char *path,
                       struct http_text ret_params[HTTP_PARAMS_MAX])
{
    size_t params = 0;

    while (*pattern != '\0') {
        if (*pattern == '{') {
            size_t len = strcspn(path, "/");

            if (len == 0) {
                return false;
            }
            if (ret_params != NULL && params < HTTP_PARAMS_MAX) {
                ret_params[params++] = (struct http_text){path, len};
            }
            path += len;
            pattern = strchr(pattern, '}') + 1;
        } else if (*pattern++ != *path++) {
            return false;
        }
    }
    return *path == '\0';
}

static bool method_matches(const char *routed, const char *method)
{
    return strcmp(routed, method) == 0 ||
           (strcmp(routed, "GET") == 0 && strcmp(method, "HEAD") == 0);
}

/* Is `method` one of "GET, HEAD"? */
static bool in_allow_list(const char *allow, const char *method)
{
    size_t len = strlen(method);

    while (*allow != '\0') {
        size_t item = strcspn(allow, ", ");

        if (item == len && strncmp(allow, method, len) == 0) {
            return true;
        }
        allow += item;
        allow += strspn(allow, ", ");
    }
    return false;
}

static void refuse_method(const struct http_request *request, struct http_response *response,
                          const char *allow)
{
    char detail[128];

    snprintf(detail, sizeof(detail), "this path answers %s", allow);
    http_problem(request, response, HTTP_METHOD_NOT_ALLOWED, detail, NULL);
    http_add_header(response, "Allow", allow);
}

static void refuse_path(const struct http_request *request, struct http_response *response)
{
    for (const struct api_path *known = api_paths; known->path != NULL; known++) {
        if (http_path_matches(known->path, request->path, NULL)) {
            char detail[128];

            if (!in_allow_list(known->allow, request->method)) {
                refuse_method(request, response, known->allow);
                return;
            }
            snprintf(detail, sizeof(detail), "%s answers this path, not this service",
                     known->service);
            http_problem(request, response, HTTP_NOT_FOUND, detail, NULL);
            return;
        }
    }
    http_problem(request, response, HTTP_NOT_FOUND, "no such path", NULL);
}

const struct http_route *http_find_route(const struct http_route *routes,
                                         struct http_request *request,
                                         struct http_response *response)
{
    const struct http_route *same_path = NULL;

    for (const struct http_route *route = routes; route->method != NULL; route++) {
        if (http_path_matches(route->path, request->path, request->params)) {
            if (method_matches(route->method, request->method)) {
                return route;
            }
            same_path = route;
        }
    }
    if (same_path != NULL) { /* every path of ours has one method */
        refuse_method(request, response,
                      strcmp(same_path->method, "GET") == 0 ? "GET, HEAD" : same_path->method);
    } else {
        refuse_path(request, response);
    }
    return NULL;
}
