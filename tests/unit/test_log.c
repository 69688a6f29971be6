#include "support.h"

#include "common/base/log.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/strbuf.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The one line that `fields` make, without its end, checked to be JSON. */
static void log_line(enum log_level level, const struct log_field *fields, struct strbuf *line)
{
    struct support_capture capture = support_capture_start();

    log_write(level, fields);
    strbuf_clear(line);
    support_capture_end(&capture, line);
    assert_true(line->len > 0);
    assert_int_equal(line->text[line->len - 1], '\n');
    strbuf_truncate(line, line->len - 1);
    assert_null(strchr(line->text, '\n'));
    check_row(support_is_json_object(line->text, line->len), "no JSON: %s", line->text);
}

/* --- lines ------------------------------------------------------------------------------------ */

static void test_a_line(void **state)
{
    struct strbuf line = STRBUF_EMPTY;
    char before[CLOCK_RFC3339_SIZE];
    char after[CLOCK_RFC3339_SIZE];
    const char *rest;

    (void)state;
    log_init("read-svc", LOG_INFO);
    clock_format_rfc3339(clock_wall_us(), before);
    log_line(LOG_INFO,
             LOG_FIELDS(log_msg("listening"), log_str("host", "::"), log_int("port", 8080),
                        log_num("took_ms", 0.25)),
             &line);
    clock_format_rfc3339(clock_wall_us(), after);
    assert_int_equal(strncmp(line.text, "{\"ts\":\"", 7), 0);
    assert_true(strncmp(line.text + 7, before, strlen(before)) >= 0);
    assert_true(strncmp(line.text + 7, after, strlen(after)) <= 0);
    rest = line.text + 7 + strlen(before);
    assert_string_equal(
        rest,
        "\",\"level\":\"info\",\"service\":\"read-svc\",\"msg\":\"listening\",\"host\":\"::\","
        "\"port\":8080,\"took_ms\":0.250}");
    strbuf_finish(&line);
}

static void test_extremes_stay_json(void **state)
{
    static const char *const texts[] = {"\"",           "\\",       "\n{\"level\":\"error\"}\n",
                                        "\r\t\x01\x7F", "\xFF\xC3", "</script>"};
    struct strbuf line = STRBUF_EMPTY;

    (void)state;
    log_init("read-svc", LOG_INFO);
    for (size_t i = 0; i < FS_ARRAY_LEN(texts); i++) {
        log_line(LOG_INFO, LOG_FIELDS(log_msg(texts[i]), log_str(texts[i], texts[i])), &line);
    }
    log_line(
        LOG_INFO,
        LOG_FIELDS(log_int("least", INT64_MIN), log_int("most", INT64_MAX), log_num("neg", -1e300)),
        &line);
    assert_contains(line.text,
                    "\"least\":-9223372036854775808,\"most\":9223372036854775807,\"neg\":-1");
    strbuf_finish(&line);
}

static void test_numbers_that_json_has_not(void **state)
{
    struct strbuf line = STRBUF_EMPTY;

    (void)state;
    log_init("read-svc", LOG_INFO);
    log_line(LOG_INFO, LOG_FIELDS(log_num("x", (double)NAN)), &line);
    log_line(LOG_INFO, LOG_FIELDS(log_num("x", (double)INFINITY)), &line);
    strbuf_finish(&line);
}

static void test_empty_texts_are_left_out(void **state)
{
    struct strbuf line = STRBUF_EMPTY;

    (void)state;
    log_init("read-svc", LOG_INFO);
    log_line(
        LOG_INFO,
        LOG_FIELDS(log_str("none", NULL), log_msg("m"), log_str("empty", ""), log_int("zero", 0)),
        &line);
    assert_contains(line.text, "\"service\":\"read-svc\",\"msg\":\"m\",\"zero\":0}");
    strbuf_finish(&line);
}

