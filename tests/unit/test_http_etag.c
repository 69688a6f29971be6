#include "support.h"

#include "common/base/alloc.h"
#include "common/http/etag.h"

#include <string.h>

static enum etag_match match_list(const char *list, int64_t version, bool weak)
{
    int64_t first = 0;

    return etag_match_list(list, version, weak, &first);
}

/* --- lists ------------------------------------------------------------------------------------ */

static void test_etag_lists(void **state)
{
    static const struct {
        const char *list;
        enum etag_match strong; /* of version 5 */
        enum etag_match weak;
    } rows[] = {
        {"\"5\"", ETAG_FOUND, ETAG_FOUND},
        {"W/\"5\"", ETAG_NONE, ETAG_FOUND},
        {"\"4\"", ETAG_NONE, ETAG_NONE},
        {"\"05\"", ETAG_NONE, ETAG_NONE},
        {"\"-5\"", ETAG_NONE, ETAG_NONE},
        {"\"5 \"", ETAG_NONE, ETAG_NONE},
        {"\"\"", ETAG_NONE, ETAG_NONE},
        {"\"abc\"", ETAG_NONE, ETAG_NONE},
        {"\"55555555555555555555555\"", ETAG_NONE, ETAG_NONE},
        {"\"4\",\"5\"", ETAG_FOUND, ETAG_FOUND},
        {"\"5\",\"6\"", ETAG_FOUND, ETAG_FOUND},
        {"\"4\", \"6\"", ETAG_NONE, ETAG_NONE},
        {" \t\"4\" \t,\t \"5\" ", ETAG_FOUND, ETAG_FOUND},
        {"\"4\", W/\"5\"", ETAG_NONE, ETAG_FOUND},
        {"\"a,b\", \"5\"", ETAG_FOUND, ETAG_FOUND}, /* a comma may stand in a tag */
        {"*", ETAG_ANY, ETAG_ANY},
        {" * ", ETAG_ANY, ETAG_ANY},
        {"**", ETAG_INVALID, ETAG_INVALID},
        {"*, \"5\"", ETAG_INVALID, ETAG_INVALID},
        {"\"5\", *", ETAG_INVALID, ETAG_INVALID},
        {"", ETAG_INVALID, ETAG_INVALID},
        {"  ", ETAG_INVALID, ETAG_INVALID},
        {"5", ETAG_INVALID, ETAG_INVALID},
        {"\"5", ETAG_INVALID, ETAG_INVALID},
        {"5\"", ETAG_INVALID, ETAG_INVALID},
        {"'5'", ETAG_INVALID, ETAG_INVALID},
        {"w/\"5\"", ETAG_INVALID, ETAG_INVALID}, /* case-sensitive */
        {"W/5", ETAG_INVALID, ETAG_INVALID},
        {"W/ \"5\"", ETAG_INVALID, ETAG_INVALID},
        {"\"5\" \"6\"", ETAG_INVALID, ETAG_INVALID},
        {"\"5\";", ETAG_INVALID, ETAG_INVALID},
        {"\"5\", 6", ETAG_INVALID, ETAG_INVALID},
    };

    (void)state;
    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        check_row(match_list(rows[i].list, 5, false) == rows[i].strong, "strong: %s", rows[i].list);
        check_row(match_list(rows[i].list, 5, true) == rows[i].weak, "weak: %s", rows[i].list);
    }
}

static void test_etag_of_the_largest_version(void **state)
{
    (void)state;
    assert_int_equal(match_list("\"9223372036854775807\"", INT64_MAX, false), ETAG_FOUND);
    assert_int_equal(match_list("\"9223372036854775808\"", INT64_MAX, false), ETAG_NONE);
}

/* RFC 9110 section 5.6.1.2: a recipient parses and ignores empty elements. */
static void test_etag_lists_may_have_empty_elements(void **state)
{
    (void)state;
    assert_int_equal(match_list("\"4\",,\"5\"", 5, false), ETAG_FOUND);
    assert_int_equal(match_list(", \"5\"", 5, false), ETAG_FOUND);
    assert_int_equal(match_list("\"5\", ", 5, false), ETAG_FOUND);
}

