/* Flights on two tiers of this file: each knows versions of products, and can be held up, or away.
 * Requests are threads. */
#include "support.h"

#include "read-svc/flights.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/log.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define IDS 32       /* products have ids from 1 to before this */
#define BUSY_ID 31   /* what keeps a worker busy */
#define NOTHING (-1) /* the version of a product that a tier does not have */

enum { CACHE, DATABASE, TIERS };

struct fake_tier {
    struct tier tier;
    enum tier_source source;
    bool is_primary; /* its answer is the latest */
    atomic_bool is_away;
    atomic_bool hold;   /* a batch under way does not end; it has looked already */
    atomic_int looking; /* batches under way */
    atomic_int batches;
    _Atomic int64_t versions[IDS];
    atomic_int asked[IDS];             /* how often each was */
    _Atomic int64_t min_versions[IDS]; /* the last one that was asked with */
    atomic_int largest_batch;
};

struct fixture {
    struct fake_tier fakes[TIERS];
    struct flights *flights;
    long shared_before;
};

/* --- the tiers -------------------------------------------------------------------------------- */

static struct product *product_at(int64_t id, int64_t version)
{
    return version == 0 ? product_missing(id, (struct product_read){1, 1})
                        : product_deleted(id, version, (struct product_read){1, 1});
}

static void look(struct fake_tier *fake, struct tier_batch *batch, size_t i)
{
    int64_t id = batch->ids[i];
    int64_t version = atomic_load(&fake->versions[id]);

    atomic_fetch_add(&fake->asked[id], 1);
    atomic_store(&fake->min_versions[id], batch->min_versions[i]);
    batch->answers[i] = (struct tier_answer){.status = STATUS_OK};
    if (atomic_load(&fake->is_away)) {
        batch->answers[i].status = STATUS_UNAVAILABLE;
    } else if (version != NOTHING) {
        batch->answers[i] = (struct tier_answer){.product = product_at(id, version),
                                                 .source = fake->source,
                                                 .is_latest = fake->is_primary};
    } else if (fake->is_primary) {
        batch->answers[i].status = STATUS_FAILED;
    }
}

static void fake_load(struct tier *tier, struct tier_batch *batch)
{
    struct fake_tier *fake = FS_CONTAINER_OF(tier, struct fake_tier, tier);

    for (size_t i = 0; i < batch->count; i++) {
        look(fake, batch, i);
    }
    if ((int)batch->count > atomic_load(&fake->largest_batch)) {
        atomic_store(&fake->largest_batch, (int)batch->count);
    }
    atomic_fetch_add(&fake->batches, 1);
    atomic_fetch_add(&fake->looking, 1);
    while (atomic_load(&fake->hold)) {
        usleep(200);
    }
    atomic_fetch_sub(&fake->looking, 1);
}

static void init_fake(struct fake_tier *fake, enum tier_source source)
{
    fake->tier = (struct tier){.workers = 1, .load = fake_load};
    fake->source = source;
    fake->is_primary = source == TIER_DATABASE;
    for (int id = 0; id < IDS; id++) {
        atomic_init(&fake->versions[id], source == TIER_DATABASE ? 1 : NOTHING);
    }
}

static void set_version(struct fixture *fixture, int tier, int64_t id, int64_t version)
{
    atomic_store(&fixture->fakes[tier].versions[id], version);
}

static void hold(struct fixture *fixture, int tier, bool is_held)
{
    atomic_store(&fixture->fakes[tier].hold, is_held);
}

static int asked(struct fixture *fixture, int tier, int64_t id)
{
    return atomic_load(&fixture->fakes[tier].asked[id]);
}

/* --- flights to test -------------------------------------------------------------------------- */

static long metric_of(const char *name)
{
    struct strbuf text = STRBUF_EMPTY;
    char line[96];
    const char *at;
    long value;

    snprintf(line, sizeof(line), "\n%s ", name);
    metrics_render(&text);
    at = strstr(text.text, line);
    value = at == NULL ? -1 : strtol(at + strlen(line), NULL, 10);
    strbuf_finish(&text);
    return value;
}

