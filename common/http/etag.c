#include "common/http/etag.h"

#include "common/base/parse.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *skip_blanks(const char *p)
{
    return p + strspn(p, " \t");
}

/* One entity tag at *p: sets where its text starts and how long it is, and moves *p behind it. */
static bool next_etag(const char **p, bool *ret_weak, struct http_text *ret_tag)
{
    bool is_weak = strncmp(*p, "W/", 2) == 0; /* case-sensitive (RFC 9110 section 8.8.3) */
    const char *start = *p + (is_weak ? 2 : 0);
    const char *end = *start == '"' ? strchr(start + 1, '"') : NULL;

    if (end == NULL) {
        return false;
    }
    *ret_weak = is_weak;
    *ret_tag = (struct http_text){start + 1, (size_t)(end - start - 1)};
    *p = end + 1;
    return true;
}

enum etag_match etag_match_list(const char *list, int64_t version, bool weak, int64_t *first)
{
    static const char between[] =
        " \t,"; /* empty elements are allowed (RFC 9110 section 5.6.1.2) */
    const char *p = list + strspn(list, between);
    enum etag_match match = ETAG_NONE;

    if (*p == '*') {
        return *skip_blanks(p + 1) == '\0' ? ETAG_ANY : ETAG_INVALID;
    }
    if (*p == '\0') {
        return ETAG_INVALID;
    }
    while (*p != '\0') {
        bool is_weak;
        struct http_text tag;
        int64_t tagged;

        if (!next_etag(&p, &is_weak, &tag)) {
            return ETAG_INVALID;
        }
        if ((weak || !is_weak) && parse_id(tag.start, tag.len, &tagged)) {
            *first = *first == 0 ? tagged : *first;
            match = tagged == version ? ETAG_FOUND : match;
        }
        p = skip_blanks(p);
        if (*p != '\0' && *p != ',') {
            return ETAG_INVALID;
        }
        p += strspn(p, between);
    }
    return match;
}

enum etag_match http_if_match(const struct http_request *request, int64_t version,
                              int64_t *ret_first)
{
    const struct http_header *header = http_header_first(request, HTTP_IF_MATCH);
    enum etag_match match = header == NULL ? ETAG_ANY : ETAG_NONE;
    int64_t first = 0;

    for (; header != NULL; header = http_header_next(request, header)) {
        enum etag_match line = etag_match_list(header->value, version, false, &first);

        /* "*" stands alone: beside it no other line makes sense */
        if (line == ETAG_INVALID ||
            (line == ETAG_ANY && http_header_count(request, HTTP_IF_MATCH) > 1)) {
            return ETAG_INVALID;
        }
        match = line == ETAG_NONE ? match : line;
    }
    if (ret_first != NULL && (match == ETAG_NONE || match == ETAG_FOUND)) {
        *ret_first = first;
    }
    return match;
}

bool http_if_none_match(const struct http_request *request, int64_t version)
{
    int64_t first = 0;

    for (const struct http_header *header = http_header_first(request, HTTP_IF_NONE_MATCH);
         header != NULL; header = http_header_next(request, header)) {
        enum etag_match match = etag_match_list(header->value, version, true, &first);

        if (match == ETAG_FOUND || match == ETAG_ANY) {
            return true;
        }
    }
    return false;
}

void http_add_etag(struct http_response *response, int64_t version)
{
    char text[32];

    snprintf(text, sizeof(text), "\"%" PRId64 "\"", version);
    http_add_header(response, "ETag", text);
}
