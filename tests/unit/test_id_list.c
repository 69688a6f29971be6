#include "support.h"

#include "read-svc/id_list.h"

#include "common/base/alloc.h"

#include <stdlib.h>

#define assert_ids(list, ...)                                                                      \
    check_ids((list), (const int64_t[]){__VA_ARGS__},                                              \
              sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t))

static void check_ids(const struct id_list *list, const int64_t *ids, size_t count)
{
    assert_int_equal(list->count, count);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(list->ids[i], ids[i]);
    }
}

static struct id_list list_of(const int64_t *ids, size_t count)
{
    struct id_list list = ID_LIST_EMPTY;

    for (size_t i = 0; i < count; i++) {
        id_list_insert(&list, ids[i]);
    }
    return list;
}

#define LIST(...)                                                                                  \
    list_of((const int64_t[]){__VA_ARGS__},                                                        \
            sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t))

#define SPAN(...)                                                                                  \
    ((struct id_span){(const int64_t[]){__VA_ARGS__},                                              \
                      sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)})

#define NONE ((struct id_span){NULL, 0})

static void test_ids_are_in_order_whatever_the_order_they_come_in(void **state)
{
    struct id_list list = LIST(5, 1, 9, 3, 7, INT64_MAX);

    (void)state;
    assert_ids(&list, 1, 3, 5, 7, 9, INT64_MAX);
    id_list_finish(&list);
}

static void test_an_id_is_there_once(void **state)
{
    struct id_list list = LIST(5, 1, 5, 1, 9, 9);

    (void)state;
    assert_ids(&list, 1, 5, 9);
    id_list_finish(&list);
}

static void test_removing(void **state)
{
    struct id_list list = LIST(1, 3, 5, 7);

    (void)state;
    id_list_remove(&list, 4); /* is not there */
    id_list_remove(&list, 9);
    assert_ids(&list, 1, 3, 5, 7);
    id_list_remove(&list, 5);
    assert_ids(&list, 1, 3, 7);
    id_list_remove(&list, 1);
    id_list_remove(&list, 7);
    assert_ids(&list, 3);
    id_list_remove(&list, 3);
    id_list_remove(&list, 3);
    assert_int_equal(list.count, 0);
    id_list_insert(&list, 4);
    assert_ids(&list, 4);
    id_list_finish(&list);
}

static void test_an_empty_list(void **state)
{
    struct id_list list = ID_LIST_EMPTY;
    int64_t id;

    (void)state;
    id_list_remove(&list, 1);
    assert_int_equal(id_list_after(&list, 0), 0);
    assert_int_equal(id_list_slice(&list, 0, 1, &id), 0);
    id_list_finish(&list);
    id_list_finish(&list);
}

static void test_where_the_ids_after_one_begin(void **state)
{
    static const struct {
        int64_t after;
        size_t place;
    } rows[] = {{0, 0}, {1, 0}, {2, 1}, {3, 1}, {4, 2}, {6, 3}, {7, 3}, {INT64_MAX, 3}};
    struct id_list list = LIST(2, 4, 6);

    (void)state;
    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        check_row(id_list_after(&list, rows[i].after) == rows[i].place, "after %d",
                  (int)rows[i].after);
    }
    id_list_insert(&list, INT64_MAX);
    assert_int_equal(id_list_after(&list, INT64_MAX - 1), 3);
    assert_int_equal(id_list_after(&list, INT64_MAX), 4);
    id_list_finish(&list);
}

static void test_slices(void **state)
{
    struct id_list list = LIST(2, 4, 6, 8);
    int64_t ids[4] = {0};

    (void)state;
    assert_int_equal(id_list_slice(&list, 1, 2, ids), 2);
    assert_int_equal(ids[0], 4);
    assert_int_equal(ids[1], 6);
    assert_int_equal(ids[2], 0); /* and no more */
    assert_int_equal(id_list_slice(&list, 3, 4, ids), 1);
    assert_int_equal(ids[0], 8);
    assert_int_equal(id_list_slice(&list, 0, 0, ids), 0);
    assert_int_equal(id_list_slice(&list, 4, 4, ids), 0);
    assert_int_equal(id_list_slice(&list, SIZE_MAX, SIZE_MAX, ids), 0);
    assert_int_equal(id_list_slice(&list, 0, SIZE_MAX, ids), 4);
    id_list_finish(&list);
}

