#include "support.h"

#include "common/base/alloc.h"
#include "common/http/stream.h"

#include <string.h>

/* A client: what it has sent, and what it has got. */
struct client {
    const char *sends;
    size_t len;
    size_t at;
    bool ends_in_error; /* as in chunks that are cut */
    bool takes_nothing;
    struct strbuf got;
};

static int read_client(void *arg, char *bytes, size_t len)
{
    struct client *client = arg;
    size_t left = client->len - client->at;
    size_t count = len < left ? len : left;

    if (client->ends_in_error && count < len) {
        return -1;
    }
    memcpy(bytes, client->sends + client->at, count);
    client->at += count;
    return (int)count;
}

static bool write_client(void *arg, const char *bytes, size_t len)
{
    struct client *client = arg;

    strbuf_add(&client->got, bytes, len);
    return !client->takes_nothing;
}

/* A request whose body comes from the client. */
struct bench {
    struct client client;
    struct http_request request;
    struct http_response response;
    struct strbuf out;
    struct http_stream stream;
};

static void bench_init(struct bench *bench, const char *sends)
{
    memset(bench, 0, sizeof(*bench));
    bench->client.sends = sends;
    bench->client.len = strlen(sends);
    http_request_init(&bench->request, "POST", "/p", "");
    strcpy(bench->request.id, "test");
    bench->stream = (struct http_stream){.request = &bench->request,
                                         .response = &bench->response,
                                         .out = &bench->out,
                                         .io = {&bench->client, read_client, write_client},
                                         .left = (int64_t)strlen(sends)};
}

static void bench_finish(struct bench *bench)
{
    strbuf_finish(&bench->client.got);
    strbuf_finish(&bench->out);
    http_response_finish(&bench->response);
}

/* Reads to the end, in pieces of `size`. */
static void read_all(struct bench *bench, size_t size, struct strbuf *text)
{
    char bytes[HTTP_STREAM_READ_MAX];
    size_t len;

    while ((len = http_stream_read(&bench->stream, bytes, size)) > 0) {
        strbuf_add(text, bytes, len);
    }
}

/* --- reading ---------------------------------------------------------------------------------- */

static void test_bodies(void **state)
{
    static const struct {
        const char *sends;
        int64_t left; /* -1: in chunks */
        size_t size;
        bool ends_in_error;
        const char *wanted;
        enum http_stream_end end;
    } rows[] = {
        {"", 0, 4, false, "", HTTP_STREAM_WHOLE},
        {"abc", 3, 4, false, "abc", HTTP_STREAM_WHOLE},
        {"abcd", 4, 4, false, "abcd", HTTP_STREAM_WHOLE},
        {"abcdefghi", 9, 4, false, "abcdefghi", HTTP_STREAM_WHOLE},
        {"abcdefghi", 6, 4, false, "abcdef", HTTP_STREAM_WHOLE}, /* another request behind it */
        {"abcdef", 9, 4, false, "abcdef", HTTP_STREAM_CUT},
        {"abcd", 9, 4, false, "abcd", HTTP_STREAM_CUT},
        {"abcd", 9, 4, true, "abcd", HTTP_STREAM_CUT},
        {"", 9, 4, false, "", HTTP_STREAM_CUT},
        {"", -1, 4, false, "", HTTP_STREAM_WHOLE},
        {"abcd", -1, 4, false, "abcd", HTTP_STREAM_WHOLE},
        {"abcdefghi", -1, 4, false, "abcdefghi", HTTP_STREAM_WHOLE},
        {"abcdefghi", -1, 4, true, "abcdefgh", HTTP_STREAM_CUT},
    };

    (void)state;
    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        struct bench bench;
        struct strbuf text = STRBUF_EMPTY;

        bench_init(&bench, rows[i].sends);
        bench.stream.left = rows[i].left;
        bench.stream.is_chunked = rows[i].left < 0;
        bench.client.ends_in_error = rows[i].ends_in_error;
        read_all(&bench, rows[i].size, &text);
        check_row(strcmp(strbuf_text(&text), rows[i].wanted) == 0, "row %zu: %s", i,
                  strbuf_text(&text));
        check_row(bench.stream.end == rows[i].end, "row %zu: ended %d", i, bench.stream.end);
        strbuf_finish(&text);
        bench_finish(&bench);
    }
}

static void test_a_large_read_comes_in_parts(void **state)
{
    struct strbuf sent = STRBUF_EMPTY;
    struct strbuf text = STRBUF_EMPTY;
    struct bench bench;

    (void)state;
    while (sent.len < 3 * HTTP_STREAM_READ_MAX + 1) {
        strbuf_add_int(&sent, (int64_t)sent.len);
    }
    bench_init(&bench, sent.text);
    read_all(&bench, HTTP_STREAM_READ_MAX, &text);
    assert_string_equal(text.text, sent.text);
    strbuf_finish(&sent);
    strbuf_finish(&text);
    bench_finish(&bench);
}

