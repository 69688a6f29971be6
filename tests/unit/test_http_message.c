#include "support.h"

#include "common/base/alloc.h"
#include "common/base/parse.h"
#include "common/http/message.h"
#include "common/http/problem.h"
#include "common/http/query.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define TRACE_ID "0af7651916cd43dd8448eb211c80319c"
#define SPAN_ID "b7ad6b7169203331"

static void finish(struct http_response *response)
{
    strbuf_finish(&response->headers);
    strbuf_finish(&response->body);
}

static void add(struct http_request *request, const char *name, const char *value)
{
    assert_true(http_request_add(request, name, strlen(name), value, strlen(value)));
}

static struct http_request request_with(const char *name, const char *value)
{
    struct http_request request;

    http_request_init(&request, "GET", "/", "");
    add(&request, "Host", "h");
    if (name != NULL) {
        add(&request, name, value);
    }
    memcpy(request.id, "req-1", 6);
    return request;
}

/* --- headers ---------------------------------------------------------------------------------- */

static void test_headers_are_found_by_any_case(void **state)
{
    struct http_request request = request_with("If-Match", "1");
    const struct http_header *header;

    (void)state;
    add(&request, "If-Matc", "x");
    add(&request, "if-match", "2");
    add(&request, "If-Match2", "x");
    add(&request, "IF-MATCH", "");
    assert_string_equal(http_header(&request, HTTP_IF_MATCH), "1");
    assert_string_equal(http_header(&request, HTTP_HOST), "h");
    assert_null(http_header(&request, HTTP_CONNECTION));
    assert_int_equal(http_header_count(&request, HTTP_IF_MATCH), 3);
    assert_int_equal(http_header_count(&request, HTTP_CONNECTION), 0);
    header = http_header_first(&request, HTTP_IF_MATCH);
    assert_int_equal(header->value_len, 1);
    header = http_header_next(&request, header);
    assert_string_equal(header->value, "2");
    header = http_header_next(&request, header);
    assert_string_equal(header->value, "");
    assert_null(http_header_next(&request, header));
    assert_null(http_header_first(&request, HTTP_CONNECTION));
}

/* Each name that the services read is known, and no name that only resembles it. */
static void test_known_names(void **state)
{
    static const struct {
        const char *text;
        enum http_name name;
    } rows[] = {
        {"Authorization", HTTP_AUTHORIZATION},
        {"cache-control", HTTP_CACHE_CONTROL},
        {"Connection", HTTP_CONNECTION},
        {"content-encoding", HTTP_CONTENT_ENCODING},
        {"CONTENT-LENGTH", HTTP_CONTENT_LENGTH},
        {"Content-Type", HTTP_CONTENT_TYPE},
        {"Expect", HTTP_EXPECT},
        {"Host", HTTP_HOST},
        {"Idempotency-Key", HTTP_IDEMPOTENCY_KEY},
        {"If-Match", HTTP_IF_MATCH},
        {"If-None-Match", HTTP_IF_NONE_MATCH},
        {"Min-Version", HTTP_MIN_VERSION},
        {"Traceparent", HTTP_TRACEPARENT},
        {"Transfer-Encoding", HTTP_TRANSFER_ENCODING},
        {"X-Request-ID", HTTP_X_REQUEST_ID},
        {"X-Request-If", HTTP_OTHER_NAME},
        {"Hos", HTTP_OTHER_NAME},
        {"Hostt", HTTP_OTHER_NAME},
        {"", HTTP_OTHER_NAME},
    };

    (void)state;
    assert_int_equal(FS_ARRAY_LEN(rows), HTTP_NAMES - 1 + 4);
    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        struct http_request request;

        http_request_init(&request, "GET", "/", "");
        add(&request, rows[i].text, "v");
        check_row(http_header_count(&request, rows[i].name) == 1, "%s", rows[i].text);
    }
}

