#include "support.h"

#include "common/base/alloc.h"
#include "common/products/product.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define READ(us_) ((struct product_read){.us = (us_), .timeline = 3})

static const struct product_row row = {.id = 7,
                                       .sku = "A-\"1\"",
                                       .version = 3,
                                       .stock = 42,
                                       .reserved = 5,
                                       .name = "Caf\xC3\xA9 \"two\"",
                                       .price = "12.50",
                                       .created_us = 0,
                                       .updated_us = 1000001};

static const char row_json[] =
    "{\"id\":7,\"sku\":\"A-\\\"1\\\"\",\"name\":\"Caf\xC3\xA9 \\\"two\\\"\",\"price\":12.50,"
    "\"stock\":42,\"reserved\":5,\"version\":3,"
    "\"createdAt\":\"1970-01-01T00:00:00.000000Z\","
    "\"updatedAt\":\"1970-01-01T00:00:01.000001Z\"}";

/* --- making ----------------------------------------------------------------------------------- */

static void test_present(void **state)
{
    struct product *product = product_present(&row, READ(99));

    (void)state;
    assert_int_equal(product->state, PRODUCT_PRESENT);
    assert_int_equal(product->id, 7);
    assert_int_equal(product->version, 3);
    assert_int_equal(product->stock, 42);
    assert_int_equal(product->read.us, 99);
    assert_string_equal(product->json, row_json);
    assert_int_equal(product->json_len, strlen(row_json));
    assert_true(support_is_json_object(product->json, product->json_len));
    product_unref(product);
}

static void test_deleted_and_missing(void **state)
{
    struct product *deleted = product_deleted(8, 5, READ(99));
    struct product *missing = product_missing(9, READ(98));

    (void)state;
    assert_int_equal(deleted->state, PRODUCT_DELETED);
    assert_int_equal(deleted->id, 8);
    assert_int_equal(deleted->version, 5);
    assert_int_equal(deleted->json_len, 0);
    assert_int_equal(missing->state, PRODUCT_MISSING);
    assert_int_equal(missing->id, 9);
    assert_int_equal(missing->version, 0);
    assert_int_equal(missing->json_len, 0);
    product_unref(deleted);
    product_unref(missing);
    product_unref(NULL);
}

#define THREADS 4
#define ROUNDS 20000

static void *hold_and_let_go(void *arg)
{
    struct product *product = arg;

    for (int i = 0; i < ROUNDS; i++) {
        product_unref(product_ref(product));
    }
    product_unref(product);
    return NULL;
}

