#include "support.h"

#include "common/base/alloc.h"
#include "common/http/content.h"

#include <string.h>

struct row_header {
    const char *name;
    const char *value;
};

static struct http_request request_with(const struct row_header *headers, size_t count)
{
    struct http_request request;

    http_request_init(&request, "POST", "/", "");
    memcpy(request.id, "req-1", 6);
    for (size_t i = 0; i < count && headers[i].name != NULL; i++) {
        assert_true(http_request_add(&request, headers[i].name, strlen(headers[i].name),
                                     headers[i].value, strlen(headers[i].value)));
    }
    return request;
}

static void test_lengths(void **state)
{
    static const struct {
        struct row_header headers[2];
        int status; /* 0: taken */
        size_t len;
    } rows[] = {
        {{{NULL, NULL}}, 0, 0},
        {{{"Content-Length", "0"}}, 0, 0},
        {{{"Content-Length", "100"}}, 0, 100},
        {{{"Content-Length", "101"}}, 413, 0},
        {{{"Content-Length", "9223372036854775807"}}, 413, 0},
        {{{"Content-Length", "9223372036854775808"}}, 400, 0},
        {{{"Content-Length", ""}}, 400, 0},
        {{{"Content-Length", "-1"}}, 400, 0},
        {{{"Content-Length", "1, 1"}}, 400, 0},
        {{{"Content-Length", "1"}, {"content-length", "1"}}, 400, 0},
        {{{"Transfer-Encoding", "chunked"}}, 411, 0},
        {{{"Transfer-Encoding", ""}}, 411, 0},
        {{{"Content-Length", "1"}, {"Transfer-Encoding", "identity"}}, 411, 0},
        {{{"Expect", "100-continue"}, {"Content-Length", "1"}}, 0, 1},
        {{{"Expect", "100-Continue"}}, 0, 0},
        {{{"Expect", "101-continue"}}, 417, 0},
        {{{"Expect", ""}}, 417, 0},
        {{{"Content-Encoding", "identity"}, {"Content-Length", "1"}}, 0, 1},
        {{{"Content-Encoding", "gzip"}, {"Content-Length", "1"}}, 415, 0},
        {{{"Content-Encoding", "identity"}, {"Content-Encoding", "br"}}, 415, 0},
        {{{"Content-Encoding", ""}}, 415, 0},
    };

    (void)state;
    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        struct http_request request = request_with(rows[i].headers, FS_ARRAY_LEN(rows[i].headers));
        struct http_response response = {.status = 0};
        size_t len = 0;

        check_row(http_content_length(&request, 100, &response, &len) == (rows[i].status == 0),
                  "row %zu", i);
        check_row(response.status == rows[i].status && len == rows[i].len, "row %zu: %d, %zu", i,
                  response.status, len);
        assert_true(response.close == (rows[i].status != 0));
        http_response_finish(&response);
    }
}

static void test_lengths_of_streams(void **state)
{
    static const struct {
        struct row_header headers[2];
        int status; /* 0: taken */
        bool is_chunked;
        int64_t len;
    } rows[] = {
        {{{NULL, NULL}}, 411, false, 0},
        {{{"Content-Length", "0"}}, 0, false, 0},
        {{{"Content-Length", "9223372036854775807"}}, 0, false, INT64_MAX},
        {{{"Content-Length", "9223372036854775808"}}, 400, false, 0},
        {{{"Content-Length", "1"}, {"Content-Length", "1"}}, 400, false, 0},
        {{{"Transfer-Encoding", "chunked"}}, 0, true, 0},
        {{{"Transfer-Encoding", "Chunked"}}, 0, true, 0},
        {{{"Transfer-Encoding", "gzip, chunked"}}, 411, false, 0},
        {{{"Transfer-Encoding", "identity"}}, 411, false, 0},
        {{{"Transfer-Encoding", ""}}, 411, false, 0},
        {{{"Transfer-Encoding", "chunked"}, {"Transfer-Encoding", "chunked"}}, 411, false, 0},
        {{{"Transfer-Encoding", "chunked"}, {"Content-Length", "1"}}, 411, false, 0},
        {{{"Transfer-Encoding", "chunked"}, {"Expect", "100-continue"}}, 0, true, 0},
        {{{"Transfer-Encoding", "chunked"}, {"Expect", "x"}}, 417, false, 0},
        {{{"Transfer-Encoding", "chunked"}, {"Content-Encoding", "gzip"}}, 415, false, 0},
    };

    (void)state;
    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        struct http_request request = request_with(rows[i].headers, FS_ARRAY_LEN(rows[i].headers));
        struct http_response response = {.status = 0};
        bool is_chunked = false;
        int64_t len = 0;

        check_row(http_stream_length(&request, &response, &is_chunked, &len) ==
                      (rows[i].status == 0),
                  "row %zu", i);
        check_row(response.status == rows[i].status, "row %zu: %d", i, response.status);
        check_row(rows[i].status != 0 || (is_chunked == rows[i].is_chunked && len == rows[i].len),
                  "row %zu: %d, %lld", i, is_chunked, (long long)len);
        assert_true(response.close == (rows[i].status != 0));
        http_response_finish(&response);
    }
}