static void test_there_is_room_for_so_many_headers(void **state)
{
    struct http_request request;

    (void)state;
    http_request_init(&request, "GET", "/", "");
    for (size_t i = 0; i < HTTP_HEADERS_MAX; i++) {
        add(&request, "Expect", "v");
    }
    assert_false(http_request_add(&request, "Host", 4, "h", 1));
    assert_int_equal(http_header_count(&request, HTTP_EXPECT), HTTP_HEADERS_MAX);
    assert_null(http_header(&request, HTTP_HOST));
}

static void test_added_headers(void **state)
{
    struct http_response response = {.status = 0};

    (void)state;
    http_add_header(&response, "ETag", "\"7\"");
    http_add_header(&response, "Allow", "");
    assert_string_equal(response.headers.text, "ETag: \"7\"\r\nAllow: \r\n");
    finish(&response);
}

/* --- who asks --------------------------------------------------------------------------------- */

static void test_request_ids_are_taken(void **state)
{
    char longest[129];
    const char *const rows[] = {
        "a", "0", "-", "AZaz09._-", "3f2b8c1e-77aa-4c1d-9d1e-0123456789ab", longest};

    (void)state;
    memset(longest, 'x', 128);
    longest[128] = '\0';
    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        struct http_request request = request_with("x-request-id", rows[i]);

        http_identify(&request);
        assert_string_equal(request.id, rows[i]);
    }
}

static void check_made_up(const char *id)
{
    assert_int_equal(strlen(id), 32);
    assert_int_equal(strspn(id, "0123456789abcdef"), 32);
}

static void test_unusable_request_ids_are_replaced(void **state)
{
    char too_long[130];
    const char *const rows[] = {"",    " ",      "a b",         "a\"b", "a\\b",  "a/b",
                                "a:b", "a\r\nb", "caf\xC3\xA9", "{}",   too_long};

    (void)state;
    memset(too_long, 'x', 129);
    too_long[129] = '\0';
    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        struct http_request request = request_with("X-Request-Id", rows[i]);

        http_identify(&request);
        check_made_up(request.id);
    }
}

#define IDS 64

static void *make_ids(void *arg)
{
    char(*ids)[HTTP_REQUEST_ID_SIZE] = arg;

    for (size_t i = 0; i < IDS; i++) {
        struct http_request request = request_with(NULL, NULL);

        http_identify(&request);
        memcpy(ids[i], request.id, sizeof(ids[i]));
    }
    return NULL;
}

static void test_made_up_ids_differ_in_all_threads(void **state)
{
    static char ids[3 * IDS][HTTP_REQUEST_ID_SIZE];
    pthread_t threads[2];

    (void)state;
    pthread_create(&threads[0], NULL, make_ids, ids[0]);
    pthread_create(&threads[1], NULL, make_ids, ids[IDS]);
    make_ids(ids[(size_t)2 * IDS]);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    for (size_t i = 0; i < FS_ARRAY_LEN(ids); i++) {
        check_made_up(ids[i]);
        for (size_t other = 0; other < i; other++) {
            assert_string_not_equal(ids[i], ids[other]);
        }
    }
}

struct trace_row {
    const char *header;
    const char *trace_id;
};

static void check_trace_ids(const struct trace_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct http_request request = request_with("Traceparent", rows[i].header);

        memset(request.trace_id, 'x', sizeof(request.trace_id) - 1); /* of the request before */
        http_identify(&request);
        check_row(strcmp(request.trace_id, rows[i].trace_id) == 0, "'%s': '%s'", rows[i].header,
                  request.trace_id);
    }
}

