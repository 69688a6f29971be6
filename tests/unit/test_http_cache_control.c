#include "support.h"

#include "common/base/alloc.h"
#include "common/http/cache_control.h"

#include <string.h>

#define LINES_MAX 3
#define ANY INT64_MAX

static struct http_cache_control read_lines(const char *const lines[LINES_MAX])
{
    struct http_request request;

    http_request_init(&request, "GET", "/", "");
    for (size_t i = 0; i < LINES_MAX && lines[i] != NULL; i++) {
        assert_true(http_request_add(&request, "Cache-Control", 13, lines[i], strlen(lines[i])));
    }
    return http_cache_control(&request);
}

struct row {
    const char *lines[LINES_MAX];
    struct http_cache_control asked; /* max_age_s, no_cache, max_stale_s, only_if_cached */
};

static void check_rows(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct http_cache_control *asked = &rows[i].asked;
        struct http_cache_control got = read_lines(rows[i].lines);

        check_row(got.max_age_s == asked->max_age_s && got.no_cache == asked->no_cache &&
                      got.max_stale_s == asked->max_stale_s &&
                      got.only_if_cached == asked->only_if_cached,
                  "row %zu: %s: max-age %lld, no-cache %d, max-stale %lld, only-if-cached %d", i,
                  rows[i].lines[0] == NULL ? "" : rows[i].lines[0], (long long)got.max_age_s,
                  got.no_cache, (long long)got.max_stale_s, got.only_if_cached);
    }
}

static void test_directives(void **state)
{
    static const struct row rows[] = {
        {{NULL}, {-1, false, -1, false}},
        {{""}, {-1, false, -1, false}},
        {{" , \t,"}, {-1, false, -1, false}},
        {{"no-cache"}, {0, true, -1, false}},
        {{"max-age=0"}, {0, false, -1, false}},
        {{"max-age=10"}, {10, false, -1, false}},
        {{"max-age=007"}, {7, false, -1, false}},
        {{"max-stale"}, {-1, false, ANY, false}},
        {{"max-stale=0"}, {-1, false, 0, false}},
        {{"max-stale=30"}, {-1, false, 30, false}},
        {{"only-if-cached"}, {-1, false, -1, true}},
        {{"max-age=1, max-stale=5,only-if-cached"}, {1, false, 5, true}},
        {{"MAX-AGE=1, Max-Stale=5, Only-If-Cached, NO-CACHE"}, {0, true, 5, true}},
        {{"no-cache, max-age=5"}, {0, true, -1, false}},
        {{"max-age=5, no-cache"}, {0, true, -1, false}},
        {{",, max-age=5 \t,\t max-stale ,"}, {5, false, ANY, false}},
        {{"max-age=5", "max-stale=2", "only-if-cached"}, {5, false, 2, true}},
        {{"max-age=\"5\", max-stale=\"6\""}, {5, false, 6, false}}, /* section 5.2 */
    };

    (void)state;
    check_rows(rows, FS_ARRAY_LEN(rows));
}

static void test_other_directives_are_ignored(void **state)
{
    static const struct row rows[] = {
        {{"no-store"}, {-1, false, -1, false}},
        {{"no-transform, min-fresh=5, x"}, {-1, false, -1, false}},
        {{"x=y, max-age=3"}, {3, false, -1, false}},
        {{"x=\"a, max-age=0, b\", max-age=3"}, {3, false, -1, false}},
        {{"x=\"\\\", max-age=0\", max-age=3"}, {3, false, -1, false}},
        {{"x=\"\", max-age=3"}, {3, false, -1, false}},
        {{"x-max-age=0, max-ages=0, max-ag=0, max-age=3"}, {3, false, -1, false}},
        {{"only-if-cached=1, no-cache=\"x\""}, {0, true, -1, true}},
    };

    (void)state;
    check_rows(rows, FS_ARRAY_LEN(rows));
}

