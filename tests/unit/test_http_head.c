#include "support.h"

#include "common/base/alloc.h"
#include "common/http/head.h"

#include <stdio.h>
#include <string.h>

#define HEAD_SIZE 256

/* --- heads that the library has parsed -------------------------------------------------------- */

struct head {
    struct http_request request;
    char text[HEAD_SIZE];
    enum head_fault fault;
};

/* Reads "1.1" CR LF and lines, as the library leaves them; a name begins behind each of the two
 * NULs that end a line, at `starts`, and its value `values` behind that. */
static void read_cut(struct head *head, const char *bytes, size_t len, const size_t *starts,
                     const size_t *values, size_t count)
{
    struct head_reader reader;

    memset(head->text, 'x', sizeof(head->text));
    memcpy(head->text, bytes, len);
    http_request_init(&head->request, "GET", "/", "");
    head_begin(&reader, &head->request, head->text);
    for (size_t i = 0; i < count; i++) {
        head_add(&reader, head->text + starts[i], head->text + values[i]);
    }
    head_end(&reader);
    head->fault = head_fault(&reader, head->text);
}

static void test_plain_heads(void **state)
{
    struct head head;

    (void)state;
    read_cut(&head, BYTES("1.1\0\0Host\0 h\0\0X-Request-Id\0 1 \0\0\r\0"), (const size_t[]){5, 14},
             (const size_t[]){11, 28}, 2);
    assert_int_equal(head.fault, HEAD_IS_PLAIN);
    assert_string_equal(http_header(&head.request, HTTP_HOST), "h");
    assert_string_equal(http_header(&head.request, HTTP_X_REQUEST_ID), "1"); /* trimmed */
    assert_int_equal(http_header_first(&head.request, HTTP_X_REQUEST_ID)->value_len, 1);
    read_cut(&head, BYTES("1.0\0\0\0\0"), NULL, NULL, 0);
    assert_int_equal(head.fault, HEAD_IS_PLAIN);
}

static void test_heads_with_something_hidden(void **state)
{
    struct head head;

    (void)state;
    /* the list ends where a line begins with a blank */
    read_cut(&head, BYTES("1.1\0\0Host\0 h\0\0 Transfer-Encoding: chunked\r\n\r\0"),
             (const size_t[]){5}, (const size_t[]){11}, 1);
    assert_int_equal(head.fault, HEAD_BAD_LINE);
    /* a line in between is not shown */
    read_cut(&head, BYTES("1.1\0\0Host\0 h\0\0X\0 1\0\0Y\0 2\0\0\r\0"), (const size_t[]){5, 20},
             (const size_t[]){11, 23}, 2);
    assert_int_equal(head.fault, HEAD_BAD_LINE);
    /* a blank before the colon */
    read_cut(&head, BYTES("1.1\0\0Host\0\0 h\0\0\r\0"), (const size_t[]){5}, (const size_t[]){12},
             1);
    assert_int_equal(head.fault, HEAD_BAD_LINE);
    /* a line that ends in LF alone */
    read_cut(&head, BYTES("1.1\0\0Host\0 h\0X\0 1\0\0\r\0"), (const size_t[]){5, 13},
             (const size_t[]){11, 16}, 2);
    assert_int_equal(head.fault, HEAD_BAD_LINE);
}

static void test_one_host(void **state)
{
    struct head head;

    (void)state;
    read_cut(&head, BYTES("1.1\0\0\0\0"), NULL, NULL, 0);
    assert_int_equal(head.fault, HEAD_BAD_HOST);
    read_cut(&head, BYTES("1.0\0\0Host\0 h\0\0host\0 h\0\0\r\0"), (const size_t[]){5, 14},
             (const size_t[]){11, 20}, 2);
    assert_int_equal(head.fault, HEAD_BAD_HOST);
}

