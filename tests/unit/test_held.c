#include "support.h"

#include "write-svc/held.h"

static struct write_command command_of(struct write_item *items, size_t count)
{
    return (struct write_command){.kind = WRITE_ORDER, .items = items, .item_count = count};
}

static void test_held_until_free(void **state)
{
    struct held held = {.count = 0};
    struct write_item items[] = {{.product_id = 1}, {.product_id = 2}};
    struct write_command both = command_of(items, 2);
    struct write_command second = command_of(items + 1, 1);

    (void)state;
    assert_false(held_has(&held, &both));
    held_note(&held, &both, false);
    assert_false(held_has(&held, &both));
    held_note(&held, &second, true);
    held_note(&held, &second, true);
    assert_true(held_has(&held, &both));
    assert_true(held_has(&held, &second));
    held_note(&held, &both, false);
    assert_false(held_has(&held, &second));
}

static void test_all_products_of_a_command_count(void **state)
{
    struct held held = {.count = 0};
    struct write_item items[] = {{.product_id = 1}, {.product_id = 2}};
    struct write_command both = command_of(items, 2);
    struct write_command first = command_of(items, 1);
    struct write_command second = command_of(items + 1, 1);

    (void)state;
    held_note(&held, &both, true);
    held_note(&held, &first, false);
    assert_false(held_has(&held, &first));
    assert_true(held_has(&held, &second));
}

static void test_the_oldest_are_forgotten(void **state)
{
    struct held held = {.count = 0};
    struct write_item first = {.product_id = 1};
    struct write_command oldest = command_of(&first, 1);

    (void)state;
    held_note(&held, &oldest, true);
    for (int64_t id = 2; id <= HELD_MAX; id++) {
        struct write_item item = {.product_id = id};
        struct write_command command = command_of(&item, 1);

        held_note(&held, &command, true);
    }
    assert_true(held_has(&held, &oldest));
    struct write_item more = {.product_id = HELD_MAX + 1};
    struct write_command newest = command_of(&more, 1);
    held_note(&held, &newest, true);
    assert_false(held_has(&held, &oldest));
    assert_true(held_has(&held, &newest));
    assert_int_equal(held.count, HELD_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_held_until_free),
        cmocka_unit_test(test_all_products_of_a_command_count),
        cmocka_unit_test(test_the_oldest_are_forgotten),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