/* Not before the handler wants the body: it may refuse the request by its head alone. */
static void test_continue_is_sent_when_the_body_is_read(void **state)
{
    struct strbuf text = STRBUF_EMPTY;
    struct bench bench;

    (void)state;
    bench_init(&bench, "abcdef");
    bench.stream.wants_continue = true;
    assert_int_equal(bench.client.got.len, 0);
    read_all(&bench, 4, &text);
    assert_string_equal(bench.client.got.text, "HTTP/1.1 100 Continue\r\n\r\n");
    strbuf_finish(&text);
    bench_finish(&bench);
}

static void test_a_head_in_place_of_the_body(void **state)
{
    static const char sends[] = "\r\nPOST\0/p HTTP/1.1\r\n";
    struct strbuf text = STRBUF_EMPTY;
    struct bench bench;

    (void)state;
    bench_init(&bench, "");
    bench.client.sends = sends;
    bench.client.len = sizeof(sends) - 1;
    bench.stream.left = 100;
    read_all(&bench, HTTP_STREAM_READ_MAX, &text);
    assert_int_equal(text.len, 0);
    assert_int_equal(bench.stream.end, HTTP_STREAM_MALFORMED);
    http_stream_problem(&bench.stream, NULL);
    assert_int_equal(bench.response.status, 400);
    strbuf_finish(&text);
    bench_finish(&bench);
}

static void test_why_a_body_ended_early(void **state)
{
    static const struct {
        enum http_stream_end end;
        bool is_chunked;
        int status;
        const char *part;
    } rows[] = {
        {HTTP_STREAM_CUT, false, 408, "did not arrive whole in time\""},
        {HTTP_STREAM_CUT, true, 408, "a chunk of it is malformed"},
        {HTTP_STREAM_DRAINING, false, 503, "this instance ends"},
    };

    (void)state;
    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        struct bench bench;

        bench_init(&bench, "");
        bench.stream.end = rows[i].end;
        bench.stream.is_chunked = rows[i].is_chunked;
        http_stream_problem(&bench.stream, ",\"lines\":7");
        assert_int_equal(bench.response.status, rows[i].status);
        assert_contains(bench.response.body.text, rows[i].part);
        assert_contains(bench.response.body.text, ",\"lines\":7");
        bench_finish(&bench);
    }
}

/* --- answering -------------------------------------------------------------------------------- */

static void test_an_answer_in_chunks(void **state)
{
    struct bench bench;

    (void)state;
    bench_init(&bench, "");
    strbuf_adds(http_start_json(&bench.response, 200), "0123456789abcdef");
    assert_true(http_stream_flush(&bench.stream));
    assert_int_equal(bench.response.body.len, 0);
    assert_true(
        http_stream_flush(&bench.stream)); /* nothing is there: no chunk, it would end all */
    strbuf_adds(&bench.response.body, "xyz");
    http_stream_finish(&bench.stream, true);
    assert_contains(bench.client.got.text, "HTTP/1.1 200 OK\r\n");
    assert_contains(bench.client.got.text, "\r\nTransfer-Encoding: chunked\r\n");
    assert_contains(bench.client.got.text, "\r\nX-Request-Id: test\r\n");
    assert_lacks(bench.client.got.text, "Content-Length");
    assert_string_equal(strstr(bench.client.got.text, "\r\n\r\n"),
                        "\r\n\r\n10\r\n0123456789abcdef\r\n3\r\nxyz\r\n0\r\n\r\n");
    assert_int_equal(bench.stream.sent, 19);
    bench_finish(&bench);
}

static void test_an_answer_that_is_cut(void **state)
{
    struct bench bench;

    (void)state;
    bench_init(&bench, "");
    strbuf_adds(http_start_json(&bench.response, 200), "abc");
    http_stream_flush(&bench.stream);
    strbuf_adds(&bench.response.body, "d");
    http_stream_finish(&bench.stream, false);
    assert_string_equal(strstr(bench.client.got.text, "\r\n\r\n"),
                        "\r\n\r\n3\r\nabc\r\n1\r\nd\r\n");
    bench_finish(&bench);
}

static void test_a_client_that_takes_nothing(void **state)
{
    struct bench bench;
    size_t len;

    (void)state;
    bench_init(&bench, "");
    bench.client.takes_nothing = true;
    strbuf_adds(http_start_json(&bench.response, 200), "abc");
    assert_false(http_stream_flush(&bench.stream));
    len = bench.client.got.len;
    strbuf_adds(&bench.response.body, "def");
    assert_false(http_stream_flush(&bench.stream));
    http_stream_finish(&bench.stream, true);
    assert_int_equal(bench.client.got.len, len); /* it is not written to again */
    assert_int_equal(bench.stream.sent, 0);
    bench_finish(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_a_large_read_comes_in_parts),
        cmocka_unit_test(test_continue_is_sent_when_the_body_is_read),
        cmocka_unit_test(test_a_head_in_place_of_the_body),
        cmocka_unit_test(test_why_a_body_ended_early),
        cmocka_unit_test(test_an_answer_in_chunks),
        cmocka_unit_test(test_an_answer_that_is_cut),
        cmocka_unit_test(test_a_client_that_takes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
