/* A gather whose work is done by this file: it notes the batches, and can be held up. */
#include "support.h"

#include "common/base/gather.h"

#include "common/base/alloc.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#define ITEMS 64
#define BATCHES_MAX (2 * ITEMS)

struct item {
    struct gather_item waiting;
    int number;
    bool is_given_up;      /* guarded by the lock */
    atomic_int worked;     /* how often */
    atomic_int dropped;    /* how often */
    bool add_when_drop;    /* guarded by the lock: adds `follower` when it is dropped */
    struct item *follower; /* added by the work on this item; NULL: none */
};

struct fixture {
    pthread_mutex_t lock;
    struct gather *gather;
    struct item items[ITEMS];
    atomic_bool hold; /* a batch under way does not end */
    atomic_int working;
    atomic_int most_working;
    atomic_int batch_count;
    size_t batches[BATCHES_MAX]; /* how many items each had */
    int order[BATCHES_MAX];      /* the numbers of the items that were worked on */
    atomic_int order_count;
};

static struct item *item_of(struct gather_item *waiting)
{
    return FS_CONTAINER_OF(waiting, struct item, waiting);
}

static bool add(struct fixture *fixture, struct item *item)
{
    bool added;

    pthread_mutex_lock(&fixture->lock);
    added = gather_add(fixture->gather, &item->waiting);
    pthread_mutex_unlock(&fixture->lock);
    return added;
}

/* Adds the items from the first to before the last. */
static void add_range(struct fixture *fixture, int first, int last)
{
    for (int i = first; i < last; i++) {
        assert_true(add(fixture, &fixture->items[i]));
    }
}

static size_t waiting(struct fixture *fixture)
{
    size_t count;

    pthread_mutex_lock(&fixture->lock);
    count = gather_waiting(fixture->gather);
    pthread_mutex_unlock(&fixture->lock);
    return count;
}

static bool is_waiting(struct fixture *fixture, const struct item *item)
{
    bool is;

    pthread_mutex_lock(&fixture->lock);
    is = gather_is_waiting(&item->waiting);
    pthread_mutex_unlock(&fixture->lock);
    return is;
}

static void give_up(struct fixture *fixture, struct item *item)
{
    pthread_mutex_lock(&fixture->lock);
    item->is_given_up = true;
    pthread_mutex_unlock(&fixture->lock);
}

/* --- what the gather calls -------------------------------------------------------------------- */

static bool drop(void *context, struct gather_item *waiting_item)
{
    struct fixture *fixture = context;
    struct item *item = item_of(waiting_item);

    if (!item->is_given_up) {
        return false;
    }
    atomic_fetch_add(&item->dropped, 1);
    if (item->follower != NULL && item->add_when_drop) {
        gather_add(fixture->gather, &item->follower->waiting);
    }
    return true;
}

static void raise_most(struct fixture *fixture, int now)
{
    int most = atomic_load(&fixture->most_working);

    while (now > most && !atomic_compare_exchange_weak(&fixture->most_working, &most, now)) {
    }
}

/* Written before it is counted, so that a test that has seen the count may look. */
static void note_batch(struct fixture *fixture, size_t count)
{
    pthread_mutex_lock(&fixture->lock);
    fixture->batches[fixture->batch_count] = count;
    atomic_fetch_add(&fixture->batch_count, 1);
    pthread_mutex_unlock(&fixture->lock);
}

static void work(void *context, struct gather_item *const *items, size_t count)
{
    struct fixture *fixture = context;

    raise_most(fixture, atomic_fetch_add(&fixture->working, 1) + 1);
    while (atomic_load(&fixture->hold)) {
        usleep(200);
    }
    for (size_t i = 0; i < count; i++) {
        struct item *item = item_of(items[i]);

        fixture->order[atomic_fetch_add(&fixture->order_count, 1)] = item->number;
        atomic_fetch_add(&item->worked, 1);
        if (item->follower != NULL) {
            add(fixture, item->follower);
        }
    }
    atomic_fetch_sub(&fixture->working, 1);
    note_batch(fixture, count);
}

