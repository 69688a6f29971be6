#include "support.h"

#include "common/base/alloc.h"
#include "common/base/strbuf.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void test_empty(void **state)
{
    struct strbuf buf = STRBUF_EMPTY;

    (void)state;
    assert_string_equal(strbuf_text(&buf), "");
    strbuf_clear(&buf); /* of a buffer that has no memory yet */
    strbuf_truncate(&buf, 3);
    assert_int_equal(buf.len, 0);
    strbuf_adds(&buf, "");
    assert_non_null(buf.text);
    assert_string_equal(buf.text, "");
    strbuf_finish(&buf);
    assert_null(buf.text);
    strbuf_finish(&buf); /* twice does no harm */
}

static void test_adding(void **state)
{
    struct strbuf buf = STRBUF_EMPTY;

    (void)state;
    strbuf_adds(&buf, "one");
    strbuf_addc(&buf, ' ');
    strbuf_add(&buf, "two three", 3);
    strbuf_addf(&buf, " %s %d", "four", 5);
    assert_string_equal(strbuf_text(&buf), "one two four 5");
    assert_int_equal(buf.len, strlen("one two four 5"));
    strbuf_finish(&buf);
}

static void test_bytes_may_be_nul(void **state)
{
    struct strbuf buf = STRBUF_EMPTY;

    (void)state;
    strbuf_add(&buf, BYTES("a\0b"));
    strbuf_addc(&buf, '\0');
    assert_int_equal(buf.len, 4);
    assert_memory_equal(buf.text, "a\0b\0", 5);
    strbuf_finish(&buf);
}

/* Grows over every size of its memory, by each way of adding, without losing a byte or the NUL
 * behind the last. */
static void test_growing(void **state)
{
    struct strbuf buf = STRBUF_EMPTY;
    char expected[3000];
    size_t len = 0;

    (void)state;
    for (int i = 0; len < 2900; i++) {
        if (i % 3 == 0) {
            strbuf_addc(&buf, (char)('a' + i % 26));
            expected[len++] = (char)('a' + i % 26);
        } else if (i % 3 == 1) {
            strbuf_add_int(&buf, i);
            len += (size_t)sprintf(expected + len, "%d", i);
        } else {
            strbuf_addf(&buf, "<%d>", i);
            len += (size_t)sprintf(expected + len, "<%d>", i);
        }
        assert_int_equal(buf.len, len);
        assert_true(buf.capacity > buf.len);
        assert_int_equal(buf.text[buf.len], '\0');
    }
    assert_memory_equal(buf.text, expected, len);
    strbuf_finish(&buf);
}

static void test_one_large_addition(void **state)
{
    struct strbuf buf = STRBUF_EMPTY;

    (void)state;
    strbuf_addf(&buf, "%0100000d", 7);
    assert_int_equal(buf.len, 100000);
    assert_int_equal(strlen(buf.text), 100000);
    assert_int_equal(buf.text[99999], '7');
    strbuf_finish(&buf);
}

static void test_truncate(void **state)
{
    struct strbuf buf = STRBUF_EMPTY;
    const char *memory;

    (void)state;
    strbuf_adds(&buf, "abcdef");
    memory = buf.text;
    strbuf_truncate(&buf, 100);
    assert_string_equal(buf.text, "abcdef");
    strbuf_truncate(&buf, 6);
    assert_string_equal(buf.text, "abcdef");
    strbuf_truncate(&buf, 2);
    assert_string_equal(buf.text, "ab");
    assert_int_equal(buf.len, 2);
    strbuf_clear(&buf);
    assert_string_equal(buf.text, "");
    assert_ptr_equal(buf.text, memory);
    strbuf_finish(&buf);
}

static void test_integers(void **state)
{
    static const int64_t values[] = {0,
                                     1,
                                     -1,
                                     9,
                                     10,
                                     -10,
                                     99,
                                     100,
                                     INT32_MAX,
                                     INT32_MIN,
                                     INT64_C(9007199254740991),
                                     INT64_MAX,
                                     INT64_MIN,
                                     INT64_MIN + 1};

    (void)state;
    for (size_t i = 0; i < FS_ARRAY_LEN(values); i++) {
        struct strbuf buf = STRBUF_EMPTY;
        char expected[32];

        snprintf(expected, sizeof(expected), "%" PRId64, values[i]);
        strbuf_add_int(&buf, values[i]);
        assert_string_equal(buf.text, expected);
        strbuf_finish(&buf);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_adding),
        cmocka_unit_test(test_bytes_may_be_nul),
        cmocka_unit_test(test_growing),
        cmocka_unit_test(test_one_large_addition),
        cmocka_unit_test(test_truncate),
        cmocka_unit_test(test_integers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
