/* Without Redis; the integration tests have one. */
#include "support.h"

#include "write-svc/publisher.h"

#include "common/base/metrics.h"
#include "common/base/strbuf.h"

#include <stdio.h>
#include <string.h>

static bool counted(const char *result, int value)
{
    struct strbuf text = STRBUF_EMPTY;
    char line[96];
    bool found;

    snprintf(line, sizeof(line), "\nfaststock_publish_total{result=\"%s\"} %d\n", result, value);
    metrics_render(&text);
    found = strstr(text.text, line) != NULL;
    strbuf_finish(&text);
    return found;
}

static void test_without_redis_all_is_skipped(void **state)
{
    struct publisher *publisher = publisher_create(NULL);
    struct product *product = product_deleted(7, 2, (struct product_read){0, 1});
    struct generation generation;

    (void)state;
    publisher_begin(publisher, 0, &generation);
    assert_string_equal(generation.epoch, "");
    publisher_publish(publisher, &product, 1, &generation);
    assert_true(counted("skipped", 1));
    assert_int_equal(publisher_state(publisher), BREAKER_CLOSED);
    product_unref(product);
    publisher_destroy(publisher);
}

static void test_what_cannot_be_shown_is_an_error(void **state)
{
    struct publisher *publisher = publisher_create(NULL);
    struct product *products[] = {NULL, product_deleted(7, 2, (struct product_read){0, 1})};
    struct generation generation;

    (void)state;
    publisher_begin(publisher, 0, &generation);
    publisher_publish(publisher, products, 2, &generation);
    assert_true(counted("error", 1));
    assert_true(counted("skipped", 2)); /* one in the test before */
    assert_int_equal(publisher_state(publisher), BREAKER_OPEN);
    product_unref(products[1]);
    publisher_destroy(publisher);
}

static void test_destroy_takes_null(void **state)
{
    (void)state;
    publisher_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_redis_all_is_skipped),
        cmocka_unit_test(test_what_cannot_be_shown_is_an_error),
        cmocka_unit_test(test_destroy_takes_null),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