static void test_trace_ids(void **state)
{
    static const struct trace_row rows[] = {
        {"00-" TRACE_ID "-" SPAN_ID "-01", TRACE_ID},
        {"00-" TRACE_ID "-" SPAN_ID "-00", TRACE_ID},
        {"00-" TRACE_ID "-" SPAN_ID "-ff", TRACE_ID},
        {"00-00000000000000000000000000000001-" SPAN_ID "-01", "00000000000000000000000000000001"},
        {"cc-" TRACE_ID "-" SPAN_ID "-01", TRACE_ID},
        {"cc-" TRACE_ID "-" SPAN_ID "-01-what-the-future-will-be-like", TRACE_ID},
        {"", ""},
        {"00", ""},
        {TRACE_ID, ""},
        {"ff-" TRACE_ID "-" SPAN_ID "-01", ""}, /* no version */
        {"0-" TRACE_ID "-" SPAN_ID "-01", ""},
        {"zz-" TRACE_ID "-" SPAN_ID "-01", ""},
        {"00-00000000000000000000000000000000-" SPAN_ID "-01", ""},
        {"00-0AF7651916CD43DD8448EB211C80319C-" SPAN_ID "-01", ""}, /* lower case only */
        {"00-0af7651916cd43dd8448eb211c80319-" SPAN_ID "-01", ""},
        {"00-" TRACE_ID "0-" SPAN_ID "-01", ""},
        {"00-" TRACE_ID "-" SPAN_ID "-0", ""},
        {"00-" TRACE_ID "-" SPAN_ID, ""},
        {"00_" TRACE_ID "-" SPAN_ID "-01", ""},
        {"00-" TRACE_ID "_" SPAN_ID "-01", ""},
        {" 00-" TRACE_ID "-" SPAN_ID "-01", ""},
    };

    (void)state;
    check_trace_ids(rows, FS_ARRAY_LEN(rows));
}

/* W3C Trace Context section 3.2.2: a header of which any part is invalid is ignored as a whole. */
static void test_trace_ids_of_invalid_headers_are_ignored(void **state)
{
    static const struct trace_row rows[] = {
        {"00-" TRACE_ID "-0000000000000000-01", ""},
        {"00-" TRACE_ID "-B7AD6B7169203331-01", ""},
        {"00-" TRACE_ID "-b7ad6b716920333x-01", ""},
        {"00-" TRACE_ID "-" SPAN_ID "-0x", ""},
        {"00-" TRACE_ID "-" SPAN_ID "_01", ""},
        {"00-" TRACE_ID "-" SPAN_ID "-01-", ""}, /* version 00 has nothing behind */
        {"00-" TRACE_ID "-" SPAN_ID "-01-more", ""},
        {"cc-" TRACE_ID "-" SPAN_ID "-01.more", ""},
    };

    (void)state;
    check_trace_ids(rows, FS_ARRAY_LEN(rows));
}

static void test_which_requests_are_sampled(void **state)
{
    static const struct {
        const char *flags;
        bool is_sampled;
    } rows[] = {{"00", false}, {"01", true}, {"02", false}, {"03", true},
                {"0a", false}, {"0f", true}, {"10", false}, {"ff", true}};

    (void)state;
    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        char header[64];
        struct http_request request;

        snprintf(header, sizeof(header), "00-" TRACE_ID "-" SPAN_ID "-%s", rows[i].flags);
        request = request_with("traceparent", header);
        http_identify(&request);
        check_row(request.is_sampled == rows[i].is_sampled, "%s", rows[i].flags);
        assert_string_equal(request.parent_id, SPAN_ID);
    }
}

static void test_no_trace_id_without_header(void **state)
{
    struct http_request request = request_with(NULL, NULL);

    (void)state;
    memset(request.trace_id, 'x', sizeof(request.trace_id) - 1);
    request.is_sampled = true;
    http_identify(&request);
    assert_string_equal(request.trace_id, "");
    assert_string_equal(request.parent_id, "");
    assert_false(request.is_sampled);
}

/* --- answers ---------------------------------------------------------------------------------- */

static void test_start_json_forgets_what_was_there(void **state)
{
    struct http_response response = {.status = 500, .content_type = "text/plain"};

    (void)state;
    strbuf_adds(&response.body, "old");
    http_add_header(&response, "X-Old", "1");
    strbuf_adds(http_start_json(&response, 200), "{}");
    assert_int_equal(response.status, 200);
    assert_string_equal(response.content_type, "application/json");
    assert_string_equal(response.body.text, "{}");
    assert_string_equal(strbuf_text(&response.headers), "");
    finish(&response);
}

