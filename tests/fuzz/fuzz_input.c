/* Texts that clients and Redis send: the first byte chooses the reader, the rest is read. */
#include "fuzz.h"

#include "read-svc/feed_cursor.h"

#include "common/base/json.h"
#include "common/base/parse.h"
#include "common/http/cache_control.h"
#include "common/http/content.h"
#include "common/http/etag.h"
#include "common/http/head.h"
#include "common/http/post.h"
#include "common/http/problem.h"
#include "common/http/query.h"
#include "common/products/product.h"
#include "common/service/otlp.h"
#include "common/stores/url.h"

#include <jansson.h>
#include <stdbool.h>
#include <string.h>

static bool is_json_object(const struct strbuf *text)
{
    json_t *object = json_loadb(text->text, text->len, JSON_REJECT_DUPLICATES, NULL);
    bool ok = json_is_object(object);

    json_decref(object);
    return ok;
}

/* Each object of a list that was taken keeps to its fields. */
static void check_items(const struct json_field *list)
{
    must(list->present == (list->item_count > 0) && list->item_count <= 3);
    for (size_t i = 0; i < list->item_count; i++) {
        const struct json_field *item = json_item(list, i);

        must(item[0].integer >= 0 && item[0].integer <= 9);
        must(item[1].present == (item[1].string != NULL));
        must(!item[1].present || parse_is_utf8(item[1].string, strlen(item[1].string)));
    }
}

static void read_json(const char *bytes, size_t len)
{
    static const struct json_field item[] = {
        {.name = "id", .type = JSON_FIELD_INT, .min = 1, .max = 9},
        {.name = "note", .type = JSON_FIELD_STRING, .min = 1, .max = 10},
        {.name = NULL},
    };
    struct json_field fields[] = {
        {.name = "stock", .type = JSON_FIELD_INT, .min = 0, .max = PARSE_JSON_INT_MAX},
        {.name = "any", .type = JSON_FIELD_INT, .min = INT64_MIN, .max = INT64_MAX},
        {.name = "reason", .type = JSON_FIELD_STRING, .min = 1, .max = 10},
        {.name = "items", .type = JSON_FIELD_OBJECTS, .min = 1, .max = 3, .item_fields = item},
        {.name = "atomic", .type = JSON_FIELD_BOOL},
        {.name = "price", .type = JSON_FIELD_MONEY, .min = 0, .max = 999999999999},
        {.name = "sku", .type = JSON_FIELD_STRING, .min = 1, .max = 64, .is_nullable = true},
        {.name = NULL},
    };
    struct json_problem problem;
    struct http_request request = {.id = "fuzz"};
    struct http_response response = {.status = 0};

    if (json_read_object(bytes, len, fields, &problem)) {
        must(parse_is_utf8(bytes, len));
        must(fields[0].integer >= 0 && fields[0].integer <= PARSE_JSON_INT_MAX);
        must(fields[2].present == (fields[2].string != NULL));
        must(!fields[2].present || (*fields[2].string != '\0' && strlen(fields[2].string) <= 40));
        must(!fields[2].present || parse_is_utf8(fields[2].string, strlen(fields[2].string)));
        check_items(&fields[3]);
        must(fields[5].integer >= 0 && fields[5].integer <= 999999999999);
    } else { /* the way it is told to the client */
        must(*problem.detail != '\0');
        http_bad_field(&request, &response, problem.field, problem.detail);
        must(is_json_object(&response.body));
    }
    json_fields_finish(fields);
    strbuf_finish(&response.headers);
    strbuf_finish(&response.body);
}

static void decode_product(const char *bytes, size_t len)
{
    struct product *product = product_decode(7, bytes, len);
    struct strbuf again = STRBUF_EMPTY;

    if (product == NULL) {
        return;
    }
    must(product->version >= 0 && product->stock >= 0 && product->read.us >= 0);
    must((product->state == PRODUCT_PRESENT) == (product->json_len > 0));
    product_encode(product, &again); /* there is one form only */
    must(again.len == len && memcmp(again.text, bytes, len) == 0);
    strbuf_finish(&again);
    product_unref(product);
}

