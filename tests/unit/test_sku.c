#include "support.h"

#include "common/base/alloc.h"
#include "common/products/sku.h"

#include <string.h>

#define SIXTY_FOUR "0123456789012345678901234567890123456789012345678901234567890123"

static void test_which_texts_are_skus(void **state)
{
    static const struct {
        const char *text;
        size_t len;
        bool is_sku;
    } rows[] = {
        {BYTES("A"), true},
        {BYTES("~"), true},
        {BYTES("!"), true},
        {BYTES("MUG 12-b/\"\\"), true},
        {BYTES(SIXTY_FOUR), true},
        {BYTES(""), false},
        {BYTES(SIXTY_FOUR "4"), false},
        {BYTES(" "), false},
        {BYTES(" A"), false},
        {BYTES("A "), false},
        {BYTES("A,B"), false},
        {BYTES(","), false},
        {BYTES("A\tB"), false},
        {BYTES("A\x7F"), false},
        {BYTES("A\0B"), false},
        {BYTES("caf\xC3\xA9"), false},
        {BYTES("\xFF"), false},
    };

    (void)state;
    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        check_row(sku_is_valid(rows[i].text, rows[i].len) == rows[i].is_sku, "row %zu: %s", i,
                  rows[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_which_texts_are_skus),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
