/* URLs of PostgreSQL, as the settings check them. libpq's messages about parameters differ between
 * versions, so only pieces of them are looked for. */
#include "support.h"

#include "common/stores/pg.h"

#include "common/base/alloc.h"

#include <string.h>

static void test_good_urls(void **state)
{
    static const char *const urls[] = {
        "postgres://db/x",
        "postgresql://u:p@db:5432/x",
        "postgresql://u:p%2Fw%40@db/x",
        "postgresql://u@[::1]:6432/x",
        "postgresql://u@[fe80::1],10.0.0.1:6432,db/x",
        "postgresql://u@a:1,b:2/x?target_session_attrs=read-write",
        "postgresql://u@a,b/x?target_session_attrs=prefer-standby&connect_timeout=3",
        "postgresql://u@db/x?sslmode=verify-full&sslrootcert=/nowhere/ca.pem",
        "postgresql://u@db/x?sslmode=require&application_name=shop",
        "postgresql://u@db/x?hostaddr=10.0.0.1",
        "postgresql:///x?host=/run/postgresql",
    };

    (void)state;
    for (size_t i = 0; i < FS_ARRAY_LEN(urls); i++) {
        char why[CONFIG_WHY_SIZE];

        check_row(pg_url_kind.is_valid(urls[i], why), "%s: %s", urls[i], why);
    }
}

static void test_bad_urls_and_why(void **state)
{
    static const struct {
        const char *url;
        const char *why; /* pieces of it, "" when there is nothing to say */
        const char *also;
    } rows[] = {
        {"mysql://db/x", "", ""},
        {"db:5432/x", "", ""},
        {"postgresql://u:s3cret@db/x?sslmode=verify_full", "sslmode", "verify_full"},
        {"postgresql://u:s3cret@db/x?target_session_attrs=primaryy", "target_session_attrs",
         "primaryy"},
        {"postgresql://u:s3cret@db/x?channel_binding=maybe", "channel_binding", "maybe"},
        {"postgresql://u:s3cret@db/x?gssencmode=maybe", "gssencmode", "maybe"},
        {"postgresql://u:s3cret@db/x?ssl_min_protocol_version=SSLv9", "ssl_min_protocol_version",
         "SSLv9"},
        {"postgresql://u:s3cret@db/x?nonsense=1", "query parameter", "nonsense"},
        {"postgresql://u:s3cret@db/x?sslmode", "query parameter", "sslmode"},
        {"postgresql://u:s3cret@db:0/x", "'0' is no port", ""},
        {"postgresql://u:s3cret@a:1,b:70000/x", "'70000' is no port", ""},
        {"postgresql://u:s3cret@a b/x", "it has a blank", ""},
        {"postgresql://u:s3cret@a/x y", "it has a blank", ""},
        {"postgresql://u:s3cret@a/x@y", "an '@' beside the one", ""},
        {"postgresql://u:s3cret@[::1/x", "end of string", ""},
        {"postgresql://u:s3cret@[::g]/x", "'::g' is no host", ""},
        {"postgresql://u:s3cret@a,b/x?hostaddr=10.0.0.1", "2 hosts, but 1 addresses", ""},
        {"postgresql://u:s3cret@db/x?hostaddr=db", "'db' is no address", ""},
        {"postgresql://u:s3cret%zz@db/x", "percent-encoded", ""},
        {"postgresql://u:a/b?s3cret=1@db/x", "an '@' beside the one", ""},
    };

    (void)state;
    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        char why[CONFIG_WHY_SIZE];

        check_row(!pg_url_kind.is_valid(rows[i].url, why), "%s is taken", rows[i].url);
        check_row(strstr(why, rows[i].why) != NULL && strstr(why, rows[i].also) != NULL, "%s: %s",
                  rows[i].url, why);
        check_row(strstr(why, "s3cret") == NULL, "%s: shows the password: %s", rows[i].url, why);
        check_row((rows[i].why[0] == '\0') == (why[0] == '\0'), "%s: %s", rows[i].url, why);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_urls),
        cmocka_unit_test(test_bad_urls_and_why),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
