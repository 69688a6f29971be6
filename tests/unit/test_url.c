#include "support.h"

#include "common/base/alloc.h"
#include "common/stores/url.h"

#include <stdio.h>
#include <string.h>

#define LONG_50 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

static void test_redis_urls(void **state)
{
    static const struct {
        const char *text;
        struct redis_url url;
    } rows[] = {
        {"redis://cache", {.host = "cache", .port = 6379}},
        {"redis://cache/", {.host = "cache", .port = 6379}},
        {"redis://cache:1", {.host = "cache", .port = 1}},
        {"redis://cache:65535/0", {.host = "cache", .port = 65535}},
        {"redis://10.0.0.1:6380/1023", {.host = "10.0.0.1", .port = 6380, .database = 1023}},
        {"redis://[::1]", {.host = "::1", .port = 6379}},
        {"redis://[fe80::1]:6380/2", {.host = "fe80::1", .port = 6380, .database = 2}},
        {"redis://:secret@cache", {.host = "cache", .port = 6379, .password = "secret"}},
        {"redis://user:secret@cache:6380",
         {.host = "cache", .port = 6380, .user = "user", .password = "secret"}},
        {"redis://:@cache", {.host = "cache", .port = 6379}},
        {"redis://:s%40c%2Fr%3Aet@cache", {.host = "cache", .port = 6379, .password = "s@c/r:et"}},
        {"redis://:a+b%2Bc@cache", {.host = "cache", .port = 6379, .password = "a+b+c"}},
        {"redis://:a@b@cache", {.host = "cache", .port = 6379, .password = "a@b"}},
        {"redis://:a:b@cache", {.host = "cache", .port = 6379, .password = "a:b"}},
        {"redis://:secret@[::1]:6380", {.host = "::1", .port = 6380, .password = "secret"}},
        {"redis://[fe80::1%25eth0]/", {.host = "fe80::1%eth0", .port = 6379}},
        {"rediss://cache", {.is_tls = true, .host = "cache", .port = 6379}},
        {"rediss://user:s%25t@[::1]:6380/3",
         {.is_tls = true,
          .host = "::1",
          .port = 6380,
          .user = "user",
          .password = "s%t",
          .database = 3}},
    };

    (void)state;
    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        struct redis_url url = {.port = -1};
        char error[CONFIG_WHY_SIZE] = "";

        check_row(url_parse_redis(rows[i].text, &url, error, sizeof(error)), "%s: %s", rows[i].text,
                  error);
        assert_int_equal(url.is_tls, rows[i].url.is_tls);
        assert_string_equal(url.host, rows[i].url.host);
        assert_int_equal(url.port, rows[i].url.port);
        assert_string_equal(url.user, rows[i].url.user);
        assert_string_equal(url.password, rows[i].url.password);
        assert_int_equal(url.database, rows[i].url.database);
    }
}

static void test_bad_redis_urls(void **state)
{
    static const struct {
        const char *text;
        const char *error;
    } rows[] = {
        {"", "redis://"},
        {"cache", "redis://"},
        {"cache:6379", "redis://"},
        {"http://cache", "redis://"},
        {"REDIS://cache", "redis://"},
        {"redis-sentinel://cache", "redis://"},
        {"redis://a,b", "one Redis"},
        {"redis://a:1,b:2", "one Redis"},
        {"redis://::1", "host"},
        {"redis://fe80::1:6379", "brackets"},
        {"redis://:s%gg@cache", "%25"},
        {"rediss://", "host"},
        {"redis://", "host"},
        {"redis:///0", "host"},
        {"redis://:6379", "host"},
        {"redis://cache:", "port"},
        {"redis://cache:0", "port"},
        {"redis://cache:65536", "port"},
        {"redis://cache:06379", "port"},
        {"redis://cache:x", "port"},
        {"redis://cache:1:2", "port"},
        {"redis://[::1", "host"},
        {"redis://[]", "host"},
        {"redis://[::1]x", "port"},
        {"redis://[::1]6379", "port"},
        {"redis://ca%zzche", "host"},
        {"redis://user@cache", "password"},
        {"redis://:s%00t@cache", "password"},
        {"redis://:s%FFt@cache", "password"},
        {"redis://:s%4@cache", "password"},
        {"redis://:secret@", "host"},
        {"redis://cache/1024", "database"},
        {"redis://cache/-1", "database"},
        {"redis://cache/01", "database"},
        {"redis://cache/zero", "database"},
        {"redis://cache/0/1", "database"},
        {"redis://" LONG_50 LONG_50 LONG_50 LONG_50 LONG_50 LONG_50, "host"},
    };

    (void)state;
    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        struct redis_url url = {.port = -1};
        char error[CONFIG_WHY_SIZE] = "";

        check_row(!url_parse_redis(rows[i].text, &url, error, sizeof(error)), "taken: %s",
                  rows[i].text);
        assert_contains(error, rows[i].error);
        assert_lacks(error, "secret");
        assert_int_equal(url.port, -1);
    }
}

/* A parameter that is passed over in silence would be believed to do something. */
static void test_redis_urls_have_no_query_and_no_fragment(void **state)
{
    static const struct {
        const char *text;
        const char *error;
    } rows[] = {
        {"redis://cache?db=3", "parameters"},
        {"redis://cache/0?db=3", "parameters"},
        {"rediss://cache?ssl_cert_reqs=none", "parameters"},
        {"redis://cache#3", "fragment"},
        {"redis://cache/#", "fragment"},
    };

    (void)state;
    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        struct redis_url url;
        char error[CONFIG_WHY_SIZE] = "";

        check_row(!url_parse_redis(rows[i].text, &url, error, sizeof(error)), "taken: %s",
                  rows[i].text);
        assert_contains(error, rows[i].error);
    }
}