static void test_large_numbers(void **state)
{
    static const struct row rows[] = {
        {{"max-age=2147483647"}, {2147483647, false, -1, false}},
        {{"max-age=2147483649"}, {HTTP_CACHE_CONTROL_MAX_S, false, -1, false}},
        {{"max-age=18446744073709551616"}, {HTTP_CACHE_CONTROL_MAX_S, false, -1, false}},
        {{"max-stale=99999999999999999999999999999999"},
         {-1, false, HTTP_CACHE_CONTROL_MAX_S, false}},
        {{"max-stale=9223372036854775807"}, {-1, false, HTTP_CACHE_CONTROL_MAX_S, false}},
    };

    (void)state;
    check_rows(rows, FS_ARRAY_LEN(rows));
}

static void test_doubt_asks_for_the_strictest(void **state)
{
    static const struct row rows[] = {
        {{"max-age"}, {0, false, -1, false}},
        {{"max-age=\"\""}, {0, false, -1, false}},
        {{"max-age=x"}, {0, false, -1, false}},
        {{"max-age=-1"}, {0, false, -1, false}},
        {{"max-age=1.5"}, {0, false, -1, false}},
        {{"max-age=+5"}, {0, false, -1, false}},
        {{"max-age=5s"}, {0, false, -1, false}},
        {{"max-age=\"5\\0\""}, {0, false, -1, false}},
        {{"max-age=5, max-age=5"}, {5, false, -1, false}},
        {{"max-age=5, max-age=05"}, {5, false, -1, false}},
        {{"max-age=5, max-age=6"}, {0, false, -1, false}},
        {{"max-age=5", "max-age=6"}, {0, false, -1, false}},
        {{"max-age=5", "max-age=6", "max-age=6"}, {0, false, -1, false}},
        {{"max-age=x, max-age=5"}, {0, false, -1, false}},
        {{"max-stale=x"}, {-1, false, -1, false}},
        {{"max-stale=\"\""}, {-1, false, -1, false}},
        {{"max-stale, max-stale"}, {-1, false, ANY, false}},
        {{"max-stale, max-stale=5"}, {-1, false, -1, false}},
        {{"max-stale=5, max-stale=6"}, {-1, false, -1, false}},
        {{"max-stale=x, max-stale=5"}, {-1, false, -1, false}},
        {{"max-stale=x, max-age=5"}, {5, false, -1, false}},
    };

    (void)state;
    check_rows(rows, FS_ARRAY_LEN(rows));
}

/* A directive may stand behind the place that cannot be read. */
static void test_so_does_a_line_that_cannot_be_read(void **state)
{
    static const struct row rows[] = {
        {{"max-age="}, {0, false, -1, false}},
        {{"max-age =5"}, {0, false, -1, false}},
        {{"max-age= 5"}, {0, false, -1, false}},
        {{"max-age=5 max-stale"}, {0, false, -1, false}},
        {{"max-age=5; max-stale"}, {0, false, -1, false}},
        {{"max-stale=5, =x"}, {0, false, -1, false}},
        {{"max-stale=5, \"x\""}, {0, false, -1, false}},
        {{"x=\"max-age=5"}, {0, false, -1, false}},
        {{"x=\"max-age=5\\\""}, {0, false, -1, false}},
        {{"x=\"max-age=5\\"}, {0, false, -1, false}},
        {{"max-age=\"5\"6"}, {0, false, -1, false}},
        {{"max-age=5", "(", "max-stale=6"}, {0, false, -1, false}},
        {{"only-if-cached, ("}, {0, false, -1, true}},
        {{"\xC3\xA9"}, {0, false, -1, false}},
    };

    (void)state;
    check_rows(rows, FS_ARRAY_LEN(rows));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_directives),
        cmocka_unit_test(test_other_directives_are_ignored),
        cmocka_unit_test(test_large_numbers),
        cmocka_unit_test(test_doubt_asks_for_the_strictest),
        cmocka_unit_test(test_so_does_a_line_that_cannot_be_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
