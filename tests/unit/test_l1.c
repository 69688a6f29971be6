/* L1 with real `versions`. Answers are texts of the id and the version, so that a reader can tell
 * whether an entry is of one piece. */
#include "support.h"

#include "read-svc/l1.h"

#include "common/base/epoch.h"
#include "common/base/metrics.h"
#include "common/base/thread.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIMELINE 1
#define SINCE_US 100
#define READ_US 200 /* late enough to be vouched for */
#define BYTES_MAX ((size_t)2 << 20)
#define TABLE_SHARE 16 /* at most this part of the room */

enum { MANY = 35000 }; /* products; ten times what the room holds */

struct fixture {
    struct watermark *watermark;
    struct versions *versions;
    struct l1 *l1;
};

/* --- products and answers --------------------------------------------------------------------- */

static struct product *make_product(int64_t id, int64_t version, uint32_t timeline)
{
    struct product_row row = {
        .id = id, .version = version, .stock = version, .name = "A thing", .price = "1.00"};

    return product_present(&row, (struct product_read){READ_US, timeline});
}

static void answer_text(char text[64], int64_t id, int64_t version, enum l1_answer answer)
{
    snprintf(text, 64, "head %d\r\n\r\nbody of %" PRId64 " at %" PRId64, answer, id, version);
}

/* Happens while an answer is rendered; NULL: nothing. */
static void (*interruption)(void);

static void render(struct strbuf *out, const struct product *product, enum l1_answer answer,
                   size_t *ret_body_len)
{
    char text[64];

    if (interruption != NULL) {
        interruption();
    }
    *ret_body_len = 0;
    if (product->state == PRODUCT_PRESENT) {
        answer_text(text, product->id, product->version, answer);
        strbuf_adds(out, text);
        *ret_body_len = strlen(strstr(text, "body"));
    }
}

static bool is_answer_sound(const struct l1_found *found, enum l1_answer answer)
{
    const char *text = found->answers[answer].text;
    size_t len = found->answers[answer].len;
    size_t body_len = found->answers[answer].body_len;
    char expected[64];

    answer_text(expected, found->product->id, found->product->version, answer);
    return len == strlen(expected) && memcmp(text, expected, len) == 0 && body_len < len &&
           memcmp(text + len - body_len, "body", 4) == 0;
}

static bool is_sound(const struct l1_found *found, int64_t id)
{
    return found->product->id == id && is_answer_sound(found, L1_PRODUCT) &&
           is_answer_sound(found, L1_STOCK);
}

/* --- L1 to test ------------------------------------------------------------------------------- */

static void create(struct fixture *fixture, size_t bytes_max)
{
    fixture->watermark = watermark_create();
    fixture->versions = versions_create(fixture->watermark, MANY);
    versions_begin(fixture->versions, TIMELINE, SINCE_US);
    fixture->l1 = l1_create(&(struct l1_options){
        .bytes_max = bytes_max, .versions = fixture->versions, .render = render});
}

static int set_up(void **state)
{
    static struct fixture fixture;

    create(&fixture, BYTES_MAX);
    *state = &fixture;
    return 0;
}

static int set_up_without_room(void **state)
{
    static struct fixture fixture;

    create(&fixture, 0);
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    l1_destroy(fixture->l1);
    l1_destroy(NULL);
    assert_int_equal(epoch_waiting(), 0);
    versions_destroy(fixture->versions);
    watermark_destroy(fixture->watermark);
    return 0;
}

/* Gives the reference away. */
static void put_product(struct fixture *fixture, struct product *product)
{
    l1_put(fixture->l1, product);
    product_unref(product);
}

static void put(struct fixture *fixture, int64_t id, int64_t version)
{
    put_product(fixture, make_product(id, version, TIMELINE));
}

static bool replace(struct fixture *fixture, int64_t id, int64_t version, uint32_t timeline)
{
    struct product *product = make_product(id, version, timeline);
    bool is_replaced = l1_replace(fixture->l1, product);

    product_unref(product);
    return is_replaced;
}

static void note(struct fixture *fixture, int64_t id, int64_t version)
{
    versions_note(fixture->versions, &(struct product_version){.id = id, .version = version}, 1,
                  READ_US);
}