static void test_a_merge_adds_and_removes(void **state)
{
    struct id_list from = LIST(2, 4, 6, 8);
    struct id_list merged;

    (void)state;
    id_list_merge(&from, SPAN(3, 4, 9), SPAN(6, 9), &merged);
    assert_ids(&merged, 2, 3, 4, 8);
    assert_ids(&from, 2, 4, 6, 8);
    id_list_insert(&merged, 1); /* it is a list like any other */
    assert_ids(&merged, 1, 2, 3, 4, 8);
    id_list_finish(&merged);
    id_list_finish(&from);
}

static void test_merges_of_nothing(void **state)
{
    struct id_list from = LIST(2, 4);
    struct id_list empty = ID_LIST_EMPTY;
    struct id_list merged;

    (void)state;
    id_list_merge(&from, NONE, NONE, &merged);
    assert_ids(&merged, 2, 4);
    id_list_finish(&merged);
    id_list_merge(&from, NONE, SPAN(1, 2, 3, 4, 5), &merged);
    assert_int_equal(merged.count, 0);
    id_list_finish(&merged);
    id_list_merge(&empty, SPAN(1, 1, 2, 2), SPAN(2, 2), &merged);
    assert_ids(&merged, 1);
    id_list_finish(&merged);
    id_list_merge(&empty, NONE, NONE, &merged);
    assert_int_equal(merged.count, 0);
    id_list_finish(&merged);
    id_list_finish(&from);
}

static int compare_ids(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left;
    int64_t b = *(const int64_t *)right;

    return (a > b) - (a < b);
}

/* A merge comes to the same as inserting one by one, and then removing one by one. */
static void test_merging_and_changing_in_place_agree(void **state)
{
    enum { CHANGES = 40, ROUNDS = 300, IDS = 100 };
    struct id_list list = ID_LIST_EMPTY;
    unsigned seed = 7;

    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        int64_t added[CHANGES];
        int64_t removed[CHANGES];
        struct id_list merged;

        for (int i = 0; i < CHANGES; i++) {
            added[i] = rand_r(&seed) % IDS + 1;
            removed[i] = rand_r(&seed) % IDS + 1;
        }
        qsort(added, CHANGES, sizeof(added[0]), compare_ids);
        qsort(removed, CHANGES, sizeof(removed[0]), compare_ids);
        id_list_merge(&list, (struct id_span){added, CHANGES}, (struct id_span){removed, CHANGES},
                      &merged);
        for (int i = 0; i < CHANGES; i++) {
            id_list_insert(&list, added[i]);
        }
        for (int i = 0; i < CHANGES; i++) {
            id_list_remove(&list, removed[i]);
        }
        check_ids(&merged, list.ids, list.count);
        id_list_finish(&merged);
    }
    id_list_finish(&list);
}

static void test_many_ids(void **state)
{
    enum { MANY = 100000 };
    struct id_list list = ID_LIST_EMPTY;

    (void)state;
    for (int64_t id = 1; id <= MANY; id++) {
        id_list_insert(&list, id * 2);
    }
    assert_int_equal(list.count, MANY);
    for (int64_t id = 1; id <= MANY; id += 999) {
        assert_int_equal(id_list_after(&list, id * 2), id);
        assert_int_equal(id_list_after(&list, id * 2 - 1), id - 1);
    }
    id_list_finish(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ids_are_in_order_whatever_the_order_they_come_in),
        cmocka_unit_test(test_an_id_is_there_once),
        cmocka_unit_test(test_removing),
        cmocka_unit_test(test_an_empty_list),
        cmocka_unit_test(test_where_the_ids_after_one_begin),
        cmocka_unit_test(test_slices),
        cmocka_unit_test(test_a_merge_adds_and_removes),
        cmocka_unit_test(test_merges_of_nothing),
        cmocka_unit_test(test_merging_and_changing_in_place_agree),
        cmocka_unit_test(test_many_ids),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
