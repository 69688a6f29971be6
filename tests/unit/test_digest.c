/* SHA-256, by the vectors of FIPS 180-4. */
#include "support.h"

#include "common/base/digest.h"

static void check(const char *text, const char *hex)
{
    struct strbuf buffer = STRBUF_EMPTY;
    char digest[DIGEST_SIZE];

    strbuf_adds(&buffer, text);
    digest_sha256(&buffer, digest);
    assert_string_equal(digest, hex);
    strbuf_finish(&buffer);
}

static void test_known_texts(void **state)
{
    (void)state;
    check("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    check("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

/* By `printf abc | openssl dgst -sha256 -binary | base64`. */
static void test_base64(void **state)
{
    char text[DIGEST_BASE64_SIZE];

    (void)state;
    digest_sha256_base64("abcd", 3, text);
    assert_string_equal(text, "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_known_texts),
                                       cmocka_unit_test(test_base64)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