/* The version that is found; -1: none. */
static int64_t found_version(struct fixture *fixture, int64_t id)
{
    struct l1_found found;
    int64_t version = -1;

    l1_enter(fixture->l1);
    if (l1_find(fixture->l1, id, &found)) {
        version = is_sound(&found, id) ? found.product->version : -2;
    }
    l1_leave(fixture->l1);
    return version;
}

static double metric_of(const char *name)
{
    struct strbuf text = STRBUF_EMPTY;
    char line[96];
    const char *at;
    double value;

    metrics_render(&text);
    snprintf(line, sizeof(line), "\n%s ", name);
    at = strstr(strbuf_text(&text), line);
    value = at == NULL ? -1 : strtod(at + strlen(line), NULL);
    strbuf_finish(&text);
    return value;
}

/* --- finding and changing --------------------------------------------------------------------- */

static void test_what_was_put_is_found(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(found_version(fixture, 1), -1);
    put(fixture, 1, 5);
    put(fixture, INT64_MAX, 6);
    assert_int_equal(found_version(fixture, 1), 5);
    assert_int_equal(found_version(fixture, INT64_MAX), 6);
    assert_int_equal(found_version(fixture, 2), -1);
}

static void test_a_product_that_is_not_there_has_no_answers(void **state)
{
    struct fixture *fixture = *state;
    struct l1_found found;

    put_product(fixture, product_missing(1, (struct product_read){READ_US, TIMELINE}));
    put_product(fixture, product_deleted(2, 9, (struct product_read){READ_US, TIMELINE}));
    l1_enter(fixture->l1);
    assert_true(l1_find(fixture->l1, 1, &found));
    assert_int_equal(found.product->state, PRODUCT_MISSING);
    assert_int_equal(found.answers[L1_PRODUCT].len, 0);
    assert_true(l1_find(fixture->l1, 2, &found));
    assert_int_equal(found.product->state, PRODUCT_DELETED);
    assert_int_equal(found.answers[L1_STOCK].len, 0);
    assert_int_equal(found.answers[L1_STOCK].body_len, 0);
    l1_leave(fixture->l1);
    put(fixture, 1, 1); /* it was created */
    assert_int_equal(found_version(fixture, 1), 1);
}

static void test_a_product_may_be_kept_for_longer(void **state)
{
    struct fixture *fixture = *state;
    struct l1_found found;
    struct product *kept;

    put(fixture, 1, 5);
    l1_enter(fixture->l1);
    assert_true(l1_find(fixture->l1, 1, &found));
    kept = product_ref(found.product);
    l1_leave(fixture->l1);
    l1_drop_all(fixture->l1);
    epoch_drain();
    assert_int_equal(kept->version, 5);
    product_unref(kept);
}

static void test_a_state_is_put_only_over_an_older_one(void **state)
{
    struct fixture *fixture = *state;
    double refused = metric_of("faststock_l1_changes_total{result=\"refused\"}");

    put(fixture, 1, 5);
    put(fixture, 1, 4);
    assert_int_equal(found_version(fixture, 1), 5);
    put(fixture, 1, 5);
    put(fixture, 1, 6);
    assert_int_equal(found_version(fixture, 1), 6);
    assert_float_equal(metric_of("faststock_l1_changes_total{result=\"refused\"}"), refused + 2, 0);
    assert_float_equal(metric_of("faststock_l1_entries"), 1, 0);
}

static void test_a_state_takes_the_place_of_an_older_one(void **state)
{
    struct fixture *fixture = *state;

    assert_false(replace(fixture, 1, 5, TIMELINE)); /* nothing is there */
    assert_int_equal(found_version(fixture, 1), -1);
    put(fixture, 1, 5);
    assert_false(replace(fixture, 1, 5, TIMELINE));
    assert_false(replace(fixture, 1, 4, TIMELINE));
    assert_false(replace(fixture, 1, 6, TIMELINE + 1));
    assert_int_equal(found_version(fixture, 1), 5);
    assert_true(replace(fixture, 1, 6, TIMELINE));
    assert_int_equal(found_version(fixture, 1), 6);
}

