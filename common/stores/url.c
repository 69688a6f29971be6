#include "common/stores/url.h"

#include "common/base/parse.h"
#include "common/base/strbuf.h"

#include <stdio.h>
#include <string.h>

#define SCHEME "redis://"

/* Copies and percent-decodes a part of a URL ('+' stays what it is there). */
static bool copy_part(const char *from, size_t len, char *out, size_t out_size)
{
    size_t used = 0;

    for (size_t i = 0; i < len && used + 3 < out_size; i++) {
        if (from[i] == '+') { /* parse_percent_decode would make a space of it */
            memcpy(out + used, "%2B", 3);
            used += 3;
        } else {
            out[used++] = from[i];
        }
        if (i + 1 == len) {
            if (!parse_percent_decode(out, &used)) {
                return false;
            }
            out[used] = '\0';
            return true;
        }
    }
    out[0] = '\0';
    return len == 0;
}

static bool parse_userinfo(const char *start, const char *end, struct redis_url *url)
{
    const char *colon = memchr(start, ':', (size_t)(end - start));

    if (colon == NULL) {
        return false;
    }
    return copy_part(start, (size_t)(colon - start), url->user, sizeof(url->user)) &&
           copy_part(colon + 1, (size_t)(end - colon - 1), url->password, sizeof(url->password));
}

/* host, [v6 host] and :port */
static bool parse_authority(const char *start, const char *end, struct redis_url *url)
{
    const char *host_end;
    int64_t port = 6379;

    if (start < end && *start == '[') {
        start++;
        host_end = memchr(start, ']', (size_t)(end - start));
        if (host_end == NULL) {
            return false;
        }
    } else {
        host_end = memchr(start, ':', (size_t)(end - start));
        host_end = host_end == NULL ? end : host_end;
    }
    if (host_end == start ||
        !copy_part(start, (size_t)(host_end - start), url->host, sizeof(url->host))) {
        return false;
    }
    host_end += host_end < end && *host_end == ']' ? 1 : 0;
    if (host_end < end &&
        (*host_end != ':' ||
         !parse_int(host_end + 1, (size_t)(end - host_end - 1), 1, 65535, &port))) {
        return false;
    }
    url->port = (int)port;
    return true;
}

bool url_parse_redis(const char *text, struct redis_url *ret_url, char *error, size_t error_size)
{
    struct redis_url url = {.port = 6379};
    const char *start;
    const char *end;
    const char *at = NULL;
    int64_t database = 0;

    if (strncmp(text, "rediss://", 9) == 0) {
        snprintf(error, error_size,
                 "TLS (rediss://) is not supported; use redis:// inside a trusted network");
        return false;
    }
    if (strncmp(text, SCHEME, strlen(SCHEME)) != 0) {
        snprintf(error, error_size, "the scheme is not redis://");
        return false;
    }
    start = text + strlen(SCHEME);
    end = start + strcspn(start, "/?#");
    for (const char *p = start; p < end; p++) { /* the last '@': a password may hold one */
        at = *p == '@' ? p : at;
    }
    if (at != NULL && !parse_userinfo(start, at, &url)) {
        snprintf(error, error_size, "before '@' stands no [user]:password");
        return false;
    }
    if (!parse_authority(at == NULL ? start : at + 1, end, &url)) {
        snprintf(error, error_size, "the host is empty, or its port is not from 1 to 65535");
        return false;
    }
    if (end[0] != '\0' && strcmp(end, "/") != 0 &&
        (end[0] != '/' || !parse_int(end + 1, strlen(end + 1), 0, 1023, &database))) {
        snprintf(error, error_size, "after the host stands no database number, as in /0");
        return false;
    }
    url.database = (int)database;
    *ret_url = url;
    return true;
}

/* Where the password of "user:password@" begins and the '@' behind it stands. Taken widely:
 * somebody may have forgotten to escape a '/' or a '#' in it. */
static bool find_userinfo_password(const char *url, const char **ret_start, const char **ret_end)
{
    const char *start = strstr(url, "://");
    const char *at;
    const char *colon;

    start = start == NULL ? url : start + 3;
    at = strrchr(start, '@');
    colon = at == NULL ? NULL : memchr(start, ':', (size_t)(at - start));
    if (at != NULL && colon == NULL &&
        strncmp(url, "redis", 5) == 0) { /* there a user alone is a forgotten colon */
        colon = start - 1;
    }
    if (colon == NULL || colon > start + strcspn(start, "/?#")) {
        return false;
    }
    *ret_start = colon + 1;
    *ret_end = at;
    return true;
}

/* "password=..." of a query or, with blanks around '=' or in it, of libpq's keywords: hides all up
 * to the next '&'. */
static void hide_password_values(struct strbuf *shown, const char *text)
{
    static const char key[] = "password";

    for (;;) {
        const char *found = strstr(text, key);

        if (found == NULL) {
            strbuf_adds(shown, text);
            return;
        }
        strbuf_add(shown, text, (size_t)(found - text));
        strbuf_adds(shown, "password=***");
        text = found + strcspn(found, "&");
    }
}

void url_redact(const char *url, char *out, size_t out_size)
{
    struct strbuf shown = STRBUF_EMPTY;
    const char *start;
    const char *end;

    if (strstr(url, "://") == NULL &&
        strchr(url, '@') != NULL) { /* no URL, but who knows what it holds */
        strbuf_adds(&shown, "***");
    } else {
        if (find_userinfo_password(url, &start, &end)) {
            strbuf_add(&shown, url, (size_t)(start - url));
            strbuf_adds(&shown, "***");
            url = end;
        }
        hide_password_values(&shown, url);
    }
    snprintf(out, out_size, "%s", strbuf_text(&shown));
    strbuf_finish(&shown);
}

static bool redis_url_is_valid(const char *url, char ret_why[CONFIG_WHY_SIZE])
{
    struct redis_url parsed;

    return url_parse_redis(url, &parsed, ret_why, CONFIG_WHY_SIZE);
}

const struct config_url_kind redis_url_kind = {
    .expected = "redis://[[user]:password@]host[:port][/database]",
    .is_valid = redis_url_is_valid,
    .redact = url_redact,
};