static void test_problems(void **state)
{
    static const struct {
        enum http_problem problem;
        int status;
        const char *slug;
        const char *reason;
    } rows[] = {
        {HTTP_BAD_REQUEST, 400, "bad-request", "Bad Request"},
        {HTTP_UNAUTHORIZED, 401, "unauthorized", "Unauthorized"},
        {HTTP_NOT_FOUND, 404, "not-found", "Not Found"},
        {HTTP_METHOD_NOT_ALLOWED, 405, "method-not-allowed", "Method Not Allowed"},
        {HTTP_REQUEST_TIMEOUT, 408, "request-timeout", "Request Timeout"},
        {HTTP_LENGTH_REQUIRED, 411, "length-required", "Length Required"},
        {HTTP_PRECONDITION_FAILED, 412, "precondition-failed", "Precondition Failed"},
        {HTTP_PAYLOAD_TOO_LARGE, 413, "payload-too-large", "Content Too Large"},
        {HTTP_UNSUPPORTED_MEDIA_TYPE, 415, "unsupported-media-type", "Unsupported Media Type"},
        {HTTP_EXPECTATION_FAILED, 417, "expectation-failed", "Expectation Failed"},
        {HTTP_HEADERS_TOO_LARGE, 431, "headers-too-large", "Request Header Fields Too Large"},
        {HTTP_VERSION_NOT_SUPPORTED, 505, "version-not-supported", "HTTP Version Not Supported"},
        {HTTP_NOT_CACHED, 504, "not-cached", "Gateway Timeout"},
        {HTTP_OVERLOADED, 503, "overloaded", "Service Unavailable"},
        {HTTP_UNAVAILABLE, 503, "unavailable", "Service Unavailable"},
    };
    struct http_request request = request_with(NULL, NULL);

    (void)state;
    assert_int_equal(FS_ARRAY_LEN(rows), HTTP_PROBLEMS);
    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        struct http_response response = {.status = 200};
        bool retry = rows[i].status == 503;
        char type[64];
        char status[32];

        http_problem(&request, &response, rows[i].problem, "why", NULL);
        assert_int_equal(response.status, rows[i].status);
        assert_string_equal(response.content_type, "application/problem+json");
        assert_true(support_is_json_object(response.body.text, response.body.len));
        snprintf(type, sizeof(type), "{\"type\":\"/problems/%s\",\"title\":\"", rows[i].slug);
        snprintf(status, sizeof(status), "\"status\":%d,", rows[i].status);
        assert_contains(response.body.text, type);
        assert_contains(response.body.text, status);
        assert_contains(response.body.text,
                        "\"detail\":\"why\",\"instance\":\"urn:request:req-1\"}");
        assert_string_equal(response.headers.text,
                            retry ? "Cache-Control: no-store\r\nRetry-After: 1\r\n"
                                  : "Cache-Control: no-store\r\n");
        assert_string_equal(http_reason(rows[i].status), rows[i].reason);
        finish(&response);
    }
}

static void test_reasons_of_other_statuses(void **state)
{
    (void)state;
    assert_string_equal(http_reason(200), "OK");
    assert_string_equal(http_reason(304), "Not Modified");
    assert_string_equal(http_reason(409), "Conflict");
    assert_string_equal(http_reason(299), "OK"); /* one of its class: RFC 9110 section 15 */
    assert_string_equal(http_reason(499), "Bad Request");
    assert_string_equal(http_reason(599), "Internal Server Error");
}

