#include "common/stores/url.h"

#include "common/base/alloc.h"
#include "common/base/parse.h"
#include "common/base/strbuf.h"
#include "common/stores/redis_tls.h"

#include <stdio.h>
#include <string.h>

#define PORT_DEFAULT 6379
#define SENTINEL_PORT_DEFAULT 26379
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

/* Where the character stands first; `end` when it is not there. */
static const char *find_char(const char *start, const char *end, char c)
{
    while (start < end && *start != c) {
        start++;
    }
    return start;
}

/* "host" or "[address]" of "host:port"; *ret_end is behind it. */
static bool parse_name(const char *start, const char *end, struct redis_host *host,
                       const char **ret_end)
{
    bool is_bracketed = start < end && *start == '[';
    const char *name = start + is_bracketed;
    const char *name_end = find_char(name, end, is_bracketed ? ']' : ':');

    if (is_bracketed && name_end == end) {
        return false;
    }
    *ret_end = name_end + is_bracketed;
    return name_end > name && copy_part(name, name_end, host->name, sizeof(host->name));
}

static bool parse_port(const char *start, const char *end, int64_t port, struct redis_host *host)
{
    if (start < end &&
        (*start != ':' || !parse_int(start + 1, (size_t)(end - start - 1), 1, 65535, &port))) {
        return false;
    }
    host->port = (int)port;
    return true;
}

/* "host[:port]". Returns what is wrong, or NULL. */
static const char *parse_host(const char *start, const char *end, int port_default,
                              struct redis_host *host)
{
    const char *name_end;

    if (!parse_name(start, end, host, &name_end)) {
        return "a host is empty, too long, or an IPv6 address without its ']'";
    }
    if (*start != '[' && name_end < end && find_char(name_end + 1, end, ':') < end) {
        return "the port is not from 1 to 65535; an IPv6 host stands in brackets, as in [::1]:6379";
    }
    return parse_port(name_end, end, port_default, host) ? NULL : "the port is not from 1 to 65535";
}

static bool is_name_char(char c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '.' ||
           c == '-' || c == '_';
}

/* "/master" of "/master[/database]"; *ret_end is behind it. */
static const char *parse_master(const char *path, struct redis_url *url, const char **ret_end)
{
    const char *name = *path == '/' ? path + 1 : path;
    size_t len = strcspn(name, "/");

    for (size_t i = 0; i < len; i++) {
        if (!is_name_char(name[i])) {
            return "the master's name may have letters, digits and the characters . _ - only";
        }
    }
    if (len == 0 || len >= sizeof(url->master)) {
        return "behind the Sentinels the name of the master is missing or too long, as in "
               "/mymaster or /mymaster/0";
    }
    copy_part(name, name + len, url->master, sizeof(url->master));
    *ret_end = name + len;
    return NULL;
}

/* What follows the authority: nothing, "/", or "/database", with Sentinels behind "/master".
 * Returns what is wrong, or NULL. */
static const char *parse_path(const char *path, bool has_sentinels, struct redis_url *url)
{
    int64_t database = 0;
    const char *why = NULL;

    if (strchr(path, '?') != NULL) {
        return "it has parameters ('?'), of which none is known: TLS, timeouts and the like have "
               "settings of their own";
    }
    if (strchr(path, '#') != NULL) {
        return "it has a fragment ('#'), which means nothing here; in a password write %23";
    }
    if (has_sentinels) {
        why = parse_master(path, url, &path);
    }
    if (why == NULL && *path == '/' && path[1] != '\0' &&
        !parse_int(path + 1, strlen(path + 1), 0, DATABASE_MAX, &database)) {
        why = has_sentinels ? "after the master's name stands no database number from 0 to 1023"
                            : "after the host stands no database number from 0 to 1023, as in /0";
    }
    url->database = (int)database;
    return why;
}

static const char *parse_sentinels(const char *start, const char *end, struct redis_url *url)
{
    const char *why = NULL;

    while (why == NULL) {
        const char *comma = find_char(start, end, ',');

        if (url->host_count == REDIS_URL_HOSTS_MAX) {
            return "it has more than 8 Sentinels";
        }
        why = parse_host(start, comma, SENTINEL_PORT_DEFAULT, &url->hosts[url->host_count++]);
        if (comma == end) {
            break;
        }
        start = comma + 1;
    }
    return why;
}

static const char *parse_authority(const char *start, const char *end, bool has_sentinels,
                                   struct redis_url *url)
{
    const char *at = memrchr(start, '@', (size_t)(end - start)); /* a password may hold another */
    const char *host = at == NULL ? start : at + 1;

    if (at != NULL && !parse_userinfo(start, at, url)) {
        return "before '@' stands no [user]:password of up to 2048 bytes each; write '%' as %25";
    }
    if (has_sentinels) {
        return parse_sentinels(host, end, url);
    }
    if (find_char(host, end, ',') < end) {
        return "it has several hosts; FastStock uses one Redis, not a cluster (of several "
               "Sentinels the URL begins with redis+sentinel://)";
    }
    url->host_count = 1;
    return parse_host(host, end, PORT_DEFAULT, &url->hosts[0]);
}

/* Behind the scheme; NULL for an unknown one. */
static const char *skip_scheme(const char *text, bool *ret_is_tls, bool *ret_has_sentinels)
{
    static const struct {
        const char *text;
        bool is_tls;
        bool has_sentinels;
    } schemes[] = {
        {"redis://", false, false},
        {"rediss://", true, false},
        {"redis+sentinel://", false, true},
        {"rediss+sentinel://", true, true},
    };

    for (size_t i = 0; i < FS_ARRAY_LEN(schemes); i++) {
        size_t len = strlen(schemes[i].text);

        if (strncmp(text, schemes[i].text, len) == 0) {
            *ret_is_tls = schemes[i].is_tls;
            *ret_has_sentinels = schemes[i].has_sentinels;
            return text + len;
        }
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
    struct redis_url url = {.host_count = 0};
    bool has_sentinels = false;
    const char *start = skip_scheme(text, &url.is_tls, &has_sentinels);
    const char *why = "the scheme is none of redis://, rediss://, redis+sentinel:// and "
                      "rediss+sentinel://";

    if (start != NULL) {
        const char *end = start + strcspn(start, "/?#");

        why = parse_authority(start, end, has_sentinels, &url);
        why = why == NULL ? parse_path(end, has_sentinels, &url) : why;
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
    .expected = "redis[s]://[[user]:password@]host[:port][/database] or redis[s]+sentinel://"
                "[[user]:password@]host[:port][,host[:port]...]/master[/database]",
    .is_valid = redis_url_is_valid,
    .redact = url_redact,
};

static bool replica_url_is_valid(const char *url, char ret_why[CONFIG_WHY_SIZE])
{
    struct redis_url parsed;

    if (!redis_url_is_valid(url, ret_why)) {
        return false;
    }
    if (url_parse_redis(url, &parsed, ret_why, CONFIG_WHY_SIZE) && parsed.master[0] != '\0') {
        snprintf(ret_why, CONFIG_WHY_SIZE,
                 "Sentinels are asked for the master only; give the host of the replica, or a name "
                 "that leads to the replicas");
        return false;
    }
    return true;
}

const struct config_url_kind redis_replica_url_kind = {
    .expected = "redis[s]://[[user]:password@]host[:port][/database]",
    .is_valid = replica_url_is_valid,
    .redact = url_redact,
};