static void read_query(const char *text)
{
    struct http_query_param params[] = {{.name = "page"}, {.name = "ids"}, {.name = NULL}};
    struct http_request request = {.query = text, .id = "fuzz"};
    struct http_response response = {.status = 0};

    if (http_read_query(&request, params, &response)) {
        must(response.status == 0);
    } else {
        must(response.status == 400 && is_json_object(&response.body));
    }
    for (const struct http_query_param *p = params; p->name != NULL; p++) {
        must(p->value == NULL || (strlen(p->value) == p->len && parse_is_utf8(p->value, p->len)));
    }
    http_query_finish(params);
    strbuf_finish(&response.headers);
    strbuf_finish(&response.body);
}

static void read_etags(const char *text)
{
    struct http_request request;
    int64_t first = 0;
    int64_t version = 0;
    enum etag_match strong = etag_match_list(text, 7, false, &first);
    enum etag_match weak = etag_match_list(text, 7, true, &first);
    enum etag_match one;

    http_request_init(&request, "POST", "/", "");
    http_request_add(&request, "If-Match", 8, text, strlen(text));
    one = http_if_match(&request, 7, &version);
    must(strong == weak || (strong == ETAG_NONE && weak == ETAG_FOUND));
    must(one == strong);
    must(version == 0 || http_if_match(&request, version, NULL) == ETAG_FOUND);
}

/* A list that is split over two lines in front of a comma asks for the same. */
static void check_split(const char *text, const struct http_cache_control *whole)
{
    const char *comma = strchr(text, ',');
    char *first =
        comma == NULL || strchr(text, '"') != NULL ? NULL : strndup(text, (size_t)(comma - text));
    struct http_request request;
    struct http_cache_control split;

    if (first == NULL) {
        return;
    }
    http_request_init(&request, "GET", "/", "");
    http_request_add(&request, "Cache-Control", 13, first, strlen(first));
    http_request_add(&request, "Cache-Control", 13, comma, strlen(comma));
    split = http_cache_control(&request);
    /* one unreadable line ends early, of two the second is read as well: never less strict */
    must(whole->max_age_s == 0 || split.max_age_s == whole->max_age_s);
    must(whole->max_age_s == 0 || split.max_stale_s == whole->max_stale_s);
    must(split.only_if_cached || !whole->only_if_cached);
    free(first);
}

static void read_cache_control(const char *text)
{
    struct http_request request;
    struct http_cache_control asked;

    http_request_init(&request, "GET", "/", "");
    http_request_add(&request, "Cache-Control", 13, text, strlen(text));
    asked = http_cache_control(&request);
    must(asked.max_age_s >= -1 && asked.max_age_s <= HTTP_CACHE_CONTROL_MAX_S);
    must(asked.max_stale_s >= -1 &&
         (asked.max_stale_s <= HTTP_CACHE_CONTROL_MAX_S || asked.max_stale_s == INT64_MAX));
    must(!asked.no_cache || asked.max_age_s == 0);
    check_split(text, &asked);
}

/* Content-Type and others, which come as one text. */
static void read_headers(const char *text)
{
    static const char *const names[] = {"X-Request-Id", "traceparent",      "Content-Type",
                                        "Expect",       "Content-Encoding", "Content-Length"};
    struct http_request request;
    struct http_response response = {.status = 0};
    size_t len = 0;

    http_request_init(&request, "POST", "/", "");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        must(http_request_add(&request, names[i], strlen(names[i]), text, strlen(text)));
    }
    http_identify(&request);
    must(*request.id != '\0' && strlen(request.id) < HTTP_REQUEST_ID_SIZE);
    must(strlen(request.trace_id) == 0 || strlen(request.trace_id) == TRACE_ID_SIZE - 1);
    must(http_check_json(&request, &response) == (response.status == 0));
    http_response_reset(&response);
    must(http_content_length(&request, 100, &response, &len) == (response.status == 0));
    must(len <= 100);
    http_response_finish(&response);
}