static long flights_now(void)
{
    return metric_of("faststock_load_flights");
}

/* How many joined a flight since the fixture was made. */
static long joined(const struct fixture *fixture)
{
    return metric_of("faststock_load_flights_shared_total") - fixture->shared_before;
}

static int setup(void **state)
{
    struct fixture *fixture = fs_calloc(1, sizeof(*fixture));
    struct tier *tiers[TIERS];

    init_fake(&fixture->fakes[CACHE], TIER_REDIS);
    init_fake(&fixture->fakes[DATABASE], TIER_DATABASE);
    for (int i = 0; i < TIERS; i++) {
        tiers[i] = &fixture->fakes[i].tier;
    }
    fixture->flights = flights_create(tiers, TIERS);
    fixture->shared_before = metric_of("faststock_load_flights_shared_total");
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    hold(fixture, CACHE, false);
    hold(fixture, DATABASE, false);
    flights_destroy(fixture->flights); /* asserts that no flight is left */
    free(fixture);
    return 0;
}

/* A request, on a thread of its own. */
struct request {
    struct flights *flights;
    struct flights_item item;
    int64_t deadline_us;
    pthread_t thread;
    atomic_bool is_done;
};

static void *run_request(void *arg)
{
    struct request *request = arg;

    flights_load(request->flights, &request->item, 1, request->deadline_us);
    flights_load_newer(request->flights, &request->item, 1, request->deadline_us);
    atomic_store(&request->is_done, true);
    return NULL;
}

static void start_until(struct fixture *fixture, struct request *request, int64_t id,
                        int64_t min_version, int64_t deadline_us)
{
    *request = (struct request){.flights = fixture->flights,
                                .item = {.id = id, .min_version = min_version},
                                .deadline_us = deadline_us};
    pthread_create(&request->thread, NULL, run_request, request);
}

static void start(struct fixture *fixture, struct request *request, int64_t id)
{
    start_until(fixture, request, id, 0, support_give_up_us());
}

/* Waits for the request; its version is NOTHING when it got no product. */
static int64_t finish(struct request *request)
{
    int64_t version = NOTHING;

    pthread_join(request->thread, NULL);
    if (request->item.product != NULL) {
        assert_int_equal(request->item.status, STATUS_OK);
        assert_int_equal(request->item.product->id, request->item.id);
        version = request->item.product->version;
        product_unref(request->item.product);
    } else {
        assert_int_not_equal(request->item.status, STATUS_OK);
    }
    return version;
}

/* A request that is over at once. */
static int64_t load_one(struct fixture *fixture, int64_t id, int64_t min_version,
                        struct request *request)
{
    start_until(fixture, request, id, min_version, support_give_up_us());
    return finish(request);
}

/* Keeps the worker of a tier busy, so that flights wait for it. */
static void start_busy(struct fixture *fixture, int tier, struct request *request)
{
    hold(fixture, tier, true);
    start(fixture, request, BUSY_ID);
    wait_until(atomic_load(&fixture->fakes[tier].looking) == 1);
}

static void let_go(struct fixture *fixture, int tier, struct request *busy)
{
    hold(fixture, tier, false);
    assert_int_equal(finish(busy), 1);
}

/* --- tiers ------------------------------------------------------------------------------------ */

static void test_the_first_tier_that_has_it_answers(void **state)
{
    struct fixture *fixture = *state;
    struct request request;

    set_version(fixture, CACHE, 1, 4);
    set_version(fixture, DATABASE, 1, 5);
    assert_int_equal(load_one(fixture, 1, 0, &request), 4);
    assert_int_equal(request.item.source, TIER_REDIS);
    assert_false(request.item.is_latest);
    assert_int_equal(asked(fixture, DATABASE, 1), 0);
}

static void test_what_a_tier_lacks_is_for_the_next(void **state)
{
    struct fixture *fixture = *state;
    struct request request;

    set_version(fixture, DATABASE, 1, 5);
    assert_int_equal(load_one(fixture, 1, 0, &request), 5);
    assert_int_equal(request.item.source, TIER_DATABASE);
    assert_true(request.item.is_latest);
    assert_int_equal(asked(fixture, CACHE, 1), 1);
    assert_int_equal(asked(fixture, DATABASE, 1), 1);
}