static void test_older_entries_are_dropped(void **state)
{
    struct fixture *fixture = *state;

    put(fixture, 1, 5);
    assert_false(l1_drop_older(fixture->l1, 2, 9));
    assert_false(l1_drop_older(fixture->l1, 1, 5));
    assert_int_equal(found_version(fixture, 1), 5);
    assert_true(l1_drop_older(fixture->l1, 1, 6));
    assert_int_equal(found_version(fixture, 1), -1);
    assert_false(l1_drop_older(fixture->l1, 1, 6));
}

static void test_all_entries_are_dropped(void **state)
{
    struct fixture *fixture = *state;
    double drops = metric_of("faststock_l1_drops_total");

    for (int id = 1; id <= 1000; id++) {
        put(fixture, id, 1);
    }
    l1_drop_all(fixture->l1);
    for (int id = 1; id <= 1000; id++) {
        assert_int_equal(found_version(fixture, id), -1);
    }
    assert_float_equal(metric_of("faststock_l1_entries"), 0, 0);
    assert_float_equal(metric_of("faststock_l1_drops_total"), drops + 1, 0);
    put(fixture, 1, 1);
    assert_int_equal(found_version(fixture, 1), 1);
}

static void test_only_what_is_vouched_for_is_put(void **state)
{
    struct fixture *fixture = *state;

    note(fixture, 1, 6); /* the tail was here while the state was loaded */
    put(fixture, 1, 5);
    assert_int_equal(found_version(fixture, 1), -1);
    put(fixture, 1, 6);
    assert_int_equal(found_version(fixture, 1), 6);
    put_product(fixture, make_product(2, 1, TIMELINE + 1));
    assert_int_equal(found_version(fixture, 2), -1);
    put_product(fixture, product_deleted(3, 1, (struct product_read){SINCE_US, TIMELINE}));
    assert_int_equal(found_version(fixture, 3), -1);
    watermark_reset(fixture->watermark);
    put(fixture, 4, 1);
    assert_int_equal(found_version(fixture, 4), -1);
}

static struct fixture *interrupted;

static void let_the_tail_deal_with_6(void)
{
    interruption = NULL;
    note(interrupted, 1, 6);
    l1_drop_older(interrupted->l1, 1, 6);
}

/* The tail does not find the entry, so the entry must not come afterwards. */
static void test_the_tail_may_come_before_the_entry(void **state)
{
    struct fixture *fixture = *state;

    interrupted = fixture;
    interruption = let_the_tail_deal_with_6;
    put(fixture, 1, 5);
    assert_null(interruption);
    assert_int_equal(found_version(fixture, 1), -1);
}

static void test_the_tail_may_come_before_the_replacement(void **state)
{
    struct fixture *fixture = *state;

    put(fixture, 1, 4);
    interrupted = fixture;
    interruption = let_the_tail_deal_with_6;
    assert_false(replace(fixture, 1, 5, TIMELINE));
    assert_null(interruption);
    assert_int_equal(found_version(fixture, 1), -1);
}

static void let_6_be_put(void)
{
    interruption = NULL;
    put(interrupted, 1, 6);
}

static void test_a_newer_state_may_come_before_the_entry(void **state)
{
    struct fixture *fixture = *state;

    interrupted = fixture;
    interruption = let_6_be_put;
    put(fixture, 1, 5);
    assert_null(interruption);
    assert_int_equal(found_version(fixture, 1), 6);
}

static void test_without_room_there_is_nothing(void **state)
{
    struct fixture *fixture = *state;

    put(fixture, 1, 5);
    assert_int_equal(found_version(fixture, 1), -1);
    assert_false(replace(fixture, 1, 6, TIMELINE));
    assert_false(l1_drop_older(fixture->l1, 1, 6));
    l1_drop_all(fixture->l1);
}

/* --- room ------------------------------------------------------------------------------------- */