/* --- a gather to test ------------------------------------------------------------------------- */

static void create_gather(struct fixture *fixture, int workers, size_t batch_max,
                          size_t waiting_max)
{
    struct gather_options options = {.workers = workers,
                                     .batch_max = batch_max,
                                     .waiting_max = waiting_max,
                                     .context = fixture,
                                     .lock = &fixture->lock,
                                     .drop = drop,
                                     .work = work};

    fixture->gather = gather_create(&options);
}

/* One whose only worker is busy with item 0. */
static void create_busy_gather(struct fixture *fixture, size_t batch_max, size_t waiting_max)
{
    create_gather(fixture, 1, batch_max, waiting_max);
    atomic_store(&fixture->hold, true);
    add_range(fixture, 0, 1);
    wait_until(atomic_load(&fixture->working) == 1);
}

static void let_go(struct fixture *fixture)
{
    atomic_store(&fixture->hold, false);
}

/* Ends the gather; all that waited has been worked on then. */
static void destroy_gather(struct fixture *fixture)
{
    let_go(fixture);
    gather_destroy(fixture->gather);
    fixture->gather = NULL;
}

static int setup(void **state)
{
    struct fixture *fixture = fs_calloc(1, sizeof(*fixture));

    pthread_mutex_init(&fixture->lock, NULL);
    for (int i = 0; i < ITEMS; i++) {
        fixture->items[i].number = i;
    }
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    destroy_gather(fixture);
    pthread_mutex_destroy(&fixture->lock);
    free(fixture);
    return 0;
}

static void assert_order(const struct fixture *fixture, const int *numbers, int count)
{
    assert_int_equal(fixture->order_count, count);
    for (int i = 0; i < count; i++) {
        assert_int_equal(fixture->order[i], numbers[i]);
    }
}

/* --- guests ----------------------------------------------------------------------------------- */

static bool enter(struct fixture *fixture)
{
    bool is_in;

    pthread_mutex_lock(&fixture->lock);
    is_in = gather_enter(fixture->gather);
    pthread_mutex_unlock(&fixture->lock);
    return is_in;
}

static void leave(struct fixture *fixture)
{
    pthread_mutex_lock(&fixture->lock);
    gather_leave(fixture->gather);
    pthread_mutex_unlock(&fixture->lock);
}

static void test_a_guest_takes_the_place_of_the_worker(void **state)
{
    struct fixture *fixture = *state;

    create_gather(fixture, 1, ITEMS, 0);
    assert_true(enter(fixture));
    assert_false(enter(fixture));
    add_range(fixture, 0, 3);
    usleep(20000);
    assert_int_equal(waiting(fixture), 3);
    assert_int_equal(fixture->batch_count, 0);
    leave(fixture);
    wait_until(atomic_load(&fixture->batch_count) == 1);
    assert_int_equal(fixture->batches[0], 3);
}

static void test_no_guest_while_the_worker_is_busy(void **state)
{
    struct fixture *fixture = *state;

    create_busy_gather(fixture, ITEMS, 0);
    assert_false(enter(fixture));
    let_go(fixture);
    wait_until(enter(fixture));
    leave(fixture);
}

static void test_one_guest_for_each_idle_worker(void **state)
{
    struct fixture *fixture = *state;

    create_gather(fixture, 2, ITEMS, 0);
    atomic_store(&fixture->hold, true);
    add_range(fixture, 0, 1);
    wait_until(atomic_load(&fixture->working) == 1);
    assert_true(enter(fixture));
    assert_false(enter(fixture));
    leave(fixture);
    assert_true(enter(fixture));
    leave(fixture);
}

/* --- batches ---------------------------------------------------------------------------------- */

static void test_an_item_is_worked_on_at_once_and_alone(void **state)
{
    struct fixture *fixture = *state;

    create_gather(fixture, 1, ITEMS, 0);
    for (int i = 0; i < 3; i++) {
        add_range(fixture, i, i + 1);
        wait_until(atomic_load(&fixture->batch_count) == i + 1);
        assert_int_equal(fixture->batches[i], 1);
    }
}

