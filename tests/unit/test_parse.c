#include "support.h"

#include "common/base/alloc.h"
#include "common/base/parse.h"

#include <string.h>

static void test_seconds(void **state)
{
    static const struct {
        const char *text;
        int64_t us;
    } rows[] = {
        {"0", 0},
        {"1700000000.123456", INT64_C(1700000000123456)},
        {"1700000000.000000", INT64_C(1700000000000000)},
        {"1.5", 1500000},
        {"-62135596800.000000", INT64_C(-62135596800000000)},
        {"-0.000001", -1},
        {"9223372036854.775807", INT64_MAX},
    };
    static const char *const bad[] = {
        "",   "-",         "Infinity", "-Infinity", "NaN",
        ".5", "1.",        "1.5x",     "1e3",       " 1",
        "+1", "1.1234567", "1.2.3",    "--1",       "9223372036854.775808"};
    int64_t us = 42;

    (void)state;
    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        check_row(parse_seconds_us(rows[i].text, &us) && us == rows[i].us, "%s", rows[i].text);
    }
    for (size_t i = 0; i < FS_ARRAY_LEN(bad); i++) {
        us = 42;
        check_row(!parse_seconds_us(bad[i], &us) && us == 42, "%s is taken", bad[i]);
    }
}

static void test_numbers(void **state)
{
    static const struct {
        const char *text;
        size_t len;
        int64_t min;
        int64_t max;
        bool ok;
        int64_t value;
    } rows[] = {
        {BYTES("0"), 0, 9, true, 0},
        {BYTES("9"), 0, 9, true, 9},
        {BYTES("10"), 0, 9, false, 0},
        {BYTES("10"), 10, 10, true, 10},
        {BYTES("9"), 10, 20, false, 0},
        {BYTES("-1"), -1, 9, true, -1},
        {BYTES("-2"), -1, 9, false, 0},
        {BYTES("-1"), 0, 9, false, 0},
        {BYTES("9223372036854775807"), 0, INT64_MAX, true, INT64_MAX},
        {BYTES("9223372036854775808"), 0, INT64_MAX, false, 0},
        {BYTES("9223372036854775807"), 0, INT64_MAX - 1, false, 0},
        {BYTES("18446744073709551617"), 0, INT64_MAX, false, 0},
        {BYTES("92233720368547758070"), 0, INT64_MAX, false, 0},
        {BYTES("99999999999999999999999999999999"), 0, INT64_MAX, false, 0},
        {BYTES("-9223372036854775808"), INT64_MIN, INT64_MAX, true, INT64_MIN},
        {BYTES("-9223372036854775809"), INT64_MIN, INT64_MAX, false, 0},
        {BYTES("9007199254740991"), 0, PARSE_JSON_INT_MAX, true, PARSE_JSON_INT_MAX},
        {BYTES("9007199254740992"), 0, PARSE_JSON_INT_MAX, false, 0},
        {BYTES("00"), 0, 9, false, 0},
        {BYTES("01"), 0, 9, false, 0},
        {BYTES("-01"), -9, 9, false, 0},
        {BYTES("-0"), -9, 9, false, 0},
        {BYTES("-"), -9, 9, false, 0},
        {BYTES("--1"), -9, 9, false, 0},
        {BYTES("+1"), -9, 9, false, 0},
        {BYTES(""), -9, 9, false, 0},
        {BYTES(" 1"), 0, 9, false, 0},
        {BYTES("1 "), 0, 9, false, 0},
        {BYTES("1\n"), 0, 9, false, 0},
        {BYTES("1\0"), 0, 9, false, 0},
        {BYTES("1.0"), 0, 9, false, 0},
        {BYTES("1e0"), 0, 9, false, 0},
        {BYTES("0x1"), 0, 9, false, 0},
        {BYTES("\xD9\xA1"), 0, 9, false, 0}, /* a digit of another script */
    };

    (void)state;
    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        int64_t value = 4242;
        bool ok = parse_int(rows[i].text, rows[i].len, rows[i].min, rows[i].max, &value);

        check_row(ok == rows[i].ok, "row %zu, '%s': %s", i, rows[i].text, ok ? "taken" : "refused");
        check_row(value == (ok ? rows[i].value : 4242), "row %zu, '%s': %lld", i, rows[i].text,
                  (long long)value);
    }
}

static void test_number_ends_at_len(void **state)
{
    int64_t value = 0;

    (void)state;
    assert_true(parse_int("12345", 3, 0, 999, &value));
    assert_int_equal(value, 123);
}

