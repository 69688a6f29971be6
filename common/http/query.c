#include "common/http/query.h"

#include "common/base/alloc.h"
#include "common/base/parse.h"
#include "common/base/strbuf.h"
#include "common/http/problem.h"

#include <stdlib.h>
#include <string.h>

#define NAME_SHOWN_MAX 64 /* bytes of an unknown name that are repeated to the client */

/* A decoded copy of a part of the query, NULL when its encoding is bad. */
static char *decode(const char *start, size_t len, size_t *ret_len)
{
    char *copy = fs_calloc(1, len + 1);

    memcpy(copy, start, len);
    *ret_len = len;
    if (!parse_percent_decode(copy, ret_len)) {
        free(copy);
        return NULL;
    }
    copy[*ret_len] = '\0';
    return copy;
}

/* Names the parameter, unless it is too long to be a mistyped one, and all that are known. */
static void refuse_unknown(const struct http_request *request, const char *name,
                           const struct http_query_param *params, struct http_response *response)
{
    bool is_short = *name != '\0' && strlen(name) <= NAME_SHOWN_MAX;
    struct strbuf detail = STRBUF_EMPTY;

    strbuf_adds(&detail,
                is_short ? "unknown parameter; known are" : "a parameter is unknown; known are");
    for (const char *comma = " "; params->name != NULL; params++, comma = ", ") {
        strbuf_addf(&detail, "%s%s", comma, params->name);
    }
    http_bad_field(request, response, is_short ? name : "query", strbuf_text(&detail));
    strbuf_finish(&detail);
}

/* One "name=value". */
static bool read_pair(const struct http_request *request, const char *start, size_t len,
                      struct http_query_param *params, struct http_response *response)
{
    const char *equals = memchr(start, '=', len);
    size_t name_len = equals == NULL ? len : (size_t)(equals - start);
    size_t decoded_len = 0;
    const struct http_query_param *known = params;
    char *name = decode(start, name_len, &decoded_len);

    if (name == NULL) {
        http_bad_field(request, response, "query", "bad percent-encoding, or not UTF-8");
        return false;
    }
    while (params->name != NULL && strcmp(params->name, name) != 0) {
        params++;
    }
    if (params->name == NULL) {
        refuse_unknown(request, name, known, response);
        free(name);
        return false;
    }
    free(name);
    if (params->value != NULL) {
        http_bad_field(request, response, params->name, "expected once, is repeated");
        return false;
    }
    params->value =
        equals == NULL ? fs_strdup("") : decode(equals + 1, len - name_len - 1, &params->len);
    if (params->value == NULL) {
        http_bad_field(request, response, params->name, "bad percent-encoding, or not UTF-8");
        return false;
    }
    return true;
}

bool http_read_query(const struct http_request *request, struct http_query_param *params,
                     struct http_response *response)
{
    const char *p = request->query;

    while (*p != '\0') {
        size_t len = strcspn(p, "&");

        if (len > 0 && !read_pair(request, p, len, params, response)) {
            return false;
        }
        p += len + (p[len] == '&' ? 1 : 0);
    }
    return true;
}

void http_query_finish(struct http_query_param *params)
{
    for (; params->name != NULL; params++) {
        free(params->value);
        params->value = NULL;
    }
}