/* The last reference frees it, in either order; the sanitizers see a second time or none. */
static void test_references_of_many_threads(void **state)
{
    struct product *product = product_present(&row, READ(1));
    pthread_t threads[THREADS];

    (void)state;
    for (size_t i = 0; i < THREADS; i++) {
        assert_ptr_equal(product_ref(product), product);
        pthread_create(&threads[i], NULL, hold_and_let_go, product);
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(product->references, 1);
    product_unref(product);
}

/* --- the form in Redis ------------------------------------------------------------------------ */

static void check_encoded(struct product *product, const char *expected)
{
    struct strbuf bytes = STRBUF_EMPTY;

    strbuf_adds(&bytes, "before"); /* it is added to what is there */
    product_encode(product, &bytes);
    assert_string_equal(bytes.text + strlen("before"), expected);
    assert_int_equal(bytes.len, strlen("before") + strlen(expected));
    strbuf_finish(&bytes);
    product_unref(product);
}

static void test_encoding(void **state)
{
    struct product_row minimal = {.id = 1, .version = 1, .name = "", .price = "0.00"};

    (void)state;
    check_encoded(product_deleted(8, 5, READ(99)), "00000000000000000005 d 0 99 3\n");
    check_encoded(product_deleted(8, INT64_MAX, READ(INT64_MAX)),
                  "09223372036854775807 d 0 9223372036854775807 3\n");
    check_encoded(product_missing(9, READ(98)), "00000000000000000000 m 0 98 3\n");
    check_encoded(product_present(&minimal, READ(0)),
                  "00000000000000000001 q 0 0 3\n"
                  "{\"id\":1,\"sku\":null,\"name\":\"\",\"price\":0.00,\"stock\":0,"
                  "\"reserved\":0,\"version\":1,"
                  "\"createdAt\":\"1970-01-01T00:00:00.000000Z\","
                  "\"updatedAt\":\"1970-01-01T00:00:00.000000Z\"}");
}

/* As the script in Redis compares versions as text, their order as text is their order. */
static void test_encoded_versions_sort_as_text(void **state)
{
    static const int64_t versions[] = {
        0, 1, 9, 10, 99, 100, INT64_C(9007199254740993), INT64_MAX - 1, INT64_MAX};
    struct strbuf last = STRBUF_EMPTY;
    struct strbuf bytes = STRBUF_EMPTY;

    (void)state;
    strbuf_adds(&last, "");
    for (size_t i = 0; i < FS_ARRAY_LEN(versions); i++) {
        struct product *product = product_deleted(1, versions[i], READ(0));

        strbuf_clear(&bytes);
        product_encode(product, &bytes);
        assert_true(strncmp(last.text, bytes.text, PRODUCT_VERSION_DIGITS) < 0);
        assert_int_equal(bytes.text[PRODUCT_VERSION_DIGITS], ' ');
        strbuf_clear(&last);
        strbuf_add(&last, bytes.text, bytes.len);
        product_unref(product);
    }
    strbuf_finish(&last);
    strbuf_finish(&bytes);
}

/* Decodes a copy without a byte behind it, so that the sanitizer sees a look beyond the end. */
static struct product *decode_exactly(int64_t id, const char *bytes, size_t len)
{
    char *copy = malloc(len > 0 ? len : 1);
    struct product *product;

    assert_non_null(copy);
    memcpy(copy, bytes, len);
    product = product_decode(id, copy, len);
    free(copy);
    return product;
}

static void check_round_trip(struct product *product)
{
    struct strbuf bytes = STRBUF_EMPTY;
    struct product *decoded;

    product_encode(product, &bytes);
    decoded = decode_exactly(product->id, bytes.text, bytes.len);
    assert_non_null(decoded);
    assert_int_equal(decoded->references, 1);
    assert_int_equal(decoded->state, product->state);
    assert_true(decoded->id == product->id);
    assert_true(decoded->version == product->version);
    assert_true(decoded->stock == product->stock);
    assert_true(decoded->read.us == product->read.us);
    assert_true(decoded->read.timeline == product->read.timeline);
    assert_int_equal(decoded->json_len, product->json_len);
    assert_string_equal(decoded->json, product->json); /* it ends with a NUL too */
    product_unref(decoded);
    product_unref(product);
    strbuf_finish(&bytes);
}

static void test_round_trips(void **state)
{
    static const int64_t stocks[] = {0, 1, 9, 10, INT64_C(9007199254740991), INT64_MAX};

    (void)state;
    for (size_t i = 0; i < FS_ARRAY_LEN(stocks); i++) {
        struct product_row other = row;

        other.stock = stocks[i];
        other.version = i == 0 ? 1 : stocks[i];
        other.id = i == 0 ? 1 : stocks[i];
        other.name = "a\nb 00000000000000000001 p 1 1\n"; /* looks like the first line */
        check_round_trip(product_present(&other, READ(stocks[i])));
        check_round_trip(product_deleted(other.id, other.version, READ(stocks[i])));
        check_round_trip(product_missing(other.id, READ(stocks[i])));
    }
}

static void test_every_cut_of_the_first_line_is_refused(void **state)
{
    static const char bytes[] = "00000000000000000005 d 0 99 3\n";

    (void)state;
    for (size_t len = 21; len < sizeof(bytes) - 1; len++) {
        struct product *product = decode_exactly(8, bytes, len);

        check_row(product == NULL, "taken: %zu bytes", len);
    }
    product_unref(decode_exactly(8, bytes, sizeof(bytes) - 1));
}

/* Shorter than a version: not a byte beyond may be looked at. */
static void test_cuts_within_the_version_are_refused(void **state)
{
    (void)state;
    for (size_t len = 0; len <= PRODUCT_VERSION_DIGITS; len++) {
        assert_null(decode_exactly(8, "00000000000000000000", len));
        assert_null(decode_exactly(8, "00000000000000000005", len));
    }
}

static void test_malformed_bytes_are_refused(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
    } rows[] = {
        {BYTES("5 d 0 99 3\n                    ")},
        {BYTES("0000000000000000005 d 0 99 3\n")},   /* 19 digits */
        {BYTES("000000000000000000005 d 0 99 3\n")}, /* 21 */
        {BYTES("                   5 d 0 99 3\n")},
        {BYTES("-0000000000000000005 d 0 99 3\n")},
        {BYTES("+0000000000000000005 d 0 99 3\n")},
        {BYTES("0000000000000000000x d 0 99 3\n")},
        {BYTES("00000000000000000 05 d 0 99 3\n")},
        {BYTES("09223372036854775808 d 0 99 3\n")},
        {BYTES("99999999999999999999 d 0 99 3\n")},
        {BYTES("00000000000000000005\td 0 99 3\n")},
        {BYTES("00000000000000000005  d 0 99 3\n")},
        {BYTES("00000000000000000005 x 0 99\n")},
        {BYTES("00000000000000000005 D 0 99\n")},
        {BYTES("00000000000000000005 \0 0 99\n")},
        {BYTES("00000000000000000005 dd 0 99 3\n")},
        {BYTES("00000000000000000005 d0 99\n")},
        {BYTES("00000000000000000005 d -1 99\n")},
        {BYTES("00000000000000000005 d 00 99 3\n")},
        {BYTES("00000000000000000005 d  99\n")},
        {BYTES("00000000000000000005 d 9223372036854775808 99 3\n")},
        {BYTES("00000000000000000005 d 0 -1\n")},
        {BYTES("00000000000000000005 d 0 099 3\n")},
        {BYTES("00000000000000000005 d 0 9223372036854775808 3\n")},
        {BYTES("00000000000000000005 d 0 99\n")}, /* no timeline */
        {BYTES("00000000000000000005 d 0 99 4294967296\n")},
        {BYTES("00000000000000000005 d 0 99 -1\n")},
        {BYTES("00000000000000000005 d 0 99 03\n")},
        {BYTES("00000000000000000005 d 0 \n")},
        {BYTES("00000000000000000005 d 0 99 \n")},
        {BYTES("00000000000000000005 d 0 99 3 1\n")},
        {BYTES("00000000000000000005 d 0 99\r\n")},
        {BYTES("00000000000000000005 d 0\n99\n")},
        {BYTES("{\"id\":7,\"name\":\"from another program\"}\n")},
    };

    (void)state;
    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        struct product *product = decode_exactly(8, rows[i].bytes, rows[i].len);

        check_row(product == NULL, "taken, row %zu: %s", i, rows[i].bytes);
    }
}

