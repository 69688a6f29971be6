/* Which addresses a connect tries, and in which order. Numeric addresses are resolved without a
 * name server. */
#include "support.h"

#include "common/stores/pg_hosts.h"

#include "common/base/alloc.h"
#include "common/base/strbuf.h"

#include <stdio.h>
#include <string.h>

/* Notes each address, and reaches the one that `good` names. */
struct round {
    const char *good;
    struct strbuf tried;
};

static bool attempt(void *arg, const struct pg_address *one)
{
    struct round *round = arg;
    char text[256];

    snprintf(text, sizeof(text), "%s/%s/%s", one->host == NULL ? "-" : one->host,
             one->hostaddr == NULL ? "-" : one->hostaddr, one->port == NULL ? "-" : one->port);
    strbuf_addf(&round->tried, "%s%s", round->tried.len > 0 ? " " : "", text);
    return strcmp(text, round->good) == 0;
}

static void tell(void *arg, const char *host, const char *error)
{
    struct round *round = arg;

    assert_true(error[0] != '\0');
    strbuf_addf(&round->tried, "%s%s:unknown", round->tried.len > 0 ? " " : "", host);
}

static void check_round(struct pg_hosts *hosts, const char *good, const char *tried)
{
    struct round round = {good, STRBUF_EMPTY};
    bool is_reached = pg_hosts_try(hosts, attempt, tell, &round);

    assert_string_equal(strbuf_text(&round.tried), tried);
    assert_int_equal(is_reached, good[0] != '\0');
    strbuf_finish(&round.tried);
}

static void check_first_round(const char *hosts, const char *hostaddrs, const char *ports,
                              const char *tried)
{
    struct pg_hosts *list = pg_hosts_create(hosts, hostaddrs, ports, false);

    check_round(list, "", tried);
    pg_hosts_destroy(list);
}

static void test_lists(void **state)
{
    (void)state;
    check_first_round(NULL, NULL, NULL, "-/-/-");
    check_first_round("", "", "5433", "-/-/5433");
    check_first_round("127.0.0.1", NULL, NULL, "127.0.0.1/127.0.0.1/-");
    check_first_round("127.0.0.1,127.0.0.2", NULL, "6432",
                      "127.0.0.1/127.0.0.1/6432 127.0.0.2/127.0.0.2/6432");
    check_first_round("127.0.0.1,::1", NULL, "1,2", "127.0.0.1/127.0.0.1/1 ::1/::1/2");
    check_first_round("a,b", "127.0.0.1,127.0.0.2", ",2", "a/127.0.0.1/- b/127.0.0.2/2");
    check_first_round(NULL, "127.0.0.1,127.0.0.2", NULL, "-/127.0.0.1/- -/127.0.0.2/-");
    check_first_round("/run/postgresql,,127.0.0.1", NULL, NULL,
                      "/run/postgresql/-/- -/-/- 127.0.0.1/127.0.0.1/-");
    pg_hosts_destroy(NULL);
}

static void test_the_server_reached_last_stands_first(void **state)
{
    struct pg_hosts *hosts = pg_hosts_create("127.0.0.1,127.0.0.2,127.0.0.3", NULL, "1", false);

    (void)state;
    check_round(hosts, "127.0.0.2/127.0.0.2/1", "127.0.0.1/127.0.0.1/1 127.0.0.2/127.0.0.2/1");
    check_round(hosts, "127.0.0.2/127.0.0.2/1", "127.0.0.2/127.0.0.2/1");
    check_round(hosts, "", "127.0.0.2/127.0.0.2/1 127.0.0.1/127.0.0.1/1 127.0.0.3/127.0.0.3/1");
    check_round(hosts, "127.0.0.3/127.0.0.3/1",
                "127.0.0.2/127.0.0.2/1 127.0.0.1/127.0.0.1/1 127.0.0.3/127.0.0.3/1");
    check_round(hosts, "127.0.0.3/127.0.0.3/1", "127.0.0.3/127.0.0.3/1");
    pg_hosts_destroy(hosts);
}

static void test_a_name_without_an_address_is_told(void **state)
{
    struct pg_hosts *hosts = pg_hosts_create("no.such.invalid,127.0.0.1", NULL, NULL, false);

    (void)state;
    check_round(hosts, "127.0.0.1/127.0.0.1/-", "no.such.invalid:unknown 127.0.0.1/127.0.0.1/-");
    pg_hosts_destroy(hosts);
}

/* load_balance_hosts=random: each of four stands first in some of 400 rounds. */
static void test_shuffled(void **state)
{
    struct pg_hosts *hosts =
        pg_hosts_create("127.0.0.1,127.0.0.2,127.0.0.3,127.0.0.4", NULL, NULL, true);
    int first[5] = {0};

    (void)state;
    for (int i = 0; i < 400; i++) {
        struct round round = {"", STRBUF_EMPTY};

        pg_hosts_try(hosts, attempt, tell, &round);
        for (int host = 1; host <= 4; host++) {
            char text[16];

            snprintf(text, sizeof(text), "127.0.0.%d/", host);
            assert_contains(round.tried.text, text);
            first[host] += strncmp(round.tried.text, text, strlen(text)) == 0;
        }
        strbuf_finish(&round.tried);
    }
    for (int host = 1; host <= 4; host++) {
        assert_in_range(first[host], 1, 399);
    }
    pg_hosts_destroy(hosts);
}

static void test_checks(void **state)
{
    static const struct {
        const char *hosts;
        const char *hostaddrs;
        const char *ports;
        const char *why; /* part of it; NULL: they are fine */
    } rows[] = {
        {NULL, NULL, NULL, NULL},
        {"db.example.com", NULL, "5432", NULL},
        {"my_db-1.,10.0.0.1,::1,fe80::1,/run/postgresql,", NULL, "5432", NULL},
        {"a,b", "10.0.0.1,::1", "1,65535", NULL},
        {"a,b", NULL, ",2", NULL},
        {"w@db", NULL, NULL, "'w@db' is no host"},
        {"a b", NULL, NULL, "'a b' is no host"},
        {"a,b/c", NULL, NULL, "'b/c' is no host"},
        {"::1::", NULL, NULL, "'::1::' is no host"},
        {"db", "db", NULL, "'db' is no address"},
        {"a", NULL, "0", "'0' is no port"},
        {"a,b", NULL, "1,65536", "'65536' is no port"},
        {"a", NULL, "+1", "'+1' is no port"},
        {"a,b", NULL, "1,2,3", "3 ports for 2 hosts"},
        {"a", NULL, "1,2", "2 ports for 1 hosts"},
        {"a,b", "10.0.0.1", NULL, "2 hosts, but 1 addresses"},
    };

    (void)state;
    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        char why[160] = "";
        bool is_good =
            pg_hosts_check(rows[i].hosts, rows[i].hostaddrs, rows[i].ports, why, sizeof(why));

        check_row(is_good == (rows[i].why == NULL), "row %zu: %s", i, why);
        if (rows[i].why != NULL) {
            assert_contains(why, rows[i].why);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_the_server_reached_last_stands_first),
        cmocka_unit_test(test_a_name_without_an_address_is_told),
        cmocka_unit_test(test_shuffled),
        cmocka_unit_test(test_checks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
