#include "write-svc/handlers/checks.h"

#include <string.h>
#include <strings.h>

bool checks_token(const struct http_request *request, struct http_response *response,
                  struct auth *auth)
{
    if (auth_allows(auth, http_header(request, "Authorization"))) {
        return true;
    }
    http_problem(request, response, HTTP_UNAUTHORIZED,
                 "expected 'Authorization: Bearer' with a known token", NULL);
    http_add_header(response, "WWW-Authenticate", "Bearer");
    return false;
}

/* application/json, with or without parameters */
static bool check_content_type(const struct http_request *request, struct http_response *response)
{
    static const char json[] = "application/json";
    const char *type = http_header(request, "Content-Type");

    if (type != NULL && strncasecmp(type, json, strlen(json)) == 0 &&
        strchr("; \t", type[strlen(json)]) != NULL) {
        return true;
    }
    http_problem(request, response, HTTP_UNSUPPORTED_MEDIA_TYPE,
                 "expected Content-Type: application/json", NULL);
    return false;
}

bool checks_read_json(const struct http_request *request, struct http_response *response,
                      struct json_field *fields)
{
    struct json_problem problem;

    if (http_header(request, "Content-Length") == NULL) {
        http_problem(request, response, HTTP_LENGTH_REQUIRED,
                     "expected a body and its Content-Length", NULL);
        return false;
    }
    if (!check_content_type(request, response)) {
        return false;
    }
    if (!json_read_object(request->body, request->body_len, fields, &problem)) {
        http_bad_field(request, response, problem.field[0] == '\0' ? "body" : problem.field,
                       problem.detail);
        return false;
    }
    return true;
}