static void test_problem_with_members_and_text_to_escape(void **state)
{
    static const struct http_problem_type type = {409, "insufficient-stock", "Insufficient stock"};
    struct http_request request = request_with(NULL, NULL);
    struct http_response response = {.status = 0};

    (void)state;
    strbuf_adds(&response.body, "{\"half\":");
    http_problem_of(&request, &response, &type, "a \"b\" \\ \n \xFF", ",\"stock\":3,\"version\":7");
    assert_string_equal(
        response.body.text,
        "{\"type\":\"/problems/insufficient-stock\",\"title\":\"Insufficient stock\","
        "\"status\":409,"
        "\"detail\":\"a \\\"b\\\" \\\\ \\n \xEF\xBF\xBD\",\"instance\":\"urn:request:req-1\","
        "\"stock\":3,\"version\":7}");
    assert_true(support_is_json_object(response.body.text, response.body.len));
    finish(&response);
}

static void test_bad_field_names_the_field(void **state)
{
    struct http_request request = request_with(NULL, NULL);
    struct http_response response = {.status = 0};

    (void)state;
    http_bad_field(&request, &response, "sto\"ck", "expected \"more\"");
    assert_int_equal(response.status, 400);
    assert_contains(response.body.text, "\"type\":\"/problems/bad-request\"");
    assert_contains(response.body.text, "\"detail\":\"sto\\\"ck: expected \\\"more\\\"\"");
    assert_contains(response.body.text,
                    "\"errors\":[{\"field\":\"sto\\\"ck\",\"detail\":\"expected \\\"more\\\"\"}]");
    assert_true(support_is_json_object(response.body.text, response.body.len));
    http_bad_field(&request, &response, "", "expected less");
    assert_contains(response.body.text, "\"detail\":\"expected less\",\"instance\"");
    finish(&response);
}

/* What is sent, and how many bytes of it are body: of those alone the log tells. */
static void test_answers_as_they_are_sent(void **state)
{
    static const struct {
        const char *method;
        int status;
        const char *wanted; /* behind the header fields that are always there */
        size_t body_bytes;
    } rows[] = {
        {"GET", 200, "\r\nConnection: keep-alive\r\n\r\n{}", 2},
        {"HEAD", 200, "\r\nConnection: keep-alive\r\n\r\n", 0},
        {"GET", 304, "\r\nConnection: keep-alive\r\n\r\n", 0},
        {"HEAD", 304, "\r\nConnection: keep-alive\r\n\r\n", 0},
    };

    (void)state;
    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        struct http_request request = request_with(NULL, NULL);
        struct http_response response = {.status = 0};
        struct strbuf out = STRBUF_EMPTY;

        request.method = rows[i].method;
        strbuf_adds(http_start_json(&response, rows[i].status), "{}");
        response.content_type = rows[i].status == 304 ? NULL : response.content_type;
        check_row(http_write_answer(&request, &response, &out) == rows[i].body_bytes, "row %zu", i);
        assert_string_equal(out.text + out.len - strlen(rows[i].wanted), rows[i].wanted);
        if (rows[i].status == 304) {
            assert_lacks(out.text, "Content-Length");
        } else {
            assert_contains(out.text, "\r\nContent-Length: 2\r\n");
        }
        strbuf_finish(&out);
        finish(&response);
    }
}

#define PREPARED_HEAD "Content-Length: 2\r\nETag: \"7\"\r\n\r\n"

static void test_an_answer_is_prepared(void **state)
{
    struct http_response response = {.status = 0};
    struct strbuf text = STRBUF_EMPTY;

    (void)state;
    strbuf_adds(http_start_json(&response, 200), "{}");
    http_add_header(&response, "ETag", "\"7\"");
    assert_int_equal(http_prepare(&response, &text), 2);
    assert_string_equal(text.text, "Content-Type: application/json\r\n" PREPARED_HEAD "{}");
    strbuf_finish(&text);
    finish(&response);
}