/* --- preconditions ---------------------------------------------------------------------------- */

#define LINES_MAX 3

static struct http_request request_with(const char *name, const char *const values[LINES_MAX])
{
    struct http_request request;

    http_request_init(&request, "POST", "/", "");
    for (size_t i = 0; i < LINES_MAX && values[i] != NULL; i++) {
        assert_true(http_request_add(&request, name, strlen(name), values[i], strlen(values[i])));
    }
    return request;
}

static void test_if_match(void **state)
{
    static const struct {
        const char *lines[LINES_MAX];
        enum etag_match match; /* of version 5 */
        int64_t first;         /* -1: not set */
    } rows[] = {
        {{NULL}, ETAG_ANY, -1},
        {{"*"}, ETAG_ANY, -1},
        {{" * "}, ETAG_ANY, -1},
        {{"\"5\""}, ETAG_FOUND, 5},
        {{" \"5\"\t"}, ETAG_FOUND, 5},
        {{"\"4\", \"5\""}, ETAG_FOUND, 4},
        {{"\"abc\", \"5\", \"4\""}, ETAG_FOUND, 5},
        {{"\"4\"", "\"5\""}, ETAG_FOUND, 4},
        {{"\"5\"", "\"6\"", "\"7\""}, ETAG_FOUND, 5},
        {{"\"6\"", "W/\"5\""}, ETAG_NONE, 6},
        {{"W/\"5\""}, ETAG_NONE, 0}, /* weak tags never match strongly, RFC 9110 section 13.1.1 */
        {{"\"9223372036854775807\""}, ETAG_NONE, INT64_MAX},
        {{"\"9223372036854775808\""}, ETAG_NONE, 0},
        {{"\"0\""}, ETAG_NONE, 0},
        {{"\"05\""}, ETAG_NONE, 0},
        {{"\"\""}, ETAG_NONE, 0},
        {{"\"5\" x"}, ETAG_INVALID, -1},
        {{"\"5\"", "x"}, ETAG_INVALID, -1},
        {{"\"5\"", "*"}, ETAG_INVALID, -1},
        {{"*", "*"}, ETAG_INVALID, -1},
        {{"* x"}, ETAG_INVALID, -1},
        {{"5"}, ETAG_INVALID, -1},
        {{"\"5"}, ETAG_INVALID, -1},
        {{""}, ETAG_INVALID, -1},
    };

    (void)state;
    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        struct http_request request = request_with("If-Match", rows[i].lines);
        int64_t first = -1;

        check_row(http_if_match(&request, 5, &first) == rows[i].match, "row %zu", i);
        check_row(first == rows[i].first, "row %zu: first %lld", i, (long long)first);
        assert_int_equal(http_if_match(&request, 5, NULL), rows[i].match);
    }
}

static void test_if_none_match(void **state)
{
    static const struct {
        const char *lines[LINES_MAX];
        bool has; /* version 5 */
    } rows[] = {
        {{NULL}, false},
        {{"*"}, true},
        {{"W/\"5\""}, true},
        {{"\"4\"", "\"5\""}, true},
        {{"\"4\"", "\"6\""}, false},
        {{"nonsense", "\"5\""}, true}, /* a line that cannot be read is no condition */
        {{"nonsense"}, false},
    };

    (void)state;
    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        struct http_request request = request_with("If-None-Match", rows[i].lines);

        check_row(http_if_none_match(&request, 5) == rows[i].has, "row %zu", i);
    }
}

static void test_an_etag_is_the_version(void **state)
{
    struct http_response response = {.status = 200};

    (void)state;
    http_add_etag(&response, INT64_MAX);
    assert_string_equal(response.headers.text, "ETag: \"9223372036854775807\"\r\n");
    http_response_finish(&response);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_etag_lists),
        cmocka_unit_test(test_etag_of_the_largest_version),
        cmocka_unit_test(test_etag_lists_may_have_empty_elements),
        cmocka_unit_test(test_if_match),
        cmocka_unit_test(test_if_none_match),
        cmocka_unit_test(test_an_etag_is_the_version),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
