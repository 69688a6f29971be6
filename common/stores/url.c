#include "common/stores/url.h"

#include "common/base/parse.h"
#include "common/base/strbuf.h"
#include "common/stores/redis_tls.h"

#include <stdio.h>
#include <string.h>

#define PORT_DEFAULT 6379
#define DATABASE_MAX 1023

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Copies and percent-decodes a part of a URL. A '+' stays a '+': only forms make a blank of it. */
static bool copy_part(const char *from, const char *end, char *out, size_t out_size)
{
    size_t used = 0;

    for (; from < end && used + 1 < out_size; from++) {
        if (*from == '%') {
            int high = end - from > 2 ? hex_value(from[1]) : -1;
            int low = high < 0 ? -1 : hex_value(from[2]);

            if (low < 0) {
                return false;
            }
            out[used++] = (char)(high * 16 + low);
            from += 2;
        } else {
            out[used++] = *from;
        }
    }
    out[used] = '\0';
    return from == end && parse_is_utf8(out, used);
}

static bool parse_userinfo(const char *start, const char *end, struct redis_url *url)
{
    const char *colon = memchr(start, ':', (size_t)(end - start));

    return colon != NULL && copy_part(start, colon, url->user, sizeof(url->user)) &&
           copy_part(colon + 1, end, url->password, sizeof(url->password));
}

/* "host" or "[address]" of "host:port"; *ret_end is behind it. */
static bool parse_host(const char *start, const char *end, struct redis_url *url,
                       const char **ret_end)
{
    bool is_bracketed = start < end && *start == '[';
    const char *host = start + is_bracketed;
    const char *host_end = memchr(host, is_bracketed ? ']' : ':', (size_t)(end - host));

    if (host_end == NULL) {
        if (is_bracketed) {
            return false;
        }
        host_end = end;
    }
    *ret_end = host_end + is_bracketed;
    return host_end > host && copy_part(host, host_end, url->host, sizeof(url->host));
}

static bool parse_port(const char *start, const char *end, struct redis_url *url)
{
    int64_t port = PORT_DEFAULT;

    if (start < end &&
        (*start != ':' || !parse_int(start + 1, (size_t)(end - start - 1), 1, 65535, &port))) {
        return false;
    }
    url->port = (int)port;
    return true;
}

/* What follows the authority: nothing, "/", or "/database". Returns what is wrong, or NULL. */
static const char *parse_path(const char *path, struct redis_url *url)
{
    int64_t database = 0;

    if (strchr(path, '?') != NULL) {
        return "it has parameters ('?'), of which none is known: TLS, timeouts and the like have "
               "settings of their own";
    }
    if (strchr(path, '#') != NULL) {
        return "it has a fragment ('#'), which means nothing here; in a password write %23";
    }
    if (*path == '/' && path[1] != '\0' &&
        !parse_int(path + 1, strlen(path + 1), 0, DATABASE_MAX, &database)) {
        return "after the host stands no database number from 0 to 1023, as in /0";
    }
    url->database = (int)database;
    return NULL;
}

static const char *parse_authority(const char *start, const char *end, struct redis_url *url)
{
    const char *at = memrchr(start, '@', (size_t)(end - start)); /* a password may hold another */
    const char *host = at == NULL ? start : at + 1;
    const char *host_end;

    if (at != NULL && !parse_userinfo(start, at, url)) {
        return "before '@' stands no [user]:password of up to 2048 bytes each; write '%' as %25";
    }
    if (memchr(host, ',', (size_t)(end - host)) != NULL) {
        return "it has several hosts; FastStock uses one Redis, not a cluster";
    }
    if (!parse_host(host, end, url, &host_end)) {
        return "the host is empty, too long, or an IPv6 address without its ']'";
    }
    if (*host != '[' && host_end < end && memchr(host_end + 1, ':', (size_t)(end - host_end - 1))) {
        return "the port is not from 1 to 65535; an IPv6 host stands in brackets, as in [::1]:6379";
    }
    return parse_port(host_end, end, url) ? NULL : "the port is not from 1 to 65535";
}

/* Behind "redis://" or "rediss://"; NULL for another scheme. */
static const char *skip_scheme(const char *text, bool *ret_is_tls)
{
    static const char plain[] = "redis://";
    static const char tls[] = "rediss://";

    if (strncmp(text, plain, sizeof(plain) - 1) == 0) {
        *ret_is_tls = false;
        return text + sizeof(plain) - 1;
    }
    if (strncmp(text, tls, sizeof(tls) - 1) == 0) {
        *ret_is_tls = true;
        return text + sizeof(tls) - 1;
    }
    return NULL;
}

bool url_has_blank(const char *url)
{
    for (const char *p = url; *p != '\0'; p++) {
        if ((unsigned char)*p <= ' ' || *p == 0x7F) {
            return true;
        }
    }
    return false;
}

bool url_has_stray_at(const char *url)
{
    const char *scheme_end = strstr(url, "://");
    const char *start = scheme_end == NULL ? url : scheme_end + 3;
    const char *at = strchr(start, '@');

    return at != NULL && (strchr(at + 1, '@') != NULL || at > start + strcspn(start, "/?#"));
}

bool url_parse_redis(const char *text, struct redis_url *ret_url, char *error, size_t error_size)
{
    struct redis_url url = {.port = PORT_DEFAULT};
    const char *start = skip_scheme(text, &url.is_tls);
    const char *why = "the scheme is neither redis:// nor rediss://";

    if (start != NULL) {
        const char *end = start + strcspn(start, "/?#");

        why = parse_authority(start, end, &url);
        why = why == NULL ? parse_path(end, &url) : why;
    }
    if (why != NULL) {
        snprintf(error, error_size, "%s", why);
        return false;
    }
    *ret_url = url;
    return true;
}

/* Where the password of "user:password@" begins and the '@' behind it stands. The last '@' of the
 * whole text counts, because a '/' or a '#' in the password may not have been escaped. */
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
 * to the next '&'. The word alone is a part of a name. */
static void hide_password_values(struct strbuf *shown, const char *text)
{
    static const char key[] = "password";

    for (;;) {
        const char *found = strstr(text, key);
        const char *behind;

        if (found == NULL) {
            strbuf_adds(shown, text);
            return;
        }
        behind = found + strlen(key);
        strbuf_add(shown, text, (size_t)(behind - text));
        text = behind;
        if (behind[strspn(behind, " \t\n\r")] == '=') {
            strbuf_adds(shown, "=***");
            text = behind + strcspn(behind, "&");
        }
    }
}

void url_redact(const char *url, char *out, size_t out_size)
{
    struct strbuf shown = STRBUF_EMPTY;
    const char *start;
    const char *end;

    if (strstr(url, "://") == NULL &&
        strchr(url, '@') != NULL) { /* no URL: any part of it may be a password */
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

    if (url_has_blank(url)) {
        snprintf(ret_why, CONFIG_WHY_SIZE, "%s", URL_BLANK_COMPLAINT);
        return false;
    }
    if (!url_parse_redis(url, &parsed, ret_why, CONFIG_WHY_SIZE)) {
        return false;
    }
    if (parsed.is_tls && redis_tls_lack() != NULL) {
        snprintf(ret_why, CONFIG_WHY_SIZE, "%s", redis_tls_lack());
        return false;
    }
    return true;
}

const struct config_url_kind redis_url_kind = {
    .expected = "redis[s]://[[user]:password@]host[:port][/database]",
    .is_valid = redis_url_is_valid,
    .redact = url_redact,
};