/* The lines that are always the same stand at the end of the head. */
static void test_prepared_answers(void **state)
{
    static const struct {
        const char *method;
        const char *text;
        size_t body_len;
        bool close;
        const char *wanted; /* behind the date */
        size_t body_bytes;
    } rows[] = {
        {"GET", PREPARED_HEAD "{}", 2, false,
         "Age: 0\r\nX-Request-Id: req-1\r\nConnection: keep-alive\r\n" PREPARED_HEAD "{}", 2},
        {"GET", PREPARED_HEAD "{}", 2, true,
         "Age: 0\r\nX-Request-Id: req-1\r\nConnection: close\r\n" PREPARED_HEAD "{}", 2},
        {"HEAD", PREPARED_HEAD "{}", 2, false,
         "Age: 0\r\nX-Request-Id: req-1\r\nConnection: keep-alive\r\n" PREPARED_HEAD, 0},
        {"GET", "ETag: \"7\"\r\n\r\n", 0, false,
         "Age: 0\r\nX-Request-Id: req-1\r\nConnection: keep-alive\r\nETag: \"7\"\r\n\r\n", 0},
    };

    (void)state;
    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        struct http_request request = request_with(NULL, NULL);
        struct http_response response = {.status = 0};
        struct strbuf out = STRBUF_EMPTY;

        request.method = rows[i].method;
        strbuf_adds(http_start_json(&response, 500), "what was there");
        http_start_prepared(&response, 200, rows[i].text, strlen(rows[i].text), rows[i].body_len);
        http_add_header(&response, "Age", "0");
        response.close = rows[i].close;
        check_row(http_write_answer(&request, &response, &out) == rows[i].body_bytes, "row %zu", i);
        assert_int_equal(strncmp(out.text, "HTTP/1.1 200 OK\r\nDate: ", 23), 0);
        assert_string_equal(strchr(strstr(out.text, "Date"), '\n') + 1, rows[i].wanted);
        strbuf_finish(&out);
        finish(&response);
    }
}

/* A handler may find out late that its answer is another one. */
static void test_prepared_answers_are_forgotten(void **state)
{
    struct http_request request = request_with(NULL, NULL);
    struct http_response response = {.status = 0};
    struct strbuf out = STRBUF_EMPTY;

    (void)state;
    http_start_prepared(&response, 200, PREPARED_HEAD "{}", sizeof(PREPARED_HEAD) + 1, 2);
    strbuf_adds(http_start_json(&response, 404), "[]");
    assert_int_equal(http_write_answer(&request, &response, &out), 2);
    assert_contains(out.text, "\r\nConnection: keep-alive\r\n\r\n[]");
    assert_lacks(out.text, "ETag");
    strbuf_finish(&out);
    finish(&response);
}

/* --- queries ---------------------------------------------------------------------------------- */

static void test_queries(void **state)
{
    static const struct {
        const char *query;
        const char *page; /* NULL: absent */
        const char *ids;
    } rows[] = {
        {"", NULL, NULL},
        {"page=1", "1", NULL},
        {"ids=1,2,3&page=2", "2", "1,2,3"},
        {"page=", "", NULL},
        {"page", "", NULL},
        {"page&ids", "", ""},
        {"page=a=b", "a=b", NULL},
        {"page==", "=", NULL},
        {"&&page=1&&", "1", NULL},
        {"%70a%67e=1", "1", NULL},
        {"page=%31%2C+%C3%A9", "1, \xC3\xA9", NULL},
        {"page=%26ids%3D1", "&ids=1", NULL},
        {"page=1;ids=2", "1;ids=2", NULL},
        {"page=1?ids=2", "1?ids=2", NULL},
    };

    (void)state;
    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        struct http_query_param params[] = {{.name = "page"}, {.name = "ids"}, {.name = NULL}};
        struct http_request request = request_with(NULL, NULL);
        struct http_response response = {.status = 0};
        const char *const wanted[] = {rows[i].page, rows[i].ids};

        request.query = rows[i].query;
        check_row(http_read_query(&request, params, &response), "refused: %s", rows[i].query);
        assert_int_equal(response.status, 0);
        for (size_t p = 0; p < 2; p++) {
            check_row((params[p].value == NULL) == (wanted[p] == NULL), "%s: %s", rows[i].query,
                      params[p].name);
            if (wanted[p] != NULL) {
                assert_string_equal(params[p].value, wanted[p]);
                assert_int_equal(params[p].len, strlen(wanted[p]));
            }
        }
        http_query_finish(params);
        assert_null(params[0].value);
        finish(&response);
    }
}

