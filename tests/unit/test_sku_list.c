#include "support.h"

#include "read-svc/sku_list.h"

#include "common/base/alloc.h"
#include "common/base/strbuf.h"

#include <stdlib.h>
#include <string.h>

/* Splits a copy of exactly its size, so that the sanitizer sees a look beyond the end; joins what
 * came out with '|'. NULL: refused. The caller frees it. */
static char *split(const char *text)
{
    char *copy = fs_strdup(text);
    const char *skus[SKU_LIST_MAX];
    struct strbuf joined = STRBUF_EMPTY;
    size_t count;

    if (!sku_list_split(copy, skus, &count)) {
        free(copy);
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        strbuf_addf(&joined, "%s|", skus[i]);
    }
    free(copy);
    return joined.text;
}

static void test_lists(void **state)
{
    static const struct {
        const char *text;
        const char *expected; /* NULL: refused */
    } rows[] = {
        {"A", "A|"},
        {"A,B", "A|B|"},
        {"B,A,B,A", "B|A|"},
        {"a b,a  b", "a b|a  b|"},
        {"A,AA,AAA", "A|AA|AAA|"},
        {"", NULL},
        {",", NULL},
        {"A,", NULL},
        {",A", NULL},
        {"A,,B", NULL},
        {"A, B", NULL},
        {"A ,B", NULL},
        {"A,\tB", NULL},
        {"A,12345678901234567890123456789012345678901234567890123456789012345", NULL},
    };

    (void)state;
    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        char *joined = split(rows[i].text);

        check_row((joined == NULL) == (rows[i].expected == NULL) &&
                      (joined == NULL || strcmp(joined, rows[i].expected) == 0),
                  "'%s' became %s", rows[i].text, joined == NULL ? "nothing" : joined);
        free(joined);
    }
}

/* Repeated ones are counted, as in lists of ids. */
static void test_at_most_a_hundred(void **state)
{
    for (int is_repeated = 0; is_repeated < 2; is_repeated++) {
        struct strbuf list = STRBUF_EMPTY;
        char *joined;

        (void)state;
        for (int i = 0; i < SKU_LIST_MAX; i++) {
            strbuf_addf(&list, "%ssku %d", i == 0 ? "" : ",", is_repeated ? 7 : i);
        }
        joined = split(list.text);
        assert_non_null(joined);
        free(joined);
        strbuf_adds(&list, ",sku 0");
        assert_null(split(list.text));
        strbuf_finish(&list);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_lists),
                                       cmocka_unit_test(test_at_most_a_hundred)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