/* "redis://<user_len u>:<password_len %70>@cache" */
static bool takes_credentials(size_t user_len, size_t password_len, struct redis_url *ret_url)
{
    struct strbuf text = STRBUF_EMPTY;
    char error[CONFIG_WHY_SIZE] = "";
    bool taken;

    strbuf_adds(&text, "redis://");
    for (size_t i = 0; i < user_len; i++) {
        strbuf_addc(&text, 'u');
    }
    strbuf_addc(&text, ':');
    for (size_t i = 0; i < password_len; i++) {
        strbuf_adds(&text, "%70");
    }
    strbuf_adds(&text, "@cache");
    taken = url_parse_redis(text.text, ret_url, error, sizeof(error));
    if (!taken) {
        assert_contains(error, "2048");
    }
    strbuf_finish(&text);
    return taken;
}

/* Tokens of managed services (signed ones, say) are passwords of over a thousand characters. */
static void test_redis_credentials_may_be_long(void **state)
{
    struct redis_url url;

    (void)state;
    assert_true(takes_credentials(2048, 2048, &url));
    assert_int_equal(strlen(url.user), 2048);
    assert_int_equal(strlen(url.password), 2048);
    assert_int_equal(url.password[2047], 'p');
    assert_false(takes_credentials(2049, 1, &url));
    assert_false(takes_credentials(1, 2049, &url));
}

static void check_redacted(const char *url, const char *shown)
{
    char out[128];

    url_redact(url, out, sizeof(out));
    assert_string_equal(out, shown);
}

static void test_passwords_are_hidden(void **state)
{
    (void)state;
    check_redacted("redis://:secret@cache:6379/1", "redis://:***@cache:6379/1");
    check_redacted("postgres://user:secret@db:5432/stock", "postgres://user:***@db:5432/stock");
    check_redacted("postgresql://user:secret@db/stock?sslmode=require",
                   "postgresql://user:***@db/stock?sslmode=require");
    check_redacted("redis://user:se@cr:et@cache", "redis://user:***@cache");
    check_redacted("postgres://user:@db/stock", "postgres://user:***@db/stock");
    check_redacted("user:secret@db", "***");
    check_redacted("postgres://db/stock?password=secret&x=1",
                   "postgres://db/stock?password=***&x=1");
    check_redacted("postgres://passwordret@db/stock", "postgres://passwordret@db/stock");
}

static void test_urls_without_password_are_shown(void **state)
{
    static const char *const rows[] = {"", "redis://cache:6379/0", "redis://[::1]:6379",
                                       "postgres://user@db:5432/stock",
                                       "postgres://db/stock?application_name=a@b:c"};

    (void)state;
    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        check_redacted(rows[i], rows[i]);
    }
}

static void check_hides_secret(const char *url)
{
    char out[256];

    url_redact(url, out, sizeof(out));
    assert_lacks(out, "s3cret");
}

/* '/', '?' and '#' must be escaped in a password. One that is not must stay out of the log, too. */
static void test_passwords_that_should_have_been_escaped_are_hidden(void **state)
{
    (void)state;
    check_hides_secret("redis://:ab/s3cret@cache");
    check_hides_secret("redis://:ab?s3cret@cache");
    check_hides_secret("redis://:s3cret#@cache");
    check_hides_secret("postgres://user:s3cret/x@db/stock");
}

/* libpq takes a password there too. */
static void test_passwords_in_the_query_are_hidden(void **state)
{
    (void)state;
    check_hides_secret("postgresql://db/stock?user=u&password=s3cret");
    check_hides_secret("postgresql://user@db/stock?password=s3cret&sslmode=require");
    check_hides_secret("postgresql://db/stock?sslpassword=s3cret");
    check_hides_secret(
        "postgresql://db/stock?password=a s3cret&sslmode=require"); /* up to the '&' */
}

/* Another form libpq takes, but FastStock does not; it turns up in the message that says so. */
static void test_passwords_of_keyword_strings_are_hidden(void **state)
{
    (void)state;
    check_hides_secret("host=db user=u password=s3cret dbname=stock");
    check_hides_secret("host=db password = s3cret");
    check_hides_secret("host=db password='a s3cret' dbname=stock");
}

static void test_redacted_text_is_cut_to_fit(void **state)
{
    char out[12];

    (void)state;
    url_redact("redis://user:secret@cache", out, sizeof(out));
    assert_string_equal(out, "redis://use");
    url_redact("redis://a:secret@cache", out, sizeof(out));
    assert_string_equal(out, "redis://a:*");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_redis_urls),
        cmocka_unit_test(test_bad_redis_urls),
        cmocka_unit_test(test_redis_urls_have_no_query_and_no_fragment),
        cmocka_unit_test(test_redis_credentials_may_be_long),
        cmocka_unit_test(test_passwords_are_hidden),
        cmocka_unit_test(test_urls_without_password_are_shown),
        cmocka_unit_test(test_passwords_that_should_have_been_escaped_are_hidden),
        cmocka_unit_test(test_passwords_in_the_query_are_hidden),
        cmocka_unit_test(test_passwords_of_keyword_strings_are_hidden),
        cmocka_unit_test(test_redacted_text_is_cut_to_fit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