static void test_large_heads(void **state)
{
    struct head_reader reader;
    struct http_request request;
    char name[] = "Host";
    char value[] = "h";

    (void)state;
    http_request_init(&request, "GET", "/", "");
    head_begin(&reader, &request, "1.1\0\0\0");
    for (size_t i = 0; i <= HTTP_HEADERS_MAX; i++) {
        head_add(&reader, name, value);
    }
    head_end(&reader);
    assert_int_equal(head_fault(&reader, "1.1"), HEAD_TOO_LARGE);
}

/* --- targets ---------------------------------------------------------------------------------- */

static void test_targets(void **state)
{
    static const struct {
        const char *target;
        const char *path; /* NULL: refused */
        const char *query;
    } rows[] = {
        {"/", "/", ""},
        {"/a?b=c?d", "/a", "b=c?d"},
        {"/a?", "/a", ""},
        {"*", "*", ""},
        {"http://h/api/products/1", "/api/products/1", ""},
        {"HTTP://h:80/a?b", "/a", "b"},
        {"https://h/a", "/a", ""},
        {"http://h", "/", ""},
        {"http://h?b", "/", "b"},
        {"http://[::1]:8080/a", "/a", ""},
        {"http:///a", NULL, NULL},
        {"http://", NULL, NULL},
        {"ftp://h/a", NULL, NULL},
        {"a", NULL, NULL},
        {"", NULL, NULL},
        {"?a", NULL, NULL},
        {"h:443", NULL, NULL},
    };

    (void)state;
    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        struct http_request request;
        char target[HEAD_SIZE];

        snprintf(target, sizeof(target), "%s", rows[i].target);
        http_request_init(&request, "GET", "", "");
        check_row(head_set_target(&request, target) == (rows[i].path != NULL), "%s",
                  rows[i].target);
        if (rows[i].path != NULL) {
            assert_string_equal(request.path, rows[i].path);
            assert_string_equal(request.query, rows[i].query);
        }
    }
}

/* --- headers that the library did not parse --------------------------------------------------- */

static bool read_lines(struct http_request *request, char text[HEAD_SIZE], const char *lines)
{
    snprintf(text, HEAD_SIZE, "%s", lines);
    http_request_init(request, "PURGE", "/", "");
    return head_read_lines(request, text);
}

static void test_lines(void **state)
{
    struct http_request request;
    char text[HEAD_SIZE];

    (void)state;
    assert_true(read_lines(&request, text, "Host: h\r\nX-Request-Id:\t7 \r\nX:\r\n\r"));
    assert_string_equal(http_header(&request, HTTP_HOST), "h");
    assert_string_equal(http_header(&request, HTTP_X_REQUEST_ID), "7");
    assert_int_equal(request.header_count, 3);
    assert_true(read_lines(&request, text, "Host: h\r\n\r\n"));
    assert_true(read_lines(&request, text, ""));
    assert_int_equal(request.header_count, 0);
}

static void test_lines_that_are_not_plain(void **state)
{
    static const char *const rows[] = {
        "\r",
        "Host",
        "Host: h",
        "Host: h\r\n",
        "Host: h\n\n",
        "Host: h\n\r\n",
        ": x\r\n\r",
        "Host : h\r\n\r",
        " Host: h\r\n\r",
        "Host: h\r\n x\r\n\r",
        "Host: h\x01\r\n\r",
        "Host\r\n\r",
        "Host: h\r\n\rx",
        "Host: h\r\n\r\nx",
    };

    (void)state;
    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        struct http_request request;
        char text[HEAD_SIZE];

        check_row(!read_lines(&request, text, rows[i]), "row %zu is taken", i);
    }
}

static void test_a_head_that_stands_again(void **state)
{
    static const char again[] = "\r\n\nGET\0/api\0HTTP/1.1";

    (void)state;
    assert_true(head_stands_again("GET", again, sizeof(again)));
    assert_true(head_stands_again("GET", again + 3, 4));
    assert_true(head_stands_again("GET", again + 3, 2)); /* a body of two bytes */
    assert_false(head_stands_again("GET", again, 3));
    assert_false(head_stands_again("GET", "", 0));
    assert_false(head_stands_again("GET", "GET /api", 8));
    assert_false(head_stands_again("POST", again, sizeof(again)));
    assert_false(head_stands_again("POST", "{\"delta\":1}", 11));
}