static void test_items_that_arrive_while_the_worker_is_busy_are_one_batch(void **state)
{
    struct fixture *fixture = *state;

    create_busy_gather(fixture, ITEMS, 0);
    add_range(fixture, 1, 11);
    assert_int_equal(waiting(fixture), 10);
    let_go(fixture);
    wait_until(atomic_load(&fixture->batch_count) == 2);
    assert_int_equal(fixture->batches[0], 1);
    assert_int_equal(fixture->batches[1], 10);
    assert_int_equal(waiting(fixture), 0);
}

static void test_a_batch_has_a_limit(void **state)
{
    struct fixture *fixture = *state;

    create_busy_gather(fixture, 4, 0);
    add_range(fixture, 1, 11);
    let_go(fixture);
    wait_until(atomic_load(&fixture->batch_count) == 4);
    assert_int_equal(fixture->batches[1], 4);
    assert_int_equal(fixture->batches[2], 4);
    assert_int_equal(fixture->batches[3], 2);
}

static void test_one_worker_keeps_the_order(void **state)
{
    struct fixture *fixture = *state;

    create_busy_gather(fixture, 4, 0);
    add_range(fixture, 1, ITEMS);
    destroy_gather(fixture);
    assert_int_equal(fixture->order_count, ITEMS);
    for (int i = 0; i < ITEMS; i++) {
        assert_int_equal(fixture->order[i], i);
    }
    assert_int_equal(fixture->most_working, 1);
}

static void test_several_workers_work_at_the_same_time(void **state)
{
    struct fixture *fixture = *state;

    create_gather(fixture, 3, 1, 0);
    atomic_store(&fixture->hold, true);
    add_range(fixture, 0, 5);
    wait_until(atomic_load(&fixture->working) == 3);
    assert_int_equal(waiting(fixture), 2);
    let_go(fixture);
    wait_until(atomic_load(&fixture->batch_count) == 5);
    assert_int_equal(fixture->most_working, 3);
}

static void test_an_item_waits_until_a_worker_takes_it(void **state)
{
    struct fixture *fixture = *state;

    create_busy_gather(fixture, ITEMS, 0);
    assert_false(is_waiting(fixture, &fixture->items[0])); /* is being worked on */
    assert_false(is_waiting(fixture, &fixture->items[1]));
    add_range(fixture, 1, 2);
    assert_true(is_waiting(fixture, &fixture->items[1]));
    let_go(fixture);
    wait_until(atomic_load(&fixture->batch_count) == 2);
    assert_false(is_waiting(fixture, &fixture->items[1]));
}

static void test_an_item_may_be_added_again(void **state)
{
    struct fixture *fixture = *state;

    create_gather(fixture, 1, ITEMS, 0);
    for (int i = 0; i < 5; i++) {
        add_range(fixture, 3, 4);
        wait_until(atomic_load(&fixture->batch_count) == i + 1);
    }
    assert_int_equal(fixture->items[3].worked, 5);
}

static void test_work_may_add_items(void **state)
{
    struct fixture *fixture = *state;

    create_gather(fixture, 1, ITEMS, 0);
    fixture->items[0].follower = &fixture->items[1];
    fixture->items[1].follower = &fixture->items[2];
    add_range(fixture, 0, 1);
    wait_until(atomic_load(&fixture->batch_count) == 3);
    assert_order(fixture, (const int[]){0, 1, 2}, 3);
}

/* --- what nobody waits for -------------------------------------------------------------------- */

static void test_given_up_items_are_not_worked_on(void **state)
{
    struct fixture *fixture = *state;

    create_busy_gather(fixture, ITEMS, 0);
    add_range(fixture, 1, 6);
    give_up(fixture, &fixture->items[1]);
    give_up(fixture, &fixture->items[3]);
    give_up(fixture, &fixture->items[5]);
    let_go(fixture);
    wait_until(atomic_load(&fixture->batch_count) == 2);
    destroy_gather(fixture);
    assert_order(fixture, (const int[]){0, 2, 4}, 3);
    assert_int_equal(fixture->items[1].dropped, 1);
    assert_int_equal(fixture->items[1].worked, 0);
    assert_int_equal(fixture->items[2].dropped, 0);
}