static void test_an_error_of_a_tier_is_for_the_next(void **state)
{
    struct fixture *fixture = *state;
    struct request request;

    atomic_store(&fixture->fakes[CACHE].is_away, true);
    assert_int_equal(load_one(fixture, 1, 0, &request), 1);
    assert_int_equal(request.item.source, TIER_DATABASE);
}

static void test_an_error_of_the_last_tier_is_the_outcome(void **state)
{
    struct fixture *fixture = *state;
    struct request request;

    atomic_store(&fixture->fakes[DATABASE].is_away, true);
    assert_int_equal(load_one(fixture, 1, 0, &request), NOTHING);
    assert_int_equal(request.item.status, STATUS_UNAVAILABLE);
    atomic_store(&fixture->fakes[DATABASE].is_away, false);
    assert_int_equal(load_one(fixture, 1, 0, &request), 1); /* nothing of it is left */
}

static void test_an_error_is_of_one_product(void **state)
{
    struct fixture *fixture = *state;
    struct flights_item items[3] = {{.id = 1}, {.id = 2}, {.id = 3}};

    set_version(fixture, DATABASE, 2, NOTHING);
    flights_load(fixture->flights, items, 3, support_give_up_us());
    assert_int_equal(items[0].status, STATUS_OK);
    assert_int_equal(items[1].status, STATUS_FAILED);
    assert_null(items[1].product);
    assert_int_equal(items[2].status, STATUS_OK);
    product_unref(items[0].product);
    product_unref(items[2].product);
}

static void test_products_of_one_request_are_one_batch(void **state)
{
    struct fixture *fixture = *state;
    struct flights_item items[20];

    for (int i = 0; i < 20; i++) {
        items[i] = (struct flights_item){.id = 20 - i};
    }
    flights_load(fixture->flights, items, 20, support_give_up_us());
    for (int i = 0; i < 20; i++) {
        assert_int_equal(items[i].product->id, 20 - i);
        product_unref(items[i].product);
    }
    for (int tier = 0; tier < TIERS; tier++) {
        assert_int_equal(fixture->fakes[tier].batches, 1);
        assert_int_equal(fixture->fakes[tier].largest_batch, 20);
    }
}

static void test_items_that_have_a_product_are_left_alone(void **state)
{
    struct fixture *fixture = *state;
    struct product *known = product_at(1, 7);
    struct flights_item items[2] = {{.id = 1, .product = known}, {.id = 2}};

    flights_load(fixture->flights, items, 2, support_give_up_us());
    assert_ptr_equal(items[0].product, known);
    assert_int_equal(asked(fixture, CACHE, 1), 0);
    assert_int_equal(asked(fixture, CACHE, 2), 1);
    product_unref(items[0].product);
    product_unref(items[1].product);
}

static void test_no_items_are_loaded_at_once(void **state)
{
    struct fixture *fixture = *state;

    flights_load(fixture->flights, NULL, 0, 0);
    flights_load_newer(fixture->flights, NULL, 0, 0);
    assert_int_equal(fixture->fakes[CACHE].batches, 0);
}

/* --- sharing ---------------------------------------------------------------------------------- */

#define REQUESTS 10

static void start_many(struct fixture *fixture, struct request *requests, int64_t id)
{
    for (int i = 0; i < REQUESTS; i++) {
        start(fixture, &requests[i], id);
    }
}

static void finish_many(struct request *requests, int64_t version)
{
    for (int i = 0; i < REQUESTS; i++) {
        assert_int_equal(finish(&requests[i]), version);
    }
}

static void test_requests_share_a_flight_that_waits(void **state)
{
    struct fixture *fixture = *state;
    struct request busy;
    struct request requests[REQUESTS];

    start_busy(fixture, CACHE, &busy);
    start_many(fixture, requests, 1);
    wait_until(joined(fixture) == REQUESTS - 1);
    assert_int_equal(flights_now(), 2);
    let_go(fixture, CACHE, &busy);
    finish_many(requests, 1);
    assert_int_equal(asked(fixture, CACHE, 1), 1);
    assert_int_equal(asked(fixture, DATABASE, 1), 1);
}