/* --- plain requests --------------------------------------------------------------------------- */

#define PLAIN "GET /api/products/7?page=2&ids=1,2 HTTP/1.1\r\nHost: h\r\nMin-Version:  7 \r\n\r\n"

static void test_a_plain_get(void **state)
{
    char text[] = PLAIN "GET /next";
    struct http_request request;

    (void)state;
    assert_int_equal(head_read_plain_get(&request, text, sizeof(text) - 1), sizeof(PLAIN) - 1);
    assert_string_equal(request.method, "GET");
    assert_string_equal(request.path, "/api/products/7");
    assert_string_equal(request.query, "page=2&ids=1,2");
    assert_int_equal(request.header_count, 2);
    assert_string_equal(http_header(&request, HTTP_MIN_VERSION), "7");
    assert_string_equal(text + sizeof(PLAIN) - 1, "GET /next");
}

static void test_plain_gets_that_are_not_whole(void **state)
{
    (void)state;
    for (size_t len = 0; len < sizeof(PLAIN) - 1; len++) {
        char text[] = PLAIN;
        struct http_request request;

        check_row(head_read_plain_get(&request, text, len) == 0, "%zu bytes", len);
    }
}

static void test_gets_that_are_not_plain(void **state)
{
    static const char *const rows[] = {
        "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n",
        "get / HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.1 \r\nHost: h\r\n\r\n",
        "GET / HTTP/1.1\nHost: h\r\n\r\n",
        "GET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET * HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /%31 HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /../a HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /\xC3\xA9 HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /a?b=%31 HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /a?b?c HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nX: h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\n x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\nX: 1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost:\th\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\n\n\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n",
        "\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
    };

    (void)state;
    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        struct http_request request;
        char text[HEAD_SIZE];

        snprintf(text, sizeof(text), "%s", rows[i]);
        check_row(head_read_plain_get(&request, text, strlen(text)) == 0, "row %zu is taken", i);
    }
}

static void add_plain(struct strbuf *out, size_t headers, size_t blanks)
{
    strbuf_clear(out);
    strbuf_adds(out, "GET / HTTP/1.1\r\nHost: h\r\n");
    for (size_t i = 0; i < headers; i++) {
        strbuf_adds(out, "X: 1\r\n");
    }
    strbuf_addf(out, "X:%*s1\r\n\r\n", (int)blanks, " ");
}

static void test_plain_gets_without_room(void **state)
{
    struct strbuf text = STRBUF_EMPTY;
    struct http_request request;

    (void)state;
    add_plain(&text, HTTP_HEADERS_MAX - 3, 1);
    assert_int_equal(head_read_plain_get(&request, text.text, text.len), text.len);
    add_plain(&text, HTTP_HEADERS_MAX - 2, 1);
    assert_int_equal(head_read_plain_get(&request, text.text, text.len), 0);
    add_plain(&text, 0, HEAD_BYTES_MAX - 100);
    assert_int_equal(head_read_plain_get(&request, text.text, text.len), text.len);
    add_plain(&text, 0, HEAD_BYTES_MAX);
    assert_int_equal(head_read_plain_get(&request, text.text, text.len), 0);
    strbuf_finish(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_heads),
        cmocka_unit_test(test_heads_with_something_hidden),
        cmocka_unit_test(test_one_host),
        cmocka_unit_test(test_large_heads),
        cmocka_unit_test(test_targets),
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_a_head_that_stands_again),
        cmocka_unit_test(test_lines_that_are_not_plain),
        cmocka_unit_test(test_a_plain_get),
        cmocka_unit_test(test_plain_gets_that_are_not_whole),
        cmocka_unit_test(test_gets_that_are_not_plain),
        cmocka_unit_test(test_plain_gets_without_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
