/* URLs and answers of a POST; tests/integration/test_tracing.py sends some. */
#include "support.h"

#include "common/http/post.h"

#include "common/base/alloc.h"

#include <string.h>

static void test_urls(void **state)
{
    static const struct {
        const char *url;
        const char *host;
        int port;
        const char *path;
    } rows[] = {
        {"http://collector:4318", "collector", 4318, ""},
        {"http://collector:4318/", "collector", 4318, ""},
        {"http://collector", "collector", 80, ""},
        {"http://10.0.0.1:4318/otlp/", "10.0.0.1", 4318, "/otlp"},
        {"http://[::1]:4318/a/b", "::1", 4318, "/a/b"},
        {"http://[::1]", "::1", 80, ""},
    };

    (void)state;
    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        struct post_target target;
        char why[CONFIG_WHY_SIZE];

        check_row(post_parse_url(rows[i].url, &target, why), "%s: %s", rows[i].url, why);
        assert_string_equal(target.host, rows[i].host);
        assert_int_equal(target.port, rows[i].port);
        assert_string_equal(target.path, rows[i].path);
    }
}

static void test_bad_urls(void **state)
{
    static const struct {
        const char *url;
        const char *why;
    } rows[] = {
        {"", ""},
        {"collector:4318", ""},
        {"grpc://collector:4317", ""},
        {"https://collector:4318", "TLS is not spoken"},
        {"http://user:secret@collector:4318", "a user is not sent"},
        {"http://collector:4318/?x=1", "query"},
        {"http://collector:4318/#x", "fragment"},
        {"http://collec tor", "blank"},
        {"http://collector:", ""},
        {"http://collector:0", ""},
        {"http://collector:65536", ""},
        {"http://collector:4318x", ""},
        {"http://", ""},
        {"http://:4318", ""},
        {"http://[::1", ""},
        {"http://[::1]x", ""},
        {"http://::1:4318", ""},
    };

    (void)state;
    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        struct post_target target;
        char why[CONFIG_WHY_SIZE];

        check_row(!post_parse_url(rows[i].url, &target, why), "%s", rows[i].url);
        check_row(strstr(why, rows[i].why) != NULL, "%s: %s", rows[i].url, why);
        assert_lacks(why, "secret");
    }
}

static void test_answers(void **state)
{
    static const struct {
        const char *text;
        int status;
        int64_t retry_ms;
        const char *body;
    } rows[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", 200, -1, "{}"},
        {"HTTP/1.1 200 OK\r\n\r\nabc", 200, -1, "abc"},
        {"HTTP/1.1 503 \r\nretry-after: 7\r\n\r\n", 503, 7000, ""},
        {"HTTP/1.1 429 X\r\nRetry-After: Fri, 31 Dec 1999 23:59:59 GMT\r\n\r\n", 429, -1, ""},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
         "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n",
         200, -1, "abcde"},
    };

    (void)state;
    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        struct post_answer answer = {.status = 0};

        check_row(post_read_answer(rows[i].text, strlen(rows[i].text), &answer), "%s",
                  rows[i].text);
        assert_int_equal(answer.status, rows[i].status);
        assert_int_equal(answer.retry_ms, rows[i].retry_ms);
        assert_string_equal(strbuf_text(&answer.body), rows[i].body);
        strbuf_finish(&answer.body);
    }
}

static void test_bad_answers(void **state)
{
    static const char *const rows[] = {
        "",
        "HTTP/1.",
        "HTTP/1.\r\n\r\n",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/2 200 OK\r\n\r\n",
        "HTTP/1.1 99 X\r\n\r\n",
        "SSH-2.0-OpenSSH\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nabc\r\n",
    };

    (void)state;
    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        struct post_answer answer = {.status = 0};

        check_row(!post_read_answer(rows[i], strlen(rows[i]), &answer), "%s", rows[i]);
        strbuf_finish(&answer.body);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_urls),
        cmocka_unit_test(test_bad_urls),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_bad_answers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