static void test_a_flight_that_is_handed_on_may_be_joined_again(void **state)
{
    struct fixture *fixture = *state;
    struct request busy;
    struct request first;
    struct request second;

    start_busy(fixture, DATABASE, &busy);
    start(fixture, &first, 1);
    wait_until(asked(fixture, CACHE, 1) == 1 && atomic_load(&fixture->fakes[CACHE].looking) == 0);
    usleep(1000); /* let it get to the database's gather; else the second shares a successor */
    set_version(fixture, DATABASE, 1, 2);
    start(fixture, &second, 1);
    wait_until(joined(fixture) == 1);
    let_go(fixture, DATABASE, &busy);
    assert_int_equal(finish(&first), 2);
    assert_int_equal(finish(&second), 2);
    assert_in_range(asked(fixture, DATABASE, 1), 1, 2);
}

/* The rule that keeps answers fresh: every commit before a request came is in its answer. */
static void test_a_request_that_comes_while_a_tier_is_asked_takes_the_next_flight(void **state)
{
    struct fixture *fixture = *state;
    struct request early;
    struct request late;

    hold(fixture, DATABASE, true);
    start(fixture, &early, 1);
    wait_until(atomic_load(&fixture->fakes[DATABASE].looking) == 1); /* it has seen version 1 */
    set_version(fixture, DATABASE, 1, 2);
    start(fixture, &late, 1);
    wait_until(joined(fixture) == 1);
    assert_int_equal(flights_now(), 2);
    assert_int_equal(asked(fixture, CACHE, 1), 1); /* the second one waits for the first */
    hold(fixture, DATABASE, false);
    assert_int_equal(finish(&early), 1);
    assert_int_equal(finish(&late), 2);
    assert_int_equal(asked(fixture, CACHE, 1), 2);
    assert_int_equal(asked(fixture, DATABASE, 1), 2);
}

static void test_all_who_come_meanwhile_share_one_successor(void **state)
{
    struct fixture *fixture = *state;
    struct request first;
    struct request later[REQUESTS];

    hold(fixture, CACHE, true);
    start(fixture, &first, 1);
    wait_until(atomic_load(&fixture->fakes[CACHE].looking) == 1);
    start_many(fixture, later, 1);
    wait_until(joined(fixture) == REQUESTS);
    assert_int_equal(flights_now(), 2);
    hold(fixture, CACHE, false);
    assert_int_equal(finish(&first), 1);
    finish_many(later, 1);
    assert_int_equal(asked(fixture, CACHE, 1), 2);
}

static void test_one_product_twice_in_a_request(void **state)
{
    struct fixture *fixture = *state;
    struct flights_item items[2] = {{.id = 1}, {.id = 1}};

    flights_load(fixture->flights, items, 2, support_give_up_us());
    assert_ptr_equal(items[0].product, items[1].product);
    assert_int_equal(asked(fixture, CACHE, 1), 1);
    product_unref(items[0].product);
    product_unref(items[1].product);
}

static void test_an_error_is_for_all_who_share_the_flight(void **state)
{
    struct fixture *fixture = *state;
    struct request busy;
    struct request requests[REQUESTS];

    start_busy(fixture, CACHE, &busy);
    start_many(fixture, requests, 1);
    wait_until(joined(fixture) == REQUESTS - 1);
    set_version(fixture, DATABASE, 1, NOTHING);
    let_go(fixture, CACHE, &busy);
    finish_many(requests, NOTHING);
    for (int i = 0; i < REQUESTS; i++) {
        assert_int_equal(requests[i].item.status, STATUS_FAILED);
    }
}

/* --- giving up -------------------------------------------------------------------------------- */

/* A deadline that has passed by the time that it is looked at. */
static int64_t soon_us(void)
{
    return clock_mono_us() + 1000;
}