static void test_json_numbers(void **state)
{
    static const struct {
        const char *text;
        enum parse_number what;
        int64_t value;
    } rows[] = {
        {"0", PARSE_WHOLE, 0},
        {"-0", PARSE_WHOLE, 0},
        {"-0.000e-9", PARSE_WHOLE, 0},
        {"0e999999999999999999999", PARSE_WHOLE, 0},
        {"5.0", PARSE_WHOLE, 5},
        {"-5.00", PARSE_WHOLE, -5},
        {"1e1", PARSE_WHOLE, 10},
        {"1E+1", PARSE_WHOLE, 10},
        {"10e-1", PARSE_WHOLE, 1},
        {"1.25e2", PARSE_WHOLE, 125},
        {"0.00125e5", PARSE_WHOLE, 125},
        {"100000000000000000000e-20", PARSE_WHOLE, 1},
        {"9007199254740993.0", PARSE_WHOLE, 9007199254740993}, /* no double is that */
        {"9223372036854775807", PARSE_WHOLE, INT64_MAX},
        {"-9223372036854775808", PARSE_WHOLE, INT64_MIN},
        {"-9.223372036854775808e18", PARSE_WHOLE, INT64_MIN},
        {"9223372036854775808", PARSE_NOT_WHOLE, 0},
        {"-9223372036854775809", PARSE_NOT_WHOLE, 0},
        {"5.5", PARSE_NOT_WHOLE, 0},
        {"1e-1", PARSE_NOT_WHOLE, 0},
        {"5.0000000000000000000000000001", PARSE_NOT_WHOLE, 0},
        {"1.25e1", PARSE_NOT_WHOLE, 0},
        {"1e19", PARSE_NOT_WHOLE, 0},
        {"1e400", PARSE_NOT_WHOLE, 0},
        {"1e99999999999999999999", PARSE_NOT_WHOLE, 0},
        {"1e-99999999999999999999", PARSE_NOT_WHOLE, 0},
        {"", PARSE_NO_NUMBER, 0},
        {"-", PARSE_NO_NUMBER, 0},
        {"+1", PARSE_NO_NUMBER, 0},
        {"01", PARSE_NO_NUMBER, 0},
        {"-01", PARSE_NO_NUMBER, 0},
        {"1.", PARSE_NO_NUMBER, 0},
        {".5", PARSE_NO_NUMBER, 0},
        {"1e", PARSE_NO_NUMBER, 0},
        {"1e+", PARSE_NO_NUMBER, 0},
        {"1e1.5", PARSE_NO_NUMBER, 0},
        {"1 ", PARSE_NO_NUMBER, 0},
        {"0x1", PARSE_NO_NUMBER, 0},
        {"1-1", PARSE_NO_NUMBER, 0},
    };

    (void)state;
    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        int64_t value = 4242;

        check_row(parse_json_number(rows[i].text, strlen(rows[i].text), &value) == rows[i].what,
                  "%s", rows[i].text);
        check_row(value == (rows[i].what == PARSE_WHOLE ? rows[i].value : 4242), "%s: %lld",
                  rows[i].text, (long long)value);
    }
}

static void test_json_decimals(void **state)
{
    static const struct {
        const char *text;
        int places;
        enum parse_number what;
        int64_t value;
    } rows[] = {
        {"0", 2, PARSE_WHOLE, 0},
        {"12", 2, PARSE_WHOLE, 1200},
        {"12.5", 2, PARSE_WHOLE, 1250},
        {"12.50", 2, PARSE_WHOLE, 1250},
        {"-0.01", 2, PARSE_WHOLE, -1},
        {"12.500", 2, PARSE_WHOLE, 1250},
        {"125e-1", 2, PARSE_WHOLE, 1250},
        {"0.29", 2, PARSE_WHOLE, 29}, /* a double times 100 is 28.999999999999996 */
        {"9999999999.99", 2, PARSE_WHOLE, 999999999999},
        {"92233720368547758.07", 2, PARSE_WHOLE, INT64_MAX},
        {"92233720368547758.08", 2, PARSE_NOT_WHOLE, 0},
        {"12.505", 2, PARSE_NOT_WHOLE, 0},
        {"12.500000000000000000001", 2, PARSE_NOT_WHOLE, 0},
        {"1e-3", 2, PARSE_NOT_WHOLE, 0},
        {"1e-3", 3, PARSE_WHOLE, 1},
        {"12.", 2, PARSE_NO_NUMBER, 0},
    };

    (void)state;
    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        int64_t value = 4242;

        check_row(parse_json_decimal(rows[i].text, strlen(rows[i].text), rows[i].places, &value) ==
                      rows[i].what,
                  "%s", rows[i].text);
        check_row(value == (rows[i].what == PARSE_WHOLE ? rows[i].value : 4242), "%s: %lld",
                  rows[i].text, (long long)value);
    }
}

static void test_ids(void **state)
{
    int64_t id = 4242;

    (void)state;
    assert_false(parse_id(BYTES("0"), &id));
    assert_false(parse_id(BYTES("-1"), &id));
    assert_false(parse_id(BYTES("9223372036854775808"), &id));
    assert_int_equal(id, 4242);
    assert_true(parse_id(BYTES("1"), &id));
    assert_int_equal(id, 1);
    assert_true(parse_id(BYTES("9223372036854775807"), &id));
    assert_true(id == INT64_MAX);
}