static void test_media_type_of_lines(void **state)
{
    static const struct {
        struct row_header headers[2];
        bool taken;
    } rows[] = {
        {{{"Content-Type", "application/x-ndjson"}}, true},
        {{{"Content-Type", "application/x-ndjson; charset=utf-8"}}, true},
        {{{"Content-Type", "application/x-ndjson; charset=utf-16"}}, false},
        {{{"Content-Type", "application/json"}}, false},
        {{{NULL, NULL}}, false},
        {{{"Content-Type", "application/x-ndjson"}, {"Content-Type", "application/x-ndjson"}},
         false},
    };

    (void)state;
    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        struct http_request request = request_with(rows[i].headers, FS_ARRAY_LEN(rows[i].headers));
        struct http_response response = {.status = 0};

        check_row(http_check_ndjson(&request, &response) == rows[i].taken, "row %zu", i);
        assert_int_equal(response.status, rows[i].taken ? 0 : 415);
        http_response_finish(&response);
    }
}

static void test_a_refused_coding_names_the_one_that_is_taken(void **state)
{
    static const struct row_header gzip = {"Content-Encoding", "gzip"};
    struct http_request request = request_with(&gzip, 1);
    struct http_response response = {.status = 0};
    size_t len = 0;

    (void)state;
    assert_false(http_content_length(&request, 100, &response, &len));
    assert_contains(response.headers.text, "Accept-Encoding: identity\r\n");
    http_response_finish(&response);
}

static int json_status(const char *type, const char *second_type)
{
    const struct row_header headers[] = {
        {"Content-Length", "2"},
        {type == NULL ? NULL : "Content-Type", type},
        {second_type == NULL ? NULL : "Content-Type", second_type}};
    struct http_request request = request_with(headers, FS_ARRAY_LEN(headers));
    struct http_response response = {.status = 0};
    bool ok = http_check_json(&request, &response);
    int status = response.status;

    assert_true(ok == (status == 0));
    http_response_finish(&response);
    return status;
}

static void test_media_types(void **state)
{
    static const char *const taken[] = {
        "application/json",
        "Application/JSON",
        "application/json;",
        "application/json ; ",
        "application/json;charset=utf-8",
        "application/json; charset=UTF-8",
        "application/json; Charset=\"utf-8\"",
        "application/json\t;\tcharset=Utf-8 ;",
        "application/json; profile=x; charset=utf-8",
        "application/json; profile=\"a;charset=utf-16\"",
        "application/json;;charset=utf-8",
    };
    static const char *const refused[] = {
        "",
        "json",
        "text/json",
        "application/jsonp",
        "application/json/x",
        "application/json x",
        "application/json; charset=utf-16",
        "application/json; charset=\"UTF-16\"",
        "application/json; charset=iso-8859-1",
        "application/json; charset=utf-8; charset=utf-16",
        "application/json; charset=utf",
        "application/json; charset=utf-88",
        "application/json; charset=",
        "application/json; charset=\"utf-8",
        "application/json; charset",
        "application/json; =utf-8",
        "application/json, application/json",
    };

    (void)state;
    for (size_t i = 0; i < FS_ARRAY_LEN(taken); i++) {
        check_row(json_status(taken[i], NULL) == 0, "refused: %s", taken[i]);
    }
    for (size_t i = 0; i < FS_ARRAY_LEN(refused); i++) {
        check_row(json_status(refused[i], NULL) == 415, "taken: %s", refused[i]);
    }
    assert_int_equal(json_status(NULL, NULL), 415);
    assert_int_equal(json_status("application/json", "application/json"), 415);
}

static void test_a_body_has_a_length(void **state)
{
    static const struct row_header type = {"Content-Type", "application/json"};
    struct http_request request = request_with(&type, 1);
    struct http_response response = {.status = 0};

    (void)state;
    assert_false(http_check_json(&request, &response));
    assert_int_equal(response.status, 411);
    http_response_finish(&response);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_lengths_of_streams),
        cmocka_unit_test(test_media_type_of_lines),
        cmocka_unit_test(test_a_refused_coding_names_the_one_that_is_taken),
        cmocka_unit_test(test_media_types),
        cmocka_unit_test(test_a_body_has_a_length),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