static void test_a_deadline_ends_the_wait_of_one_request(void **state)
{
    struct fixture *fixture = *state;
    struct request busy;
    struct request patient;
    struct request hasty;

    start_busy(fixture, CACHE, &busy);
    start(fixture, &patient, 1);
    start_until(fixture, &hasty, 1, 0, soon_us());
    assert_int_equal(finish(&hasty), NOTHING);
    assert_int_equal(hasty.item.status, STATUS_TIMEOUT);
    let_go(fixture, CACHE, &busy);
    assert_int_equal(finish(&patient), 1);
}

static void test_an_abandoned_flight_is_not_asked_for(void **state)
{
    struct fixture *fixture = *state;
    struct request busy;
    struct request hasty;

    start_busy(fixture, CACHE, &busy);
    start_until(fixture, &hasty, 1, 0, soon_us());
    assert_int_equal(finish(&hasty), NOTHING);
    let_go(fixture, CACHE, &busy);
    wait_until(flights_now() == 0);
    assert_int_equal(asked(fixture, CACHE, 1), 0);
}

static void test_an_abandoned_flight_is_not_handed_on(void **state)
{
    struct fixture *fixture = *state;
    struct request hasty;

    hold(fixture, CACHE, true);
    start_until(fixture, &hasty, 1, 0, soon_us());
    wait_until(atomic_load(&fixture->fakes[CACHE].looking) == 1 ||
               atomic_load(&hasty.is_done)); /* a slow machine: it had given up before */
    assert_int_equal(finish(&hasty), NOTHING);
    hold(fixture, CACHE, false);
    wait_until(flights_now() == 0);
    assert_int_equal(asked(fixture, DATABASE, 1), 0);
}

static void test_an_abandoned_successor_does_not_start(void **state)
{
    struct fixture *fixture = *state;
    struct request patient;
    struct request hasty;

    hold(fixture, CACHE, true);
    start(fixture, &patient, 1);
    wait_until(atomic_load(&fixture->fakes[CACHE].looking) == 1);
    start_until(fixture, &hasty, 1, 0, soon_us());
    assert_int_equal(finish(&hasty), NOTHING);
    assert_int_equal(flights_now(), 2);
    hold(fixture, CACHE, false);
    assert_int_equal(finish(&patient), 1);
    wait_until(flights_now() == 0);
    assert_int_equal(asked(fixture, CACHE, 1), 1);
}

static void test_an_abandoned_flight_may_be_joined_while_it_waits(void **state)
{
    struct fixture *fixture = *state;
    struct request busy;
    struct request hasty;
    struct request patient;

    start_busy(fixture, CACHE, &busy);
    start_until(fixture, &hasty, 1, 0, soon_us());
    assert_int_equal(finish(&hasty), NOTHING);
    start(fixture, &patient, 1);
    wait_until(joined(fixture) == 1);
    let_go(fixture, CACHE, &busy);
    assert_int_equal(finish(&patient), 1);
    assert_int_equal(asked(fixture, CACHE, 1), 1);
}

/* --- min_version ------------------------------------------------------------------------------ */

static void test_an_older_answer_than_wanted_is_passed_over(void **state)
{
    struct fixture *fixture = *state;
    struct request request;

    set_version(fixture, CACHE, 1, 4);
    set_version(fixture, DATABASE, 1, 5);
    assert_int_equal(load_one(fixture, 1, 5, &request), 5);
    assert_int_equal(request.item.source, TIER_DATABASE);
    assert_int_equal(asked(fixture, CACHE, 1), 1);
    assert_int_equal(fixture->fakes[DATABASE].min_versions[1], 5);
}

static void test_an_answer_that_is_new_enough_is_taken(void **state)
{
    struct fixture *fixture = *state;
    struct request request;

    set_version(fixture, CACHE, 1, 4);
    set_version(fixture, DATABASE, 1, 5);
    assert_int_equal(load_one(fixture, 1, 4, &request), 4);
    assert_int_equal(asked(fixture, DATABASE, 1), 0);
}

