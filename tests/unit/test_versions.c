#include "support.h"

#include "read-svc/versions.h"

#define COUNT_MAX 100

struct fixture {
    struct watermark *watermark;
    struct versions *versions;
};

static int set_up(void **state)
{
    static struct fixture fixture;

    fixture.watermark = watermark_create();
    fixture.versions = versions_create(fixture.watermark, COUNT_MAX);
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    versions_destroy(fixture->versions);
    versions_destroy(NULL);
    watermark_destroy(fixture->watermark);
    return 0;
}

static bool vouches(struct fixture *fixture, int64_t id, int64_t version, int64_t read_us,
                    uint32_t timeline)
{
    struct product *product =
        product_deleted(id, version, (struct product_read){read_us, timeline});
    bool is_vouched = versions_vouch(fixture->versions, product);

    product_unref(product);
    return is_vouched;
}

static bool knows_newer(struct fixture *fixture, int64_t id, int64_t version)
{
    struct product *product = product_deleted(id, version, (struct product_read){1, 1});
    bool is_known = versions_know_newer(fixture->versions, product);

    product_unref(product);
    return is_known;
}

static void note(struct fixture *fixture, int64_t id, int64_t version, int64_t read_us)
{
    versions_note(fixture->versions, &(struct product_version){.id = id, .version = version}, 1,
                  read_us);
}

static void test_nothing_is_vouched_for_before_the_beginning(void **state)
{
    assert_false(vouches(*state, 1, 1, 1000, 1));
    note(*state, 1, 1, 10);
    assert_false(vouches(*state, 1, 1, 1000, 1));
}

static void test_an_older_version_is_not_vouched_for(void **state)
{
    struct fixture *fixture = *state;

    versions_begin(fixture->versions, 1, 100);
    assert_true(vouches(fixture, 7, 3, 101, 1)); /* not changed since */
    note(fixture, 7, 4, 110);
    assert_false(vouches(fixture, 7, 3, 101, 1));
    assert_true(vouches(fixture, 7, 4, 101, 1));
    assert_true(vouches(fixture, 7, 5, 101, 1)); /* came by another way, before the tail */
    assert_true(knows_newer(fixture, 7, 3));
    assert_false(knows_newer(fixture, 7, 4));
    assert_false(knows_newer(fixture, 8, 1));
    note(fixture, 7, 2, 120); /* the ledger's movements may come in any order */
    assert_false(vouches(fixture, 7, 3, 101, 1));
    assert_false(vouches(fixture, 7, 9, 100, 1)); /* was read too early to be judged */
    assert_false(vouches(fixture, 7, 9, 101, 2)); /* of another timeline */
}

static void test_a_full_table_moves_since(void **state)
{
    struct fixture *fixture = *state;

    versions_begin(fixture->versions, 1, 100);
    note(fixture, 1, 5, 150);
    for (int64_t id = 1000; id < 1000 + COUNT_MAX; id++) {
        note(fixture, id, 2, 200);
    }
    /* the first table is the older one now; since has moved to its beginning, so nothing is lost */
    assert_true(vouches(fixture, 1, 5, 101, 1));
    assert_false(vouches(fixture, 1, 4, 101, 1));
    for (int64_t id = 2000; id < 2000 + COUNT_MAX; id++) {
        note(fixture, id, 2, 300);
    }
    /* the first one is gone: a state that was read in its time cannot be judged any more */
    assert_false(vouches(fixture, 1, 5, 150, 1));
    assert_true(vouches(fixture, 1, 5, 301, 1));
    assert_false(vouches(fixture, 2000, 1, 301, 1));
}

static void test_a_new_beginning_forgets_all(void **state)
{
    struct fixture *fixture = *state;

    versions_begin(fixture->versions, 1, 100);
    note(fixture, 1, 5, 150);
    versions_begin(fixture->versions, 2, 400);
    assert_true(vouches(fixture, 1, 4, 401, 2)); /* version 5 was lost with its timeline */
    assert_false(vouches(fixture, 1, 5, 401, 1));
    assert_false(vouches(fixture, 1, 5, 400, 2));
}

static void test_many_products(void **state)
{
    struct watermark *watermark = watermark_create();
    struct versions *versions = versions_create(watermark, 1000000);
    struct fixture fixture = {watermark, versions};

    (void)state;
    versions_begin(versions, 1, 100);
    for (int64_t id = 1; id <= 100000; id++) {
        note(&fixture, id * 977, id % 9 + 2, 200);
    }
    for (int64_t id = 1; id <= 100000; id++) {
        assert_true(vouches(&fixture, id * 977, id % 9 + 2, 101, 1));
        assert_false(vouches(&fixture, id * 977, id % 9 + 1, 101, 1));
    }
    versions_destroy(versions);
    watermark_destroy(watermark);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_nothing_is_vouched_for_before_the_beginning),
        TEST(test_an_older_version_is_not_vouched_for),
        TEST(test_a_full_table_moves_since),
        TEST(test_a_new_beginning_forgets_all),
        cmocka_unit_test(test_many_products),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
