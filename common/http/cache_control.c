#include "common/http/cache_control.h"

#include <string.h>
#include <strings.h>

#define NONE (-1)
#define ANY INT64_MAX

/* A directive as it stands in a line; `value` is without quotes. */
struct directive {
    struct http_text name;
    bool has_value;
    struct http_text value;
};

/* --- reading ---------------------------------------------------------------------------------- */

/* Behind the quoted string whose text begins at p, or NULL when it does not end. */
static const char *end_of_quoted(const char *p)
{
    for (; *p != '"'; p++) {
        if (*p == '\\') {
            p++;
        }
        if (*p == '\0') {
            return NULL;
        }
    }
    return p + 1;
}

/* A token or a quoted string at *p, and moves *p behind it. An escape in a string is left as it is:
 * no value that counts has one. */
static bool read_value(const char **p, struct http_text *ret_value)
{
    size_t len = http_token_len(*p);
    const char *end;

    if (**p != '"') {
        *ret_value = (struct http_text){*p, len};
        *p += len;
        return len > 0;
    }
    end = end_of_quoted(*p + 1);
    if (end == NULL) {
        return false;
    }
    *ret_value = (struct http_text){*p + 1, (size_t)(end - *p - 2)};
    *p = end;
    return true;
}

/* The directive at *p, and moves *p behind it. */
static bool read_directive(const char **p, struct directive *ret_directive)
{
    size_t len = http_token_len(*p);

    *ret_directive = (struct directive){.name = {*p, len}};
    *p += len;
    if (len == 0 || **p != '=') {
        return len > 0;
    }
    ret_directive->has_value = true;
    (*p)++;
    return read_value(p, &ret_directive->value);
}

/* Whole seconds (RFC 9111 section 1.2.2). */
static bool read_seconds(const struct directive *directive, int64_t *ret_seconds)
{
    int64_t seconds = 0;

    if (!directive->has_value || directive->value.len == 0) {
        return false;
    }
    for (size_t i = 0; i < directive->value.len; i++) {
        char c = directive->value.start[i];

        if (c < '0' || c > '9') {
            return false;
        }
        seconds = seconds * 10 + (c - '0');
        if (seconds > HTTP_CACHE_CONTROL_MAX_S) {
            seconds = HTTP_CACHE_CONTROL_MAX_S;
        }
    }
    *ret_seconds = seconds;
    return true;
}

/* --- directives ------------------------------------------------------------------------------- */

/* What was read so far. */
struct reading {
    struct http_cache_control asked;
    bool is_max_age_in_doubt;
    bool is_max_stale_in_doubt;
};

static bool is_named(const struct directive *directive, const char *name)
{
    return directive->name.len == strlen(name) &&
           strncasecmp(directive->name.start, name, directive->name.len) == 0;
}

/* Sets *seconds, unless it was set to something else before: then it is in doubt. */
static void take_seconds(int64_t value, int64_t *seconds, bool *is_in_doubt)
{
    *is_in_doubt = *is_in_doubt || (*seconds != NONE && *seconds != value);
    *seconds = value;
}

static void take_max_age(struct reading *reading, const struct directive *directive)
{
    int64_t seconds = 0;

    if (!read_seconds(directive, &seconds)) {
        reading->is_max_age_in_doubt = true;
    }
    take_seconds(seconds, &reading->asked.max_age_s, &reading->is_max_age_in_doubt);
}

static void take_max_stale(struct reading *reading, const struct directive *directive)
{
    int64_t seconds = ANY; /* without a value */

    if (directive->has_value && !read_seconds(directive, &seconds)) {
        reading->is_max_stale_in_doubt = true;
    }
    take_seconds(seconds, &reading->asked.max_stale_s, &reading->is_max_stale_in_doubt);
}

static void take(struct reading *reading, const struct directive *directive)
{
    if (is_named(directive, "max-age")) {
        take_max_age(reading, directive);
    } else if (is_named(directive, "max-stale")) {
        take_max_stale(reading, directive);
    } else if (is_named(directive, "no-cache")) {
        reading->asked.no_cache = true;
    } else if (is_named(directive, "only-if-cached")) {
        reading->asked.only_if_cached = true;
    }
}

/* One line: a list, in which elements may be empty (RFC 9110 section 5.6.1.2). */
static bool take_line(struct reading *reading, const char *p)
{
    static const char between[] = " \t,";

    p += strspn(p, between);
    while (*p != '\0') {
        struct directive directive;

        if (!read_directive(&p, &directive)) {
            return false;
        }
        take(reading, &directive);
        p += strspn(p, " \t");
        if (*p != '\0' && *p != ',') {
            return false;
        }
        p += strspn(p, between);
    }
    return true;
}

struct http_cache_control http_cache_control(const struct http_request *request)
{
    const struct http_header *header = http_header_first(request, HTTP_CACHE_CONTROL);
    struct reading reading = {.asked = {.max_age_s = NONE, .max_stale_s = NONE}};

    for (; header != NULL; header = http_header_next(request, header)) {
        if (!take_line(&reading, header->value)) {
            reading.is_max_age_in_doubt = true;
            reading.is_max_stale_in_doubt = true;
        }
    }
    if (reading.asked.no_cache || reading.is_max_age_in_doubt) {
        reading.asked.max_age_s = 0;
    }
    if (reading.is_max_stale_in_doubt) {
        reading.asked.max_stale_s = NONE;
    }
    return reading.asked;
}