static void test_given_up_items_take_no_room_in_a_batch(void **state)
{
    struct fixture *fixture = *state;

    create_busy_gather(fixture, 2, 0);
    add_range(fixture, 1, 5);
    give_up(fixture, &fixture->items[1]);
    give_up(fixture, &fixture->items[2]);
    let_go(fixture);
    wait_until(atomic_load(&fixture->batch_count) == 2);
    assert_int_equal(fixture->batches[1], 2);
}

static void test_a_batch_of_given_up_items_is_none(void **state)
{
    struct fixture *fixture = *state;

    create_busy_gather(fixture, ITEMS, 0);
    add_range(fixture, 1, 4);
    for (int i = 1; i < 4; i++) {
        give_up(fixture, &fixture->items[i]);
    }
    let_go(fixture);
    wait_until(atomic_load(&fixture->items[3].dropped) == 1);
    add_range(fixture, 4, 5);
    destroy_gather(fixture);
    assert_order(fixture, (const int[]){0, 4}, 2);
    assert_int_equal(fixture->batch_count, 2);
}

static void test_dropping_may_add_items(void **state)
{
    struct fixture *fixture = *state;

    create_busy_gather(fixture, ITEMS, 0);
    fixture->items[1].follower = &fixture->items[2];
    fixture->items[1].add_when_drop = true;
    add_range(fixture, 1, 2);
    give_up(fixture, &fixture->items[1]);
    destroy_gather(fixture);
    assert_order(fixture, (const int[]){0, 2}, 2);
}

/* --- a full queue ----------------------------------------------------------------------------- */

static void test_a_full_queue_refuses(void **state)
{
    struct fixture *fixture = *state;

    create_busy_gather(fixture, ITEMS, 3);
    add_range(fixture, 1, 4);
    assert_false(add(fixture, &fixture->items[4]));
    assert_false(is_waiting(fixture, &fixture->items[4]));
    assert_int_equal(waiting(fixture), 3);
    let_go(fixture);
    wait_until(atomic_load(&fixture->batch_count) == 2);
    assert_true(add(fixture, &fixture->items[4])); /* there is room again */
    destroy_gather(fixture);
    assert_order(fixture, (const int[]){0, 1, 2, 3, 4}, 5);
}

static void test_given_up_items_make_room(void **state)
{
    struct fixture *fixture = *state;

    create_busy_gather(fixture, ITEMS, 3);
    add_range(fixture, 1, 4);
    give_up(fixture, &fixture->items[1]);
    give_up(fixture, &fixture->items[3]); /* not at the head: it stays */
    assert_true(add(fixture, &fixture->items[4]));
    assert_false(add(fixture, &fixture->items[5]));
    assert_int_equal(waiting(fixture), 3);
    destroy_gather(fixture);
    assert_order(fixture, (const int[]){0, 2, 4}, 3);
}

static void test_a_queue_of_one_refuses_and_makes_room(void **state)
{
    struct fixture *fixture = *state;

    create_busy_gather(fixture, ITEMS, 1);
    add_range(fixture, 1, 2);
    assert_false(add(fixture, &fixture->items[2]));
    give_up(fixture, &fixture->items[1]);
    assert_true(add(fixture, &fixture->items[2]));
    assert_false(add(fixture, &fixture->items[3]));
    destroy_gather(fixture);
    assert_order(fixture, (const int[]){0, 2}, 2);
}

/* --- the end ---------------------------------------------------------------------------------- */

static void *run_destroy(void *arg)
{
    struct fixture *fixture = arg;

    gather_destroy(fixture->gather);
    return NULL;
}

static void test_destroy_works_off_what_waits(void **state)
{
    struct fixture *fixture = *state;
    pthread_t thread;

    create_busy_gather(fixture, 4, 0);
    add_range(fixture, 1, 20);
    fixture->items[19].follower = &fixture->items[20]; /* added while it ends */
    pthread_create(&thread, NULL, run_destroy, fixture);
    usleep(2000);
    assert_int_equal(fixture->batch_count, 0); /* it waits for the batch under way */
    let_go(fixture);
    pthread_join(thread, NULL);
    fixture->gather = NULL;
    assert_int_equal(fixture->order_count, 21);
}

