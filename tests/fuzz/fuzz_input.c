/* What clients and Redis send: the first byte chooses the reader, the rest is read. */
#include "fuzz.h"

#include "common/base/json.h"
#include "common/base/parse.h"
#include "common/http/message.h"
#include "common/products/product.h"
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

static void read_json(const char *bytes, size_t len)
{
    struct json_field fields[] = {
        {.name = "stock", .type = JSON_FIELD_INT, .min = 0, .max = PARSE_JSON_INT_MAX},
        {.name = "any", .type = JSON_FIELD_INT, .min = INT64_MIN, .max = INT64_MAX},
        {.name = "reason", .type = JSON_FIELD_STRING, .min = 1, .max = 10},
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
    must(product->version >= 0 && product->stock >= 0 && product->read_us >= 0);
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
    enum etag_match strong = parse_etag_list(text, 7, false);
    enum etag_match weak = parse_etag_list(text, 7, true);
    int64_t version = 0;
    enum etag_match one = parse_if_match(text, &version);

    must(strong == weak || (strong == ETAG_NONE && weak == ETAG_FOUND));
    must(one != ETAG_FOUND || (version > 0 && parse_etag_list(text, version, false) == ETAG_FOUND));
    must((one == ETAG_ANY) == (strong == ETAG_ANY));
}

static void read_head(const char *text)
{
    struct http_request request = {.headers = {{"X-Request-Id", text}, {"traceparent", text}},
                                   .header_count = 2};

    http_identify(&request);
    must(*request.id != '\0' && strlen(request.id) < HTTP_REQUEST_ID_SIZE);
    must(strlen(request.trace_id) == 0 || strlen(request.trace_id) == HTTP_TRACE_ID_SIZE - 1);
}

static void read_url(const char *text)
{
    struct redis_url url;
    char error[64] = "";
    char shown[64];

    url_redact(text, shown, sizeof(shown));
    must(strlen(shown) < sizeof(shown));
    if (url_parse_redis(text, &url, error, sizeof(error))) {
        must(*url.host != '\0' && url.port > 0 && url.port < 65536 && url.database >= 0);
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const of_text[])(const char *text) = {read_query, read_etags, read_head, read_url,
                                                        write_json};
    static void (*const of_bytes[])(const char *bytes, size_t len) = {read_json, decode_product};
    size_t choices = sizeof(of_text) / sizeof(of_text[0]) + sizeof(of_bytes) / sizeof(of_bytes[0]);
    size_t choice;
    size_t len;
    char *copy;

    if (size == 0) {
        return 0;
    }
    choice = (size_t)(data[0] - '0') % choices; /* '0' to '6' in a seed */
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
