#include "common/http/router.h"

#include "common/http/problem.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

bool http_path_matches(const char *pattern, const char *path,
                       struct http_text ret_params[HTTP_PARAMS_MAX])
{
    size_t params = 0;

    /* both are gone through together, a {part} against all that stands before the next '/' */
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

/* --- refusals --------------------------------------------------------------------------------- */

/* "*" (OPTIONS *) stands for the server, and so for all paths (RFC 9110 section 9.3.7). */
static bool concerns(const char *pattern, const char *path)
{
    return strcmp(path, "*") == 0 || http_path_matches(pattern, path, NULL);
}

/* The value of an Allow header, without repetitions. */
struct allow_list {
    char text[64];
    size_t len;
};

static void allow_one(struct allow_list *allow, const char *method)
{
    size_t len = strlen(method);

    for (const char *p = allow->text; (p = strstr(p, method)) != NULL; p += len) {
        if ((p == allow->text || p[-1] == ' ') && (p[len] == '\0' || p[len] == ',')) {
            return;
        }
    }
    allow->len += (size_t)snprintf(allow->text + allow->len, sizeof(allow->text) - allow->len,
                                   "%s%s", allow->len == 0 ? "" : ", ", method);
    assert(allow->len < sizeof(allow->text)); /* room for all methods of RFC 9110 and PATCH */
}

static void allow(struct allow_list *allow, const char *method)
{
    allow_one(allow, method);
    if (strcmp(method, "GET") == 0) {
        allow_one(allow, "HEAD");
    }
}

/* Sets the methods that the path answers, here or elsewhere. Returns the service that would answer
 * this method of it, or NULL. */
static const char *look_around(const struct http_route *routes,
                               const struct http_known_route *known,
                               const struct http_request *request, struct allow_list *ret_allow)
{
    const char *service = NULL;

    *ret_allow = (struct allow_list){.len = 0};
    for (; routes->method != NULL; routes++) {
        if (concerns(routes->path, request->path)) {
            allow(ret_allow, routes->method);
        }
    }
    for (; known != NULL && known->method != NULL; known++) {
        if (concerns(known->path, request->path)) {
            allow(ret_allow, known->method);
            service = method_matches(known->method, request->method) ? known->service : service;
        }
    }
    return service;
}

static void refuse(const struct http_route *routes, const struct http_known_route *known,
                   const struct http_request *request, struct http_response *response)
{
    struct allow_list allowed;
    const char *service = look_around(routes, known, request, &allowed);
    char detail[128];

    if (allowed.len == 0) {
        http_problem(request, response, HTTP_NOT_FOUND, "no such path", NULL);
    } else if (service != NULL && strcmp(request->path, "*") != 0) {
        snprintf(detail, sizeof(detail), "%s answers this path, not this service", service);
        http_problem(request, response, HTTP_NOT_FOUND, detail, NULL);
    } else {
        snprintf(detail, sizeof(detail), "this path answers %s", allowed.text);
        http_problem(request, response, HTTP_METHOD_NOT_ALLOWED, detail, NULL);
        http_add_header(response, "Allow", allowed.text);
    }
}

const struct http_route *http_match_route(const struct http_route *routes,
                                          struct http_request *request)
{
    for (const struct http_route *route = routes; route->method != NULL; route++) {
        if (method_matches(route->method, request->method) &&
            http_path_matches(route->path, request->path, request->params)) {
            return route;
        }
    }
    return NULL;
}

const struct http_route *http_find_route(const struct http_route *routes,
                                         const struct http_known_route *known,
                                         struct http_request *request,
                                         struct http_response *response)
{
    const struct http_route *route = http_match_route(routes, request);

    if (route == NULL) {
        refuse(routes, known, request, response);
    }
    return route;
}