static void test_the_latest_is_not_asked_for_again(void **state)
{
    struct fixture *fixture = *state;
    struct request request;

    set_version(fixture, DATABASE, 1, 5);
    assert_int_equal(load_one(fixture, 1, 9, &request), 5); /* the caller sees that it is older */
    assert_int_equal(asked(fixture, DATABASE, 1), 1);
}

static void test_what_may_be_behind_is_asked_for_again_once(void **state)
{
    struct fixture *fixture = *state;
    struct request request;

    fixture->fakes[DATABASE].is_primary = false; /* a replica's answer */
    set_version(fixture, DATABASE, 1, 5);
    assert_int_equal(load_one(fixture, 1, 9, &request), 5);
    assert_int_equal(asked(fixture, DATABASE, 1), 2);
    assert_int_equal(fixture->fakes[DATABASE].min_versions[1], 9);
}

static void test_a_newer_version_that_cannot_be_had_is_an_error(void **state)
{
    struct fixture *fixture = *state;
    struct request request;

    set_version(fixture, CACHE, 1, 4);
    atomic_store(&fixture->fakes[DATABASE].is_away, true);
    assert_int_equal(load_one(fixture, 1, 5, &request), NOTHING);
    assert_int_equal(request.item.status, STATUS_UNAVAILABLE);
}

/* One client's wish costs the others nothing: neither time nor an error. */
static void test_a_demanding_flight_is_not_for_others(void **state)
{
    struct fixture *fixture = *state;
    struct request demanding;
    struct request modest;

    set_version(fixture, CACHE, 1, 4);
    set_version(fixture, DATABASE, 1, 5);
    hold(fixture, DATABASE, true);
    start_until(fixture, &demanding, 1, 5, support_give_up_us());
    wait_until(atomic_load(&fixture->fakes[DATABASE].looking) == 1);
    assert_int_equal(load_one(fixture, 1, 0, &modest), 4); /* while the other one waits */
    assert_false(atomic_load(&demanding.is_done));
    hold(fixture, DATABASE, false);
    assert_int_equal(finish(&demanding), 5);
}

/* Until requests have asked the cache for product 1 so often, and wait for the database. A request
 * that came while the one before still waited for the cache would share that flight. */
static void wait_for_demanding(struct fixture *fixture, int requests)
{
    wait_until(asked(fixture, CACHE, 1) >= requests &&
               atomic_load(&fixture->fakes[CACHE].looking) == 0 && flights_now() == 2);
}

static void test_demanding_requests_share_a_flight_for_the_highest_wish(void **state)
{
    struct fixture *fixture = *state;
    struct request busy;
    struct request requests[3];

    set_version(fixture, CACHE, 1, 4);
    set_version(fixture, DATABASE, 1, 9);
    start_busy(fixture, DATABASE, &busy);
    start_until(fixture, &requests[0], 1, 5, support_give_up_us());
    wait_for_demanding(fixture, 1);
    start_until(fixture, &requests[1], 1, 7, support_give_up_us());
    wait_for_demanding(fixture, 2);
    start_until(fixture, &requests[2], 1, 6, support_give_up_us());
    wait_for_demanding(fixture, 3);
    wait_until(joined(fixture) >= 2);
    let_go(fixture, DATABASE, &busy);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(finish(&requests[i]), 9);
    }
    assert_int_equal(asked(fixture, DATABASE, 1), 1);
    assert_int_equal(fixture->fakes[DATABASE].min_versions[1], 7);
}

static void test_only_the_old_items_of_a_request_are_loaded_again(void **state)
{
    struct fixture *fixture = *state;
    struct flights_item items[2] = {{.id = 1, .min_version = 5}, {.id = 2, .min_version = 5}};

    set_version(fixture, CACHE, 1, 4);
    set_version(fixture, DATABASE, 1, 5);
    set_version(fixture, CACHE, 2, 6);
    flights_load(fixture->flights, items, 2, support_give_up_us());
    flights_load_newer(fixture->flights, items, 2, support_give_up_us());
    assert_int_equal(items[0].product->version, 5);
    assert_int_equal(items[1].product->version, 6);
    assert_int_equal(asked(fixture, DATABASE, 2), 0);
    product_unref(items[0].product);
    product_unref(items[1].product);
}