static void test_bad_queries(void **state)
{
    static const struct {
        const char *query;
        const char *field;
        const char *detail;
    } rows[] = {
        {"page=1&page=1", "page", "repeated"},
        {"page=1&page=2", "page", "repeated"},
        {"page&page", "page", "repeated"},
        {"page=1&ids=2&p%61ge=3", "page", "repeated"},
        {"page=%", "page", "percent-encoding"},
        {"page=%4", "page", "percent-encoding"},
        {"page=%4&ids=1", "page", "percent-encoding"},
        {"page=%zz", "page", "percent-encoding"},
        {"page=%00", "page", "percent-encoding"},
        {"ids=1%FF", "ids", "UTF-8"},
        {"ids=%ED%A0%80", "ids", "UTF-8"},
        {"%zz=1", "query", "percent-encoding"},
        {"ids=1&%FF", "query", "UTF-8"},
        {"name=mug", "name", "unknown parameter; known are page, ids"},
        {"page=1&utm_source=x", "utm_source", "unknown parameter"},
        {"pag=2", "pag", "unknown parameter"},
        {"Page=2", "Page", "unknown parameter"},
        {"%C3%A9", "\xC3\xA9", "unknown parameter"},
        {"%22", "\\\"", "unknown parameter"},
        {"=1&page=2", "query", "a parameter is unknown; known are page, ids"},
        {"a2345678901234567890123456789012345678901234567890123456789012345=", "query",
         "a parameter is unknown"},
    };

    (void)state;
    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        struct http_query_param params[] = {{.name = "page"}, {.name = "ids"}, {.name = NULL}};
        struct http_request request = request_with(NULL, NULL);
        struct http_response response = {.status = 0};
        char field[64];

        request.query = rows[i].query;
        check_row(!http_read_query(&request, params, &response), "taken: %s", rows[i].query);
        assert_int_equal(response.status, 400);
        snprintf(field, sizeof(field), "\"errors\":[{\"field\":\"%s\",\"detail\":", rows[i].field);
        assert_contains(response.body.text, field);
        assert_contains(response.body.text, rows[i].detail);
        assert_true(support_is_json_object(response.body.text, response.body.len));
        /* the parameters that were read before are freed; the leak checker looks */
        http_query_finish(params);
        finish(&response);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_headers_are_found_by_any_case),
        cmocka_unit_test(test_known_names),
        cmocka_unit_test(test_there_is_room_for_so_many_headers),
        cmocka_unit_test(test_answers_as_they_are_sent),
        cmocka_unit_test(test_an_answer_is_prepared),
        cmocka_unit_test(test_prepared_answers),
        cmocka_unit_test(test_prepared_answers_are_forgotten),
        cmocka_unit_test(test_added_headers),
        cmocka_unit_test(test_request_ids_are_taken),
        cmocka_unit_test(test_unusable_request_ids_are_replaced),
        cmocka_unit_test(test_made_up_ids_differ_in_all_threads),
        cmocka_unit_test(test_trace_ids),
        cmocka_unit_test(test_trace_ids_of_invalid_headers_are_ignored),
        cmocka_unit_test(test_which_requests_are_sampled),
        cmocka_unit_test(test_no_trace_id_without_header),
        cmocka_unit_test(test_start_json_forgets_what_was_there),
        cmocka_unit_test(test_problems),
        cmocka_unit_test(test_reasons_of_other_statuses),
        cmocka_unit_test(test_problem_with_members_and_text_to_escape),
        cmocka_unit_test(test_bad_field_names_the_field),
        cmocka_unit_test(test_queries),
        cmocka_unit_test(test_bad_queries),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