/* Both versions of a service share one Redis in a rolling update. */
static void test_the_form_before_is_a_miss(void **state)
{
    (void)state;
    assert_null(decode_exactly(
        1, BYTES("00000000000000000001 p 0 0\n{\"id\":1,\"name\":\"\",\"price\":0.00,\"stock\":0,"
                 "\"version\":1,\"createdAt\":\"1970-01-01T00:00:00.000000Z\","
                 "\"updatedAt\":\"1970-01-01T00:00:00.000000Z\"}")));
}

static void test_skus_are_compared(void **state)
{
    struct product_row other = row;
    struct product *product = product_present(&row, READ(1));
    struct product *deleted = product_deleted(7, 4, READ(1));
    struct product *none;

    (void)state;
    other.sku = NULL;
    none = product_present(&other, READ(1));
    assert_true(product_has_sku(product, "A-\"1\""));
    assert_false(product_has_sku(product, "A-\"1"));
    assert_false(product_has_sku(product, "A-"));
    assert_false(product_has_sku(product, "A-\"1\"\""));
    assert_false(product_has_sku(product, "a-\"1\""));
    assert_false(product_has_sku(none, "null"));
    assert_false(product_has_sku(deleted, "A-\"1\""));
    product_unref(product);
    product_unref(deleted);
    product_unref(none);
}

static void test_skus_are_shown(void **state)
{
    struct product_row other = row;
    struct product *product = product_present(&row, READ(1));
    struct product *none;
    struct strbuf text = STRBUF_EMPTY;

    (void)state;
    other.sku = NULL;
    none = product_present(&other, READ(1));
    product_add_sku(product, &text);
    strbuf_addc(&text, ' ');
    product_add_sku(none, &text);
    assert_string_equal(text.text, "\"A-\\\"1\\\"\" null");
    strbuf_finish(&text);
    product_unref(product);
    product_unref(none);
}

/* A present product has its JSON, the others have none: else an answer would be empty, or that of a
 * product gone. */
static void test_json_belongs_to_present_products_only(void **state)
{
    (void)state;
    assert_null(decode_exactly(8, BYTES("00000000000000000005 q 3 99\n")));
    assert_null(decode_exactly(8, BYTES("00000000000000000005 d 0 99 3\n{\"id\":8}")));
    assert_null(decode_exactly(8, BYTES("00000000000000000000 m 0 99 3\n{\"id\":8}")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_present),
        cmocka_unit_test(test_deleted_and_missing),
        cmocka_unit_test(test_references_of_many_threads),
        cmocka_unit_test(test_encoding),
        cmocka_unit_test(test_encoded_versions_sort_as_text),
        cmocka_unit_test(test_round_trips),
        cmocka_unit_test(test_every_cut_of_the_first_line_is_refused),
        cmocka_unit_test(test_cuts_within_the_version_are_refused),
        cmocka_unit_test(test_malformed_bytes_are_refused),
        cmocka_unit_test(test_the_form_before_is_a_miss),
        cmocka_unit_test(test_skus_are_compared),
        cmocka_unit_test(test_skus_are_shown),
        cmocka_unit_test(test_json_belongs_to_present_products_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
