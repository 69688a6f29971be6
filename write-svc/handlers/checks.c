#include "write-svc/handlers/checks.h"

#include "common/base/parse.h"
#include "common/http/content.h"
#include "common/http/etag.h"
#include "common/http/problem.h"

#include <stdio.h>

bool checks_token(const struct http_request *request, struct http_response *response,
                  struct auth *auth)
{
    if (auth_allows(auth, http_header(request, HTTP_AUTHORIZATION))) {
        return true;
    }
    http_problem(request, response, HTTP_UNAUTHORIZED,
                 "expected 'Authorization: Bearer' with a known token", NULL);
    http_add_header(response, "WWW-Authenticate", "Bearer");
    return false;
}

bool checks_read_id(const struct http_request *request, struct http_response *response,
                    const char *what, int64_t *ret_id)
{
    char detail[96];

    if (parse_id(request->params[0].start, request->params[0].len, ret_id)) {
        return true;
    }
    snprintf(detail, sizeof(detail), "expected %s, a whole number from 1 to 9223372036854775807",
             what);
    http_bad_field(request, response, "id", detail);
    return false;
}

bool checks_read_if_match(const struct http_request *request, struct http_response *response,
                          int64_t *ret_version)
{
    int64_t version = 0;

    switch (http_if_match(request, 0, &version)) {
    case ETAG_INVALID:
        http_bad_field(request, response, "If-Match",
                       "expected entity tags, e.g. \"7\" or \"7\", \"8\", or *");
        return false;
    case ETAG_NONE:
    case ETAG_FOUND:
        if (version == 0) {
            version = INT64_MAX; /* tags that no version of ours has */
        }
        break;
    case ETAG_ANY:
        break;
    }
    *ret_version = version;
    return true;
}

bool checks_read_json(const struct http_request *request, struct http_response *response,
                      struct json_field *fields)
{
    struct json_problem problem;

    if (!http_check_json(request, response)) {
        return false;
    }
    if (!json_read_object(request->body, request->body_len, fields, &problem)) {
        http_bad_field(request, response, problem.field[0] == '\0' ? "body" : problem.field,
                       problem.detail);
        return false;
    }
    return true;
}

bool checks_read_nothing(const struct http_request *request, struct http_response *response)
{
    struct json_field none[] = {{.name = NULL}};

    return request->body_len == 0 || checks_read_json(request, response, none);
}