static void test_it_stays_within_its_room(void **state)
{
    struct fixture *fixture = *state;
    double empty = metric_of("faststock_l1_bytes");

    assert_true(empty > 0 && empty <= (double)BYTES_MAX / TABLE_SHARE);
    for (int id = 1; id <= MANY; id++) {
        put(fixture, id, 1);
        if (id % 1000 == 0) {
            assert_true(metric_of("faststock_l1_bytes") <= (double)BYTES_MAX);
        }
    }
    assert_true(metric_of("faststock_l1_bytes") > 0.95 * (double)BYTES_MAX);
    assert_true(metric_of("faststock_l1_entries") > 0.05 * MANY);
    assert_true(metric_of("faststock_l1_evictions_total") > 0.5 * MANY);
    for (int id = 1; id <= MANY; id++) {
        l1_drop_older(fixture->l1, id, 2);
    }
    assert_float_equal(metric_of("faststock_l1_bytes"), empty, 0);
}

static void test_a_state_that_is_too_large_is_refused(void **state)
{
    struct fixture *fixture = *state;
    static char name[BYTES_MAX / 8];
    struct product_row row = {.id = 1, .version = 6, .name = name, .price = "1.00"};

    memset(name, 'x', sizeof(name) - 1);
    put(fixture, 1, 5);
    put_product(fixture, product_present(&row, (struct product_read){READ_US, TIMELINE}));
    assert_int_equal(found_version(fixture, 1), 5);
}

/* How many of the products up to this id are found. */
static int count_found(struct fixture *fixture, int last)
{
    int count = 0;

    for (int id = 1; id <= last; id++) {
        count += found_version(fixture, id) > 0;
    }
    return count;
}

/* A request for it: it is loaded if it is not there. */
static void want(struct fixture *fixture, int64_t id)
{
    if (found_version(fixture, id) < 0) {
        put(fixture, id, 1);
    }
}

static void test_what_is_wanted_again_survives_a_scan(void **state)
{
    struct fixture *fixture = *state;
    const int wanted = 2000;

    for (int round = 0; round < 4; round++) {
        for (int id = 1; id <= wanted; id++) {
            want(fixture, id);
        }
    }
    for (int id = wanted + 1; id <= MANY; id++) {
        want(fixture, id);
    }
    assert_int_equal(count_found(fixture, wanted), wanted);
}

/* They come back later than the small queue remembers, which has a tenth of the room, and so soon
 * that the ghost does. */
static void test_what_comes_back_soon_stays(void **state)
{
    struct fixture *fixture = *state;
    const int wanted = 1000;
    int64_t other = MANY;

    for (int i = 0; i < MANY; i++) { /* fills the main queue */
        want(fixture, other);
        want(fixture, other);
        want(fixture, other++);
    }
    for (int round = 0; round < 3; round++) {
        for (int id = 1; id <= wanted; id++) {
            want(fixture, id);
            want(fixture, other++);
        }
    }
    assert_true(count_found(fixture, wanted) > wanted / 2);
}

static void test_a_new_state_has_the_uses_of_the_old_one(void **state)
{
    struct fixture *fixture = *state;
    const int wanted = 500;

    for (int round = 0; round < 4; round++) {
        for (int id = 1; id <= wanted; id++) {
            want(fixture, id);
        }
    }
    for (int id = 1; id <= wanted; id++) {
        assert_true(replace(fixture, id, 2, TIMELINE));
    }
    for (int id = wanted + 1; id <= MANY; id++) {
        want(fixture, id);
    }
    assert_int_equal(count_found(fixture, wanted), wanted);
}

/* --- many threads ----------------------------------------------------------------------------- */

#define THREADS 2 /* of each kind */
#define ROUNDS 15000
#define HOT 64    /* ids that all threads meet at */
#define COLD 5000 /* more than the room of these tests holds */

struct crowd {
    struct fixture *fixture;
    atomic_int running; /* threads that change */
    atomic_int unsound;
    atomic_int too_old;              /* finds of a version that the tail had dealt with */
    _Atomic int64_t dealt_with[HOT]; /* the version that the tail made sure of */
};

static void read_one(struct crowd *crowd, int64_t id)
{
    int64_t dealt_with = id < HOT ? atomic_load(&crowd->dealt_with[id]) : 0;
    struct l1_found found;

    l1_enter(crowd->fixture->l1);
    if (l1_find(crowd->fixture->l1, id, &found)) {
        if (!is_sound(&found, id)) {
            atomic_fetch_add(&crowd->unsound, 1);
        }
        if (found.product->version < dealt_with) {
            atomic_fetch_add(&crowd->too_old, 1);
        }
    }
    l1_leave(crowd->fixture->l1);
}