/* Header lines as they came: each that is taken stands in the text. */
static void read_lines(const char *text)
{
    struct http_request request;
    struct strbuf again = STRBUF_EMPTY;
    char *copy = strdup(text);

    must(copy != NULL);
    http_request_init(&request, "PURGE", "/", "");
    if (head_read_lines(&request, copy)) {
        for (size_t i = 0; i < request.header_count; i++) {
            const struct http_header *header = &request.headers[i];

            must(strlen(header->name) == header->name_len && header->name_len > 0);
            must(strlen(header->value) == header->value_len);
            strbuf_clear(&again);
            strbuf_addf(&again, "%s:", header->name);
            must(strstr(text, again.text) != NULL && strstr(text, header->value) != NULL);
        }
    }
    strbuf_finish(&again);
    free(copy);
}

/* "http://host/path?query" and the like. */
static void read_target(const char *text)
{
    struct http_request request;
    char *copy = strdup(text);

    must(copy != NULL);
    http_request_init(&request, "GET", "", "");
    if (head_set_target(&request, copy)) {
        must(*request.path == '/' || strcmp(request.path, "*") == 0);
        must(strchr(request.path, '?') == NULL);
    }
    free(copy);
}

/* Cuts lines as the HTTP library does: it is lenient, and stops at the first line that it cannot
 * read. Returns how many headers it shows. */
static size_t cut_like_the_library(char *p, struct http_header headers[HTTP_HEADERS_MAX])
{
    size_t count = 0;

    while (count < HTTP_HEADERS_MAX) {
        char *name = p;

        while (*p > ' ' && *p < 127 && *p != ':') {
            p++;
        }
        if (p == name) {
            break;
        }
        while (*p == ' ') {
            *p++ = '\0';
        }
        if (*p != ':') {
            break;
        }
        *p++ = '\0';
        p += strspn(p, " \t");
        headers[count++] = (struct http_header){.name = name, .value = p};
        p += strcspn(p, "\r\n");
        if (p[0] == '\r' && p[1] == '\n') {
            *p++ = '\0';
        }
        if (*p != '\n') {
            break;
        }
        *p++ = '\0';
    }
    return count;
}

/* A head of which the library shows a part: when it is called plain, the headers are all of it. */
static void check_head(const char *text)
{
    struct http_header headers[HTTP_HEADERS_MAX];
    struct head_reader reader;
    struct http_request request;
    struct strbuf again = STRBUF_EMPTY;
    size_t len = strlen(text);
    char *copy = calloc(1, len + 16); /* "1.1" and two NULs, the lines, and room behind them */
    size_t count;

    must(copy != NULL);
    memcpy(copy, "1.1\0\0", 5);
    memcpy(copy + 5, text, len);
    count = cut_like_the_library(copy + 5, headers);
    http_request_init(&request, "GET", "/", "");
    head_begin(&reader, &request, copy);
    for (size_t i = 0; i < count; i++) {
        size_t value_at = (size_t)(headers[i].value - copy - 5);

        strbuf_addf(&again, "%.*s", (int)(value_at - (size_t)(headers[i].name - copy - 5)),
                    text + (headers[i].name - copy - 5));
        strbuf_addf(&again, "%s\r\n", headers[i].value);
        head_add(&reader, headers[i].name, (char *)headers[i].value);
    }
    head_end(&reader);
    if (head_fault(&reader, copy) == HEAD_IS_PLAIN) {
        strbuf_adds(&again, "\r");
        must(strcmp(again.text, text) == 0);
    }
    strbuf_finish(&again);
    free(copy);
}

/* A plain GET is one for the library too, and both show the same headers. */
static void check_plain_get(const char *text)
{
    struct http_header headers[HTTP_HEADERS_MAX];
    struct head_reader reader;
    struct http_request request;
    struct http_request again;
    char *copy = strdup(text);
    size_t len = strlen(text);
    size_t taken;

    must(copy != NULL);
    taken = head_read_plain_get(&request, copy, len);
    if (taken > 0) {
        char *other = strdup(text);
        char *version = strstr(other, "1.1\r\n");

        must(taken <= len && memcmp(text + taken - 4, "\r\n\r\n", 4) == 0);
        must(*request.path == '/' && strncmp(text + 4, request.path, strlen(request.path)) == 0);
        other[taken - 1] = version[3] = version[4] = '\0';
        must(cut_like_the_library(version + 5, headers) == request.header_count);
        http_request_init(&again, "GET", request.path, request.query);
        head_begin(&reader, &again, version);
        for (size_t i = 0; i < request.header_count; i++) {
            head_add(&reader, headers[i].name, (char *)headers[i].value);
            must(strcmp(headers[i].name, request.headers[i].name) == 0);
            must(strcmp(headers[i].value, request.headers[i].value) == 0);
        }
        head_end(&reader);
        must(head_fault(&reader, version) == HEAD_IS_PLAIN);
        free(other);
    }
    free(copy);
}