static void test_levels(void **state)
{
    static const struct {
        enum log_level least;
        const char *lines[5]; /* the level of each, in order */
    } rows[] = {{LOG_DEBUG, {"debug", "info", "warn", "error", NULL}},
                {LOG_INFO, {"info", "warn", "error", NULL}},
                {LOG_WARN, {"warn", "error", NULL}},
                {LOG_ERROR, {"error", NULL}}};

    (void)state;
    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        struct strbuf text = STRBUF_EMPTY;
        struct support_capture capture = support_capture_start();
        const char *at;

        log_init("s", rows[i].least);
        log_debug(log_msg("m"));
        log_info(log_msg("m"));
        log_warn(log_msg("m"));
        log_error(log_msg("m"));
        support_capture_end(&capture, &text);
        at = strbuf_text(&text);
        for (size_t l = 0; rows[i].lines[l] != NULL; l++) {
            char level[32];

            snprintf(level, sizeof(level), "\"level\":\"%s\"", rows[i].lines[l]);
            at = strstr(at, level);
            check_row(at != NULL, "no %s from level %d on, in order", rows[i].lines[l],
                      (int)rows[i].least);
            at = strchr(at, '\n') + 1;
        }
        assert_string_equal(at, "");
        strbuf_finish(&text);
    }
    log_init("s", LOG_INFO);
}

/* --- many threads ----------------------------------------------------------------------------- */

#define THREADS 6
#define LINES 40

struct writer {
    pthread_t thread;
    char letter;
    size_t text_len;
};

static void *write_lines(void *arg)
{
    struct writer *writer = arg;
    char *text = fs_calloc(1, writer->text_len + 1);

    memset(text, writer->letter, writer->text_len);
    for (int i = 0; i < LINES; i++) {
        log_info(log_str("text", text));
    }
    free(text);
    return NULL;
}

static size_t count_newlines(const char *bytes, size_t len)
{
    size_t count = 0;

    for (size_t i = 0; i < len; i++) {
        count += bytes[i] == '\n';
    }
    return count;
}

/* Each line is JSON, and holds the text of one thread whole. */
static void check_lines(char *text, size_t text_len)
{
    char *rest = NULL;
    size_t lines = 0;

    for (char *line = strtok_r(text, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        const char *value = strstr(line, "\"text\":\"");

        check_row(support_is_json_object(line, strlen(line)), "line %zu is no JSON: %.100s...",
                  lines, line);
        assert_non_null(value);
        value += strlen("\"text\":\"");
        assert_int_equal(strspn(value, (const char[]){*value, '\0'}), text_len);
        lines++;
    }
    assert_int_equal(lines, THREADS * LINES);
}

/* Threads write while this one reads slower than they do, as a collector of logs may: the pipe is
 * full most of the time. */
static void check_threads(size_t text_len)
{
    struct writer writers[THREADS];
    struct strbuf text = STRBUF_EMPTY;
    struct support_capture capture = support_capture_start();
    size_t lines = 0;
    char chunk[2000];
    ssize_t len = 1;

    for (size_t i = 0; i < THREADS; i++) {
        writers[i].letter = (char)('a' + (int)i);
        writers[i].text_len = text_len;
        pthread_create(&writers[i].thread, NULL, write_lines, &writers[i]);
    }
    while (lines < (size_t)THREADS * LINES &&
           (len = read(capture.read_end, chunk, sizeof(chunk))) > 0) {
        strbuf_add(&text, chunk, (size_t)len);
        lines += count_newlines(chunk, (size_t)len);
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(writers[i].thread, NULL);
    }
    support_capture_end(&capture, &text);
    assert_true(len > 0);
    check_lines(text.text, text_len);
    strbuf_finish(&text);
}

static void test_lines_of_threads_never_mix(void **state)
{
    (void)state;
    log_init("read-svc", LOG_INFO);
    check_threads(200);
}

/* A line may be longer than a pipe takes in one go (PIPE_BUF, 4 KiB): the path of a request
 * may have 16 KiB. */
static void test_long_lines_of_threads_never_mix(void **state)
{
    (void)state;
    log_init("read-svc", LOG_INFO);
    check_threads(16000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_line),
        cmocka_unit_test(test_extremes_stay_json),
        cmocka_unit_test(test_numbers_that_json_has_not),
        cmocka_unit_test(test_empty_texts_are_left_out),
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_lines_of_threads_never_mix),
        cmocka_unit_test(test_long_lines_of_threads_never_mix),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