static void *read_many(void *arg)
{
    struct crowd *crowd = arg;
    unsigned seed = 1;

    while (atomic_load(&crowd->running) > 0) {
        read_one(crowd, rand_r(&seed) % HOT);
        read_one(crowd, HOT + rand_r(&seed) % COLD);
    }
    return NULL;
}

/* Loads come late: with versions that the tail may have dealt with. */
static void *put_many(void *arg)
{
    struct crowd *crowd = arg;
    unsigned seed = 2;

    for (int i = 0; i < ROUNDS; i++) {
        int id = rand_r(&seed) % HOT;

        put(crowd->fixture, id, atomic_load(&crowd->dealt_with[id]) + rand_r(&seed) % 3);
        put(crowd->fixture, HOT + rand_r(&seed) % COLD, 1);
        if (i % 3 == 0) {
            replace(crowd->fixture, id, atomic_load(&crowd->dealt_with[id]) + 1, TIMELINE);
        }
    }
    atomic_fetch_sub(&crowd->running, 1);
    return NULL;
}

/* What the tail does: notes, drops, and only then tells readers of it. */
static void *change_many(void *arg)
{
    struct crowd *crowd = arg;
    unsigned seed = 3;

    for (int i = 0; i < ROUNDS; i++) {
        int id = rand_r(&seed) % HOT;
        int64_t version = atomic_load(&crowd->dealt_with[id]) + 1;

        note(crowd->fixture, id, version);
        l1_drop_older(crowd->fixture->l1, id, version);
        atomic_store(&crowd->dealt_with[id], version);
        if (i % 5000 == 0) {
            l1_drop_all(crowd->fixture->l1);
        }
    }
    atomic_fetch_sub(&crowd->running, 1);
    return NULL;
}

static void test_threads_never_find_what_is_broken_or_dealt_with(void **state)
{
    static struct crowd crowd;
    pthread_t readers[THREADS];
    pthread_t putters[THREADS];
    pthread_t tail;

    crowd = (struct crowd){.fixture = *state, .running = THREADS + 1};
    for (int id = 0; id < HOT; id++) {
        atomic_store(&crowd.dealt_with[id], 1);
    }
    for (int i = 0; i < THREADS; i++) {
        readers[i] = thread_start(read_many, &crowd);
        putters[i] = thread_start(put_many, &crowd);
    }
    tail = thread_start(change_many, &crowd);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(readers[i], NULL);
        pthread_join(putters[i], NULL);
    }
    pthread_join(tail, NULL);
    assert_int_equal(atomic_load(&crowd.unsound), 0);
    assert_int_equal(atomic_load(&crowd.too_old), 0);
    assert_true(metric_of("faststock_l1_bytes") <= (double)BYTES_MAX);
}

static int set_up_small(void **state)
{
    static struct fixture fixture;

    create(&fixture, BYTES_MAX / 2);
    *state = &fixture;
    return 0;
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_what_was_put_is_found),
        TEST(test_a_product_that_is_not_there_has_no_answers),
        TEST(test_a_product_may_be_kept_for_longer),
        TEST(test_a_state_is_put_only_over_an_older_one),
        TEST(test_a_state_takes_the_place_of_an_older_one),
        TEST(test_older_entries_are_dropped),
        TEST(test_all_entries_are_dropped),
        TEST(test_only_what_is_vouched_for_is_put),
        TEST(test_the_tail_may_come_before_the_entry),
        TEST(test_the_tail_may_come_before_the_replacement),
        TEST(test_a_newer_state_may_come_before_the_entry),
        cmocka_unit_test_setup_teardown(test_without_room_there_is_nothing, set_up_without_room,
                                        tear_down),
        TEST(test_it_stays_within_its_room),
        TEST(test_a_state_that_is_too_large_is_refused),
        TEST(test_what_is_wanted_again_survives_a_scan),
        TEST(test_what_comes_back_soon_stays),
        TEST(test_a_new_state_has_the_uses_of_the_old_one),
        cmocka_unit_test_setup_teardown(test_threads_never_find_what_is_broken_or_dealt_with,
                                        set_up_small, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
