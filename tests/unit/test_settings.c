/* The table of a service's settings, of the header that the build names. */
#include "support.h"

#include SETTINGS_HEADER

#include <string.h>

static void test_defaults_are_valid(void **state)
{
    struct settings settings = {.service = {.http_port = 0}};
    struct strbuf error = STRBUF_EMPTY;

    (void)state;
    check_row(config_load(settings_options, NULL, (char *const[]){NULL}, &settings, &error), "%s",
              strbuf_text(&error));
    assert_int_equal(settings.service.http_port, 8080);
    assert_int_equal(settings.service.ops_port, 9090);
    assert_string_equal(service_log_levels[settings.service.log_level], "info");
    assert_string_equal(settings.stores.redis.url, "");
    assert_string_equal(settings.stores.redis_key_prefix, "fs");
    config_free(settings_options, &settings);
    strbuf_finish(&error);
}

static bool is_of_other_option(const struct config_option *a, const struct config_option *b)
{
    bool same_name = strcmp(a->section, b->section) == 0 && strcmp(a->key, b->key) == 0;
    bool same_alias = a->alias != NULL && b->alias != NULL && strcmp(a->alias, b->alias) == 0;

    return same_name || same_alias || a->offset == b->offset;
}

static void test_each_setting_is_one_of_its_own(void **state)
{
    (void)state;
    for (const struct config_option *a = settings_options; a->section != NULL; a++) {
        check_row(a->offset + sizeof(int64_t) <= sizeof(struct settings), "%s.%s", a->section,
                  a->key);
        check_row(a->help != NULL && *a->help != '\0', "%s.%s has no help", a->section, a->key);
        for (const struct config_option *b = a + 1; b->section != NULL; b++) {
            check_row(!is_of_other_option(a, b), "%s.%s and %s.%s", a->section, a->key, b->section,
                      b->key);
        }
    }
}

static void test_urls_are_secret(void **state)
{
    (void)state;
    for (const struct config_option *o = settings_options; o->section != NULL; o++) {
        check_row(o->type != CONFIG_URL || o->secret, "%s.%s", o->section, o->key);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults_are_valid),
        cmocka_unit_test(test_each_setting_is_one_of_its_own),
        cmocka_unit_test(test_urls_are_secret),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
