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
        {"redis://cache", {.hosts = {{"cache", 6379}}, .host_count = 1}},
        {"redis://cache/", {.hosts = {{"cache", 6379}}, .host_count = 1}},
        {"redis://cache:1", {.hosts = {{"cache", 1}}, .host_count = 1}},
        {"redis://cache:65535/0", {.hosts = {{"cache", 65535}}, .host_count = 1}},
        {"redis://10.0.0.1:6380/1023",
         {.hosts = {{"10.0.0.1", 6380}}, .host_count = 1, .database = 1023}},
        {"redis://[::1]", {.hosts = {{"::1", 6379}}, .host_count = 1}},
        {"redis://[fe80::1]:6380/2",
         {.hosts = {{"fe80::1", 6380}}, .host_count = 1, .database = 2}},
        {"redis://:secret@cache",
         {.hosts = {{"cache", 6379}}, .host_count = 1, .password = "secret"}},
        {"redis://user:secret@cache:6380",
         {.hosts = {{"cache", 6380}}, .host_count = 1, .user = "user", .password = "secret"}},
        {"redis://:@cache", {.hosts = {{"cache", 6379}}, .host_count = 1}},
        {"redis://:s%40c%2Fr%3Aet@cache",
         {.hosts = {{"cache", 6379}}, .host_count = 1, .password = "s@c/r:et"}},
        {"redis://:a+b%2Bc@cache",
         {.hosts = {{"cache", 6379}}, .host_count = 1, .password = "a+b+c"}},
        {"redis://:a@b@cache", {.hosts = {{"cache", 6379}}, .host_count = 1, .password = "a@b"}},
        {"redis://:a:b@cache", {.hosts = {{"cache", 6379}}, .host_count = 1, .password = "a:b"}},
        {"redis://:secret@[::1]:6380",
         {.hosts = {{"::1", 6380}}, .host_count = 1, .password = "secret"}},
        {"redis://[fe80::1%25eth0]/", {.hosts = {{"fe80::1%eth0", 6379}}, .host_count = 1}},
        {"rediss://cache", {.is_tls = true, .hosts = {{"cache", 6379}}, .host_count = 1}},
        {"rediss://user:s%25t@[::1]:6380/3",
         {.is_tls = true,
          .hosts = {{"::1", 6380}},
          .host_count = 1,
          .user = "user",
          .password = "s%t",
          .database = 3}},
        {"redis+sentinel://a/m", {.hosts = {{"a", 26379}}, .host_count = 1, .master = "m"}},
        {"redis+sentinel://a/m/", {.hosts = {{"a", 26379}}, .host_count = 1, .master = "m"}},
        {"redis+sentinel://u:p%2Cq@a,b:1,[::1],[::2]:65535/My-master_1.x/7",
         {.hosts = {{"a", 26379}, {"b", 1}, {"::1", 26379}, {"::2", 65535}},
          .host_count = 4,
          .master = "My-master_1.x",
          .user = "u",
          .password = "p,q",
          .database = 7}},
        {"redis+sentinel://:p,q@a,b/0",
         {.hosts = {{"a", 26379}, {"b", 26379}},
          .host_count = 2,
          .master = "0",
          .password = "p,q"}},
        {"rediss+sentinel://a/m",
         {.is_tls = true, .hosts = {{"a", 26379}}, .host_count = 1, .master = "m"}},
    };

    (void)state;
    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        struct redis_url url = {.host_count = 77};
        char error[CONFIG_WHY_SIZE] = "";

        check_row(url_parse_redis(rows[i].text, &url, error, sizeof(error)), "%s: %s", rows[i].text,
                  error);
        assert_int_equal(url.is_tls, rows[i].url.is_tls);
        assert_int_equal(url.host_count, rows[i].url.host_count);
        for (size_t host = 0; host < url.host_count; host++) {
            assert_string_equal(url.hosts[host].name, rows[i].url.hosts[host].name);
            assert_int_equal(url.hosts[host].port, rows[i].url.hosts[host].port);
        }
        assert_string_equal(url.master, rows[i].url.master);
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
        {"redis+sentinel://a", "name of the master"},
        {"redis+sentinel://a/", "name of the master"},
        {"redis+sentinel://a//0", "name of the master"},
        {"redis+sentinel://a/" LONG_50 LONG_50 LONG_50 LONG_50 LONG_50 LONG_50, "too long"},
        {"redis+sentinel://a/m m", "letters, digits"},
        {"redis+sentinel://a/m%20m", "letters, digits"},
        {"redis+sentinel://a/m/x", "database"},
        {"redis+sentinel://a/m/1024", "database"},
        {"redis+sentinel://a/m/0/0", "database"},
        {"redis+sentinel://:secret@a,/m", "host"},
        {"redis+sentinel://:secret@,a/m", "host"},
        {"redis+sentinel://:secret@a,,b/m", "host"},
        {"redis+sentinel:///m", "host"},
        {"redis+sentinel://a,b:0/m", "port"},
        {"redis+sentinel://a,::1/m", "host"},
        {"redis+sentinel://fe80::1:26379/m", "brackets"},
        {"redis+sentinel://a,b,c,d,e,f,g,h,i/m", "more than 8"},
        {"redis+sentinels://a/m", "scheme"},
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
        struct redis_url url = {.host_count = 77};
        char error[CONFIG_WHY_SIZE] = "";

        check_row(!url_parse_redis(rows[i].text, &url, error, sizeof(error)), "taken: %s",
                  rows[i].text);
        assert_contains(error, rows[i].error);
        assert_lacks(error, "secret");
        assert_int_equal(url.host_count, 77);
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
        {"redis+sentinel://a/m?sentinel_password=x", "parameters"},
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

static void test_a_replica_has_no_sentinels(void **state)
{
    char why[CONFIG_WHY_SIZE] = "";

    (void)state;
    assert_true(redis_url_kind.is_valid("redis+sentinel://a/m", why));
    assert_true(redis_replica_url_kind.is_valid("redis://a", why));
    assert_false(redis_replica_url_kind.is_valid("redis+sentinel://a/m", why));
    assert_contains(why, "master only");
    assert_false(redis_replica_url_kind.is_valid("redis://a b", why));
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
    check_redacted("redis+sentinel://user:se,cret@a:1,[::1]:2/m/0",
                   "redis+sentinel://user:***@a:1,[::1]:2/m/0");
    check_redacted("redis+sentinel://secret@a,b/m", "redis+sentinel://***@a,b/m");
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
        cmocka_unit_test(test_a_replica_has_no_sentinels),
        cmocka_unit_test(test_passwords_are_hidden),
        cmocka_unit_test(test_urls_without_password_are_shown),
        cmocka_unit_test(test_passwords_that_should_have_been_escaped_are_hidden),
        cmocka_unit_test(test_passwords_in_the_query_are_hidden),
        cmocka_unit_test(test_passwords_of_keyword_strings_are_hidden),
        cmocka_unit_test(test_redacted_text_is_cut_to_fit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