/* RFC 3629: the ends of every range of section 4, and the values just outside of them. */
static void test_utf8(void **state)
{
    static const struct {
        const char *what;
        const char *bytes;
        size_t len;
        bool ok;
    } rows[] = {
        {"nothing", BYTES(""), true},
        {"U+0001", BYTES("\x01"), true},
        {"U+007F", BYTES("\x7F"), true},
        {"U+0080", BYTES("\xC2\x80"), true},
        {"U+07FF", BYTES("\xDF\xBF"), true},
        {"U+0800", BYTES("\xE0\xA0\x80"), true},
        {"U+D7FF", BYTES("\xED\x9F\xBF"), true},
        {"U+E000", BYTES("\xEE\x80\x80"), true},
        {"U+FFFF", BYTES("\xEF\xBF\xBF"), true},
        {"U+10000", BYTES("\xF0\x90\x80\x80"), true},
        {"U+10FFFF", BYTES("\xF4\x8F\xBF\xBF"), true},
        {"all lengths", BYTES("a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x93\xA6z"), true},
        {"NUL", BYTES("\0"), false},
        {"NUL inside", BYTES("a\0b"), false},
        {"lone continuation", BYTES("\x80"), false},
        {"continuation behind ASCII", BYTES("a\xBF"), false},
        {"overlong NUL", BYTES("\xC0\x80"), false},
        {"overlong U+007F", BYTES("\xC1\xBF"), false},
        {"overlong U+07FF", BYTES("\xE0\x9F\xBF"), false},
        {"overlong U+FFFF", BYTES("\xF0\x8F\xBF\xBF"), false},
        {"surrogate U+D800", BYTES("\xED\xA0\x80"), false},
        {"surrogate U+DFFF", BYTES("\xED\xBF\xBF"), false},
        {"U+110000", BYTES("\xF4\x90\x80\x80"), false},
        {"first byte F5", BYTES("\xF5\x80\x80\x80"), false},
        {"first byte F8", BYTES("\xF8\x88\x80\x80\x80"), false},
        {"first byte FE", BYTES("\xFE"), false},
        {"first byte FF", BYTES("\xFF"), false},
        {"2 bytes, cut", BYTES("\xC3"), false},
        {"3 bytes, cut", BYTES("\xE2\x82"), false},
        {"4 bytes, cut", BYTES("\xF0\x9F\x93"), false},
        {"second byte is ASCII", BYTES("\xC3("), false},
        {"third byte is ASCII", BYTES("\xE2\x82("), false},
        {"fourth byte is ASCII", BYTES("\xF0\x9F\x93("), false},
        {"fourth byte is too high", BYTES("\xF0\x9F\x93\xC0"), false},
        {"bad behind good", BYTES("\xC3\xA9\xC3"), false},
    };

    (void)state;
    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        check_row(parse_is_utf8(rows[i].bytes, rows[i].len) == rows[i].ok, "%s", rows[i].what);
    }
}

static void test_percent_decoding(void **state)
{
    static const struct {
        const char *in;
        size_t len;
        const char *out; /* NULL: refused */
    } rows[] = {
        {BYTES(""), ""},
        {BYTES("plain-._~"), "plain-._~"},
        {BYTES("a+b"), "a b"},
        {BYTES("a%2Bb"), "a+b"},
        {BYTES("a%2bb"), "a+b"},
        {BYTES("%20"), " "},
        {BYTES("%252B"), "%2B"}, /* once, not twice */
        {BYTES("%C3%A9"), "\xC3\xA9"},
        {BYTES("%f0%9f%93%a6"), "\xF0\x9F\x93\xA6"},
        {BYTES("%01%7F"), "\x01\x7F"},
        {BYTES("\xC3\xA9"), "\xC3\xA9"},
        {BYTES("%"), NULL},
        {BYTES("%4"), NULL},
        {BYTES("a%"), NULL},
        {BYTES("a%4"), NULL},
        {BYTES("%G0"), NULL},
        {BYTES("%0G"), NULL},
        {BYTES("%-1"), NULL},
        {BYTES("% 1"), NULL},
        {BYTES("%%41"), NULL},
        {BYTES("%00"), NULL},
        {BYTES("a%00b"), NULL},
        {BYTES("%C3"), NULL},
        {BYTES("%C0%80"), NULL},
        {BYTES("%ED%A0%80"), NULL},
        {BYTES("\xFF"), NULL},
    };

    (void)state;
    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        char text[32];
        size_t len = rows[i].len;
        bool ok;

        memcpy(text, rows[i].in, len);
        ok = parse_percent_decode(text, &len);
        check_row(ok == (rows[i].out != NULL), "'%s': %s", rows[i].in, ok ? "taken" : "refused");
        check_row(!ok || (len == strlen(rows[i].out) && memcmp(text, rows[i].out, len) == 0),
                  "'%s': '%.*s'", rows[i].in, (int)len, text);
    }
}

/* An escape that the end cuts off must not be completed by the bytes behind the end. */
static void test_percent_decoding_stops_at_len(void **state)
{
    char text[] = "a%41";
    size_t len = 3;

    (void)state;
    assert_false(parse_percent_decode(text, &len));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_seconds),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_number_ends_at_len),
        cmocka_unit_test(test_json_numbers),
        cmocka_unit_test(test_json_decimals),
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_percent_decoding),
        cmocka_unit_test(test_percent_decoding_stops_at_len),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