static void read_url(const char *text)
{
    struct redis_url url;
    char error[64] = "";
    char shown[64];

    url_redact(text, shown, sizeof(shown));
    must(strlen(shown) < sizeof(shown));
    if (url_parse_redis(text, &url, error, sizeof(error))) {
        must(url.host_count > 0 && url.host_count <= REDIS_URL_HOSTS_MAX && url.database >= 0);
        must(url.host_count == 1 || *url.master != '\0');
        for (size_t i = 0; i < url.host_count; i++) {
            must(*url.hosts[i].name != '\0');
            must(url.hosts[i].port > 0 && url.hosts[i].port < 65536);
        }
    } else {
        must(*error != '\0');
    }
}

static void write_json(const char *text)
{
    struct strbuf json = STRBUF_EMPTY;

    strbuf_adds(&json, "{\"x\":");
    json_add_string(&json, text);
    strbuf_addc(&json, '}');
    must(is_json_object(&json));
    strbuf_finish(&json);
}

/* The one text of this cursor, and ranges in order. */
static void read_cursor(const char *text)
{
    struct feed_cursor cursor;
    struct feed_range *ranges;
    struct strbuf again = STRBUF_EMPTY;
    size_t count;

    if (!feed_cursor_parse(text, strlen(text), &cursor)) {
        return;
    }
    feed_cursor_add(&again, &cursor);
    must(strcmp(again.text, text) == 0);
    count = feed_cursor_ranges(&cursor, &ranges);
    for (size_t i = 0; i < count; i++) {
        must(ranges[i].first <= ranges[i].last);
        must(i == 0 || ranges[i].first > ranges[i - 1].last);
    }
    strbuf_finish(&again);
    free(ranges);
    feed_cursor_finish(&cursor);
}

/* A collector's URL, and the answer of one: what is taken has the form that was asked for. */
static void read_collector(const char *text)
{
    struct post_target target;
    struct post_answer answer = {.status = 0};
    char why[CONFIG_WHY_SIZE];

    if (post_parse_url(text, &target, why)) {
        must(strncmp(text, "http://", 7) == 0 && strstr(text, target.host) != NULL);
        must(target.port >= 1 && target.port <= 65535 && strstr(text, target.path) != NULL);
    }
    if (post_read_answer(text, strlen(text), &answer)) {
        must(answer.status >= 100 && answer.status <= 599 && answer.body.len < strlen(text));
        must(answer.retry_ms >= -1 && otlp_rejected_spans(strbuf_text(&answer.body)) >= 0);
    }
    strbuf_finish(&answer.body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const of_text[])(const char *text) = {
        read_query, read_etags, read_headers, read_url,    write_json,
        read_lines, check_head, read_target,  read_cursor, read_cache_control, check_plain_get,
        read_collector};
    static void (*const of_bytes[])(const char *bytes, size_t len) = {read_json, decode_product};
    size_t choices = sizeof(of_text) / sizeof(of_text[0]) + sizeof(of_bytes) / sizeof(of_bytes[0]);
    size_t choice;
    size_t len;
    char *copy;

    if (size == 0) {
        return 0;
    }
    choice = (size_t)(data[0] - '0') % choices; /* '0' to '=' in a seed */
    len = size - 1;
    if (choice < sizeof(of_bytes) / sizeof(of_bytes[0])) {
        copy = malloc(
            len > 0 ? len : 1); /* of exactly that size, so that a look beyond the end is seen */
        must(copy != NULL);
        memcpy(copy, data + 1, len);
        of_bytes[choice](copy, len);
    } else {
        copy = strndup((const char *)data + 1, len);
        must(copy != NULL);
        of_text[choice - sizeof(of_bytes) / sizeof(of_bytes[0])](copy);
    }
    free(copy);
    return 0;
}
