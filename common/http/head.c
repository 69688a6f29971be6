#include "common/http/head.h"

#include "common/base/parse.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#define LINE_EXTRA_BYTES 4 /* of a header line: ": " and CR LF */
#define LETTERS_AND_DIGITS "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

void head_begin(struct head_reader *reader, struct http_request *request, const char *version)
{
    *reader = (struct head_reader){
        .request = request,
        .line = version + strlen(version) + 2, /* behind CR LF */
        .bytes = strlen(request->method) + strlen(request->path) + strlen(request->query),
        .is_plain = true,
        .is_short = true,
    };
}

void head_add(struct head_reader *reader, const char *name, char *value)
{
    size_t name_len = strlen(name);
    size_t value_len = strlen(value);
    const char *behind = name + name_len + 1;

    /* the line begins where the one before has ended, and no blank stood before its colon */
    if (name != reader->line || reader->line[-1] != '\0' || (value > behind && *behind == '\0')) {
        reader->is_plain = false;
    }
    reader->line = value + value_len + 2;
    reader->bytes += name_len + value_len + LINE_EXTRA_BYTES;
    while (value_len > 0 && (value[value_len - 1] == ' ' || value[value_len - 1] == '\t')) {
        value[--value_len] = '\0';
    }
    if (!http_request_add(reader->request, name, name_len, value, value_len)) {
        reader->is_short = false;
    }
}

void head_end(struct head_reader *reader)
{
    const char *line = reader->line;

    if (reader->is_plain) {
        reader->is_plain = line[-1] == '\0' &&
                           line[0] == (reader->request->header_count > 0 ? '\r' : '\0') &&
                           line[1] == '\0';
    }
}

size_t head_len(const struct head_reader *reader)
{
    return (size_t)(reader->line + 2 - reader->request->method);
}

enum head_fault head_fault(const struct head_reader *reader, const char *version)
{
    const struct http_request *request = reader->request;
    size_t hosts = http_header_count(request, HTTP_HOST);

    if (!reader->is_short || request->header_count == HTTP_HEADERS_MAX ||
        reader->bytes > HEAD_BYTES_MAX) {
        return HEAD_TOO_LARGE;
    }
    if (hosts > 1 || (hosts == 0 && strcmp(version, "1.0") != 0)) {
        return HEAD_BAD_HOST;
    }
    if (!parse_is_utf8(request->path, strlen(request->path))) {
        return HEAD_BAD_PATH;
    }
    return reader->is_plain ? HEAD_IS_PLAIN : HEAD_BAD_LINE;
}

bool head_stands_again(const char *method, const char *bytes, size_t len)
{
    size_t method_size = strlen(method) + 1; /* with its NUL */

    while (len > 0 && (*bytes == '\r' || *bytes == '\n')) {
        bytes++;
        len--;
    }
    return len > 0 && memcmp(bytes, method, len < method_size ? len : method_size) == 0;
}

bool head_set_target(struct http_request *request, char *target)
{
    char *query;

    if (strncasecmp(target, "http://", 7) == 0 && target[7] != '/' && target[7] != '\0') {
        target += 7 + strcspn(target + 7, "/?");
    } else if (strncasecmp(target, "https://", 8) == 0 && target[8] != '/' && target[8] != '\0') {
        target += 8 + strcspn(target + 8, "/?");
    } else if (*target != '/' && strcmp(target, "*") != 0) {
        return false;
    }
    query = strchr(target, '?');
    if (query != NULL) {
        *query = '\0';
    }
    request->path = *target == '\0' ? "/" : target; /* an absolute form may have no path */
    request->query = query == NULL ? "" : query + 1;
    return true;
}

/* --- headers that the library did not parse --------------------------------------------------- */

/* Ends the line at *p and moves *p behind it; NULL when CR LF does not come, or a control character
 * before it. */
static char *cut_line(char **p)
{
    char *line = *p;
    char *end = line;

    while (!iscntrl((unsigned char)*end) || *end == '\t') {
        end++;
    }
    if (end[0] != '\r' || end[1] != '\n') {
        return NULL;
    }
    *end = '\0';
    *p = end + 2;
    return line;
}

/* One "Name: value". */
static bool cut_header(struct http_request *request, char *line)
{
    size_t name_len = http_token_len(line);
    char *value = line + name_len + 1;
    size_t value_len;

    if (name_len == 0 || line[name_len] != ':') {
        return false;
    }
    line[name_len] = '\0';
    value += strspn(value, " \t");
    value_len = strlen(value);
    while (value_len > 0 && strchr(" \t", value[value_len - 1]) != NULL) {
        value[--value_len] = '\0';
    }
    return http_request_add(request, line, name_len, value, value_len);
}

bool head_read_lines(struct http_request *request, char *lines)
{
    char *p = lines;

    while (*p != '\r' && *p != '\0') {
        char *line = cut_line(&p);

        if (line == NULL || !cut_header(request, line)) {
            return false;
        }
    }
    return p == lines ? *p == '\0' : strcmp(p, "\r") == 0 || strcmp(p, "\r\n") == 0;
}

/* --- plain requests --------------------------------------------------------------------------- */

/* Cuts "GET /path?query HTTP/1.1" CR LF up. Returns what stands behind it, or NULL when it is not
 * of this form. */
static char *cut_plain_line(struct http_request *request, char *line)
{
    static const char last[] = " HTTP/1.1\r\n";
    char *path = line + 4;
    char *path_end;
    char *query = NULL;
    char *end;

    if (strncmp(line, "GET /", 5) != 0) {
        return NULL;
    }
    end = path_end = path + strspn(path, "/-_" LETTERS_AND_DIGITS);
    if (*path_end == '?') {
        query = path_end + 1;
        end = query + strspn(query, "/-_.,:=&+*" LETTERS_AND_DIGITS);
    }
    if (strncmp(end, last, sizeof(last) - 1) != 0) {
        return NULL;
    }
    line[3] = *path_end = *end = '\0';
    http_request_init(request, line, path, query == NULL ? "" : query);
    return end + sizeof(last) - 1;
}

/* Has it no body, and does the connection go on behind it? */
static bool is_alone(const struct http_request *request)
{
    const char *connection = http_header(request, HTTP_CONNECTION);

    return http_header_count(request, HTTP_CONTENT_LENGTH) == 0 &&
           http_header_count(request, HTTP_TRANSFER_ENCODING) == 0 &&
           http_header_count(request, HTTP_EXPECT) == 0 &&
           http_header_count(request, HTTP_CONNECTION) <= 1 &&
           (connection == NULL || strcasecmp(connection, "keep-alive") == 0);
}

size_t head_read_plain_get(struct http_request *request, char *bytes, size_t len)
{
    char *end = memmem(bytes, len, "\r\n\r\n", 4);
    char *lines;

    if (end == NULL || end - bytes > HEAD_BYTES_MAX ||
        memchr(bytes, '\t', (size_t)(end - bytes)) != NULL) { /* the library takes no tab */
        return 0;
    }
    end[3] = '\0';
    lines = cut_plain_line(request, bytes);
    if (lines == NULL || !head_read_lines(request, lines) || !is_alone(request) ||
        http_header_count(request, HTTP_HOST) != 1 || request->header_count == HTTP_HEADERS_MAX) {
        return 0;
    }
    return (size_t)(end + 4 - bytes);
}
