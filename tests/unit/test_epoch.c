/* Objects are poisoned when they are freed, so that a reader that still looks at one can tell. */
#include "support.h"

#include "common/base/alloc.h"
#include "common/base/epoch.h"
#include "common/base/thread.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define SOUND 7
#define POISON 13
#define READERS 4
#define WRITERS 2
#define EXCHANGES 20000
#define CROWD 200 /* more threads than a chunk has slots */

struct object {
    struct epoch_item retired;
    int value;
};

static atomic_int freed;

static void free_object(struct epoch_item *item)
{
    struct object *object = FS_CONTAINER_OF(item, struct object, retired);

    object->value = POISON;
    free(object);
    atomic_fetch_add(&freed, 1);
}

static struct object *new_object(void)
{
    struct object *object = fs_calloc(1, sizeof(*object));

    object->value = SOUND;
    return object;
}

static void retire(struct object *object)
{
    epoch_retire(&object->retired, free_object);
}

static int set_up(void **state)
{
    (void)state;
    epoch_drain();
    atomic_store(&freed, 0);
    return 0;
}

/* --- a thread that looks for as long as the test wants ---------------------------------------- */

struct looker {
    pthread_t thread;
    atomic_bool looks;
    atomic_bool may_leave;
};

static void *look(void *arg)
{
    struct looker *looker = arg;

    epoch_enter();
    atomic_store(&looker->looks, true);
    while (!atomic_load(&looker->may_leave)) {
        support_nap(INT64_MAX);
    }
    epoch_leave();
    return NULL;
}

static void start_looking(struct looker *looker)
{
    atomic_init(&looker->looks, false);
    atomic_init(&looker->may_leave, false);
    looker->thread = thread_start(look, looker);
    wait_until(atomic_load(&looker->looks));
}

static void end_looking(struct looker *looker)
{
    atomic_store(&looker->may_leave, true);
    pthread_join(looker->thread, NULL);
}

/* Enough that the slots are read again, several times. */
static void retire_many(void)
{
    for (int i = 0; i < 10 * CROWD; i++) {
        retire(new_object());
    }
}

/* --- tests ------------------------------------------------------------------------------------ */

static void test_what_was_retired_is_freed(void **state)
{
    (void)state;
    retire(new_object());
    epoch_drain();
    assert_int_equal(atomic_load(&freed), 1);
    assert_int_equal(epoch_waiting(), 0);
    epoch_drain(); /* nothing to do */
}

static void test_nothing_is_freed_while_a_thread_may_see_it(void **state)
{
    struct looker looker;
    struct object *object = new_object();

    (void)state;
    start_looking(&looker);
    retire(object);
    retire_many();
    assert_int_equal(atomic_load(&freed), 0);
    assert_int_equal(object->value, SOUND);
    assert_int_equal(epoch_waiting(), 10 * CROWD + 1);
    end_looking(&looker);
    epoch_drain();
    assert_int_equal(atomic_load(&freed), 10 * CROWD + 1);
}

static void test_a_thread_that_came_later_holds_nothing_back(void **state)
{
    struct looker early;
    struct looker late;

    (void)state;
    start_looking(&early);
    retire(new_object());
    retire_many(); /* moves the epoch on */
    start_looking(&late);
    end_looking(&early);
    retire_many();
    assert_true(atomic_load(&freed) > 9 * CROWD); /* all but the last of the first many */
    end_looking(&late);
    epoch_drain();
}

static void test_few_wait_when_no_thread_looks(void **state)
{
    (void)state;
    retire_many();
    assert_true(epoch_waiting() < (size_t)5 * CROWD);
    epoch_drain();
    assert_int_equal(atomic_load(&freed), 10 * CROWD);
}

static void test_each_of_many_threads_holds_back(void **state)
{
    static struct looker crowd[CROWD];

    (void)state;
    for (int i = 0; i < CROWD; i++) {
        start_looking(&crowd[i]);
    }
    retire(new_object());
    for (int i = 0; i < CROWD; i++) {
        assert_int_equal(atomic_load(&freed), 0);
        retire_many();
        end_looking(&crowd[(i + CROWD / 2) % CROWD]); /* not in the order of the slots */
    }
    epoch_drain();
    assert_int_equal(atomic_load(&freed), 1 + CROWD * 10 * CROWD);
}

static void free_and_retire_another(struct epoch_item *item)
{
    free_object(item);
    retire(new_object());
}

static void test_freeing_may_retire(void **state)
{
    struct object *object = new_object();

    (void)state;
    epoch_retire(&object->retired, free_and_retire_another);
    epoch_drain();
    epoch_drain();
    assert_int_equal(atomic_load(&freed), 2);
}

/* --- readers and writers at once -------------------------------------------------------------- */

static struct object *_Atomic shared[2];
static atomic_bool is_over;
static atomic_int unsound;

static void *read_shared(void *arg)
{
    (void)arg;
    while (!atomic_load(&is_over)) {
        epoch_enter();
        for (int i = 0; i < 2; i++) {
            struct object *object = atomic_load_explicit(&shared[i], memory_order_acquire);

            if (object->value != SOUND) {
                atomic_fetch_add(&unsound, 1);
            }
        }
        epoch_leave();
    }
    return NULL;
}

static void *exchange_shared(void *arg)
{
    for (int i = 0; i < EXCHANGES; i++) {
        retire(atomic_exchange_explicit((struct object * _Atomic *)arg, new_object(),
                                        memory_order_acq_rel));
    }
    return NULL;
}

static void test_readers_find_sound_objects(void **state)
{
    pthread_t readers[READERS];
    pthread_t writers[WRITERS];

    (void)state;
    for (int i = 0; i < WRITERS; i++) {
        atomic_store(&shared[i], new_object());
    }
    for (int i = 0; i < READERS; i++) {
        readers[i] = thread_start(read_shared, NULL);
    }
    for (int i = 0; i < WRITERS; i++) {
        writers[i] = thread_start(exchange_shared, &shared[i]);
    }
    for (int i = 0; i < WRITERS; i++) {
        pthread_join(writers[i], NULL);
    }
    atomic_store(&is_over, true);
    for (int i = 0; i < READERS; i++) {
        pthread_join(readers[i], NULL);
    }
    for (int i = 0; i < WRITERS; i++) {
        retire(atomic_load(&shared[i]));
    }
    epoch_drain();
    assert_int_equal(atomic_load(&unsound), 0);
    assert_int_equal(atomic_load(&freed), WRITERS * (EXCHANGES + 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_what_was_retired_is_freed, set_up),
        cmocka_unit_test_setup(test_nothing_is_freed_while_a_thread_may_see_it, set_up),
        cmocka_unit_test_setup(test_a_thread_that_came_later_holds_nothing_back, set_up),
        cmocka_unit_test_setup(test_few_wait_when_no_thread_looks, set_up),
        cmocka_unit_test_setup(test_each_of_many_threads_holds_back, set_up),
        cmocka_unit_test_setup(test_freeing_may_retire, set_up),
        cmocka_unit_test_setup(test_readers_find_sound_objects, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