static void test_destroy_without_items(void **state)
{
    struct fixture *fixture = *state;

    create_gather(fixture, 3, ITEMS, 0);
    destroy_gather(fixture);
    assert_int_equal(fixture->batch_count, 0);
    gather_destroy(NULL);
}

/* --- many threads ----------------------------------------------------------------------------- */

#define ADDERS 8
#define PER_ADDER (ITEMS / ADDERS)
#define ROUNDS 200

struct adder {
    struct fixture *fixture;
    pthread_t thread;
    int first;
    int refused;
};

/* Adds its items again and again, each as soon as it was worked on. */
static void *run_adder(void *arg)
{
    struct adder *adder = arg;

    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < PER_ADDER; i++) {
            struct item *item = &adder->fixture->items[adder->first + i];

            while (!add(adder->fixture, item)) {
                adder->refused++;
                usleep(50);
            }
        }
        for (int i = 0; i < PER_ADDER; i++) {
            struct item *item = &adder->fixture->items[adder->first + i];

            while (atomic_load(&item->worked) != round + 1) {
                usleep(50);
            }
        }
    }
    return NULL;
}

static void count_work(void *context, struct gather_item *const *items, size_t count)
{
    (void)context;
    for (size_t i = 0; i < count; i++) {
        atomic_fetch_add(&item_of(items[i])->worked, 1);
    }
}

static void run_adders(struct fixture *fixture, int workers)
{
    struct gather_options options = {.workers = workers,
                                     .batch_max = 5,
                                     .waiting_max = ITEMS / 2,
                                     .context = fixture,
                                     .lock = &fixture->lock,
                                     .work = count_work};
    struct adder adders[ADDERS];

    fixture->gather = gather_create(&options);
    for (int i = 0; i < ADDERS; i++) {
        adders[i] = (struct adder){.fixture = fixture, .first = i * PER_ADDER};
        pthread_create(&adders[i].thread, NULL, run_adder, &adders[i]);
    }
    for (int i = 0; i < ADDERS; i++) {
        pthread_join(adders[i].thread, NULL);
    }
    destroy_gather(fixture);
    for (int i = 0; i < ITEMS; i++) {
        assert_int_equal(fixture->items[i].worked, ROUNDS);
    }
}

static void test_many_threads_and_one_worker(void **state)
{
    run_adders(*state, 1);
}

static void test_many_threads_and_many_workers(void **state)
{
    run_adders(*state, 4);
}

#define with_fixture(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_fixture(test_an_item_is_worked_on_at_once_and_alone),
        with_fixture(test_items_that_arrive_while_the_worker_is_busy_are_one_batch),
        with_fixture(test_a_batch_has_a_limit),
        with_fixture(test_one_worker_keeps_the_order),
        with_fixture(test_several_workers_work_at_the_same_time),
        with_fixture(test_an_item_waits_until_a_worker_takes_it),
        with_fixture(test_an_item_may_be_added_again),
        with_fixture(test_work_may_add_items),
        with_fixture(test_given_up_items_are_not_worked_on),
        with_fixture(test_given_up_items_take_no_room_in_a_batch),
        with_fixture(test_a_batch_of_given_up_items_is_none),
        with_fixture(test_dropping_may_add_items),
        with_fixture(test_a_full_queue_refuses),
        with_fixture(test_given_up_items_make_room),
        with_fixture(test_a_queue_of_one_refuses_and_makes_room),
        with_fixture(test_a_guest_takes_the_place_of_the_worker),
        with_fixture(test_no_guest_while_the_worker_is_busy),
        with_fixture(test_one_guest_for_each_idle_worker),
        with_fixture(test_destroy_works_off_what_waits),
        with_fixture(test_destroy_without_items),
        with_fixture(test_many_threads_and_one_worker),
        with_fixture(test_many_threads_and_many_workers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