/* --- the end ---------------------------------------------------------------------------------- */

static void *run_destroy(void *arg)
{
    flights_destroy(arg);
    return NULL;
}

/* All gave up: one flight is asked for, one waits behind it, one waits for a worker. */
static void test_destroy_ends_abandoned_flights(void **state)
{
    struct fixture *fixture = *state;
    struct request requests[3];
    pthread_t thread;

    hold(fixture, CACHE, true);
    start_until(fixture, &requests[0], 1, 0, clock_mono_us() + 20000);
    wait_until(atomic_load(&fixture->fakes[CACHE].looking) == 1 ||
               atomic_load(&requests[0].is_done));
    start_until(fixture, &requests[1], 1, 0, soon_us());
    start_until(fixture, &requests[2], 2, 0, soon_us());
    for (int i = 0; i < 3; i++) {
        assert_int_equal(finish(&requests[i]), NOTHING);
    }
    pthread_create(&thread, NULL, run_destroy, fixture->flights);
    usleep(2000);
    hold(fixture, CACHE, false);
    pthread_join(thread, NULL);
    fixture->flights = NULL;
    assert_int_equal(asked(fixture, CACHE, 2), 0);
    assert_int_equal(asked(fixture, DATABASE, 1), 0);
}

/* A flight that lands while all ends must not start its successor: the first tier has ended. */
static void test_destroy_does_not_start_an_abandoned_successor(void **state)
{
    struct fixture *fixture = *state;
    struct request first;
    struct request second;
    pthread_t thread;

    hold(fixture, DATABASE, true);
    start_until(fixture, &first, 1, 0, clock_mono_us() + 50000);
    wait_until(atomic_load(&fixture->fakes[DATABASE].looking) == 1 ||
               atomic_load(&first.is_done)); /* a slow machine: it had given up before */
    start_until(fixture, &second, 1, 0, soon_us());
    assert_int_equal(finish(&second), NOTHING);
    assert_int_equal(finish(&first), NOTHING);
    pthread_create(&thread, NULL, run_destroy, fixture->flights);
    usleep(5000);
    hold(fixture, DATABASE, false);
    pthread_join(thread, NULL);
    fixture->flights = NULL;
    assert_in_range(asked(fixture, CACHE, 1), 0, 1);
}

static void test_one_tier_is_enough(void **state)
{
    struct fixture *fixture = *state;
    struct tier *tier = &fixture->fakes[DATABASE].tier;
    struct request request;

    flights_destroy(fixture->flights);
    fixture->flights = flights_create(&tier, 1);
    fixture->fakes[DATABASE].is_primary = false;
    set_version(fixture, DATABASE, 1, 5);
    assert_int_equal(load_one(fixture, 1, 0, &request), 5);
    assert_int_equal(load_one(fixture, 1, 9, &request), 5);
    assert_int_equal(asked(fixture, DATABASE, 1), 3);
    assert_int_equal(asked(fixture, CACHE, 1), 0);
}

/* --- many threads ----------------------------------------------------------------------------- */

#define HAMMERS 8
#define ROUNDS 1500
#define HOT_IDS 4 /* so that requests meet */

struct hammer {
    struct fixture *fixture;
    pthread_t thread;
    unsigned seed;
    int stale;
    int failed;
    int timed_out;
};

/* Changes a product, or reads it. The database alone knows versions, so a read must be as new as
 * the last change before it. */
static void *run_hammer(void *arg)
{
    struct hammer *hammer = arg;
    struct fake_tier *database = &hammer->fixture->fakes[DATABASE];

    for (int i = 0; i < ROUNDS; i++) {
        struct flights_item items[2] = {{.id = rand_r(&hammer->seed) % HOT_IDS + 1},
                                        {.id = rand_r(&hammer->seed) % HOT_IDS + 1}};
        int64_t committed[2];
        bool is_hasty = i % 16 == 0;

        if (i % 4 == 0) {
            atomic_fetch_add(&database->versions[items[0].id], 1);
        }
        for (int j = 0; j < 2; j++) {
            committed[j] = atomic_load(&database->versions[items[j].id]);
        }
        flights_load(hammer->fixture->flights, items, 2,
                     is_hasty ? clock_mono_us() + 20 : support_give_up_us());
        for (int j = 0; j < 2; j++) {
            hammer->timed_out += items[j].status == STATUS_TIMEOUT && !is_hasty;
            hammer->failed += items[j].status != STATUS_OK && items[j].status != STATUS_TIMEOUT;
            hammer->stale += items[j].product != NULL && items[j].product->version < committed[j];
            product_unref(items[j].product);
        }
    }
    return NULL;
}

static void test_many_threads_and_no_stale_answer(void **state)
{
    struct fixture *fixture = *state;
    struct hammer hammers[HAMMERS];
    int asked_in_all = 0;

    for (size_t i = 0; i < HAMMERS; i++) {
        hammers[i] = (struct hammer){.fixture = fixture, .seed = (unsigned)i + 1};
        pthread_create(&hammers[i].thread, NULL, run_hammer, &hammers[i]);
    }
    for (size_t i = 0; i < HAMMERS; i++) {
        pthread_join(hammers[i].thread, NULL);
        assert_int_equal(hammers[i].stale, 0);
        assert_int_equal(hammers[i].failed, 0);
        assert_int_equal(hammers[i].timed_out, 0);
    }
    wait_until(flights_now() == 0);
    for (int id = 1; id <= HOT_IDS; id++) {
        asked_in_all += asked(fixture, DATABASE, id);
    }
    assert_true(joined(fixture) > 0);
    assert_in_range(asked_in_all, 1, 2 * HAMMERS * ROUNDS - 1);
}

#define with_fixture(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_fixture(test_the_first_tier_that_has_it_answers),
        with_fixture(test_what_a_tier_lacks_is_for_the_next),
        with_fixture(test_an_error_of_a_tier_is_for_the_next),
        with_fixture(test_an_error_of_the_last_tier_is_the_outcome),
        with_fixture(test_an_error_is_of_one_product),
        with_fixture(test_products_of_one_request_are_one_batch),
        with_fixture(test_items_that_have_a_product_are_left_alone),
        with_fixture(test_no_items_are_loaded_at_once),
        with_fixture(test_requests_share_a_flight_that_waits),
        with_fixture(test_a_flight_that_is_handed_on_may_be_joined_again),
        with_fixture(test_a_request_that_comes_while_a_tier_is_asked_takes_the_next_flight),
        with_fixture(test_all_who_come_meanwhile_share_one_successor),
        with_fixture(test_one_product_twice_in_a_request),
        with_fixture(test_an_error_is_for_all_who_share_the_flight),
        with_fixture(test_a_deadline_ends_the_wait_of_one_request),
        with_fixture(test_an_abandoned_flight_is_not_asked_for),
        with_fixture(test_an_abandoned_flight_is_not_handed_on),
        with_fixture(test_an_abandoned_successor_does_not_start),
        with_fixture(test_an_abandoned_flight_may_be_joined_while_it_waits),
        with_fixture(test_an_older_answer_than_wanted_is_passed_over),
        with_fixture(test_an_answer_that_is_new_enough_is_taken),
        with_fixture(test_the_latest_is_not_asked_for_again),
        with_fixture(test_what_may_be_behind_is_asked_for_again_once),
        with_fixture(test_a_newer_version_that_cannot_be_had_is_an_error),
        with_fixture(test_a_demanding_flight_is_not_for_others),
        with_fixture(test_demanding_requests_share_a_flight_for_the_highest_wish),
        with_fixture(test_only_the_old_items_of_a_request_are_loaded_again),
        with_fixture(test_destroy_ends_abandoned_flights),
        with_fixture(test_destroy_does_not_start_an_abandoned_successor),
        with_fixture(test_one_tier_is_enough),
        with_fixture(test_many_threads_and_no_stale_answer),
    };

    log_init("unit", LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
