#include "read-svc/flights.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/gather.h"
#include "common/base/outcome.h"
#include "common/base/trace.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define BUCKETS 4096u /* a power of two */

static struct metric_family shared_counter =
    METRIC_COUNTER("faststock_load_flights_shared_total",
                   "Wanted products that joined a load of the same product.", METRIC_NO_LABELS);
static struct metric_family flights_gauge = METRIC_GAUGE(
    "faststock_load_flights", "Products being loaded or waiting for it.", METRIC_NO_LABELS);

enum { SHARED, FLIGHTS, SERIES };

static const struct metric_row rows[SERIES] = {
    [SHARED] = {&shared_counter, {NULL}},
    [FLIGHTS] = {&flights_gauge, {NULL}},
};

static const struct trace_kind flight_kind = {.name = "wait for a flight",
                                              .count_key = "faststock.products"};
static const struct trace_kind batch_kind = {.name = "batch", .count_key = "faststock.products"};

/* What a worker did for a batch, for the requests of it that are traced. A reference is held by
 * each flight of theirs. */
struct work_trace {
    _Atomic int references;
    uint64_t number; /* of this one, from 1 on */
    struct trace_record record;
};

/* A reference is held by the flights until it lands, and by each request that waits for it. */
struct flight {
    _Atomic int references;
    struct outcome landed;
    struct tier_answer answer; /* the outcome; its product goes with the flight */
    struct product *spare; /* too old, for when no tier has another; of the worker, then as above */
    int64_t spare_as_of_us;
    struct work_trace *traces[FLIGHTS_TIERS_MAX]; /* by stage, NULL: none; as the answer */

    /* guarded by the lock */
    struct gather_item waiting; /* while it does, the flight may be joined */
    int64_t id;
    bool is_demanding;
    bool is_traced;      /* a request that is traced has joined */
    int64_t min_version; /* the highest that a request wants; of a demanding one only */
    struct flight *successor;
    struct flight *bucket_next;
};

/* A tier and the flights that wait for it. */
struct stage {
    struct flights *flights;
    struct tier *tier;
    struct gather *gather;
};

struct flights {
    struct stage stages[FLIGHTS_TIERS_MAX];
    size_t stage_count;
    struct metric *series[SERIES];

    pthread_mutex_t lock; /* guards the gathers and all below */
    struct flight *buckets[BUCKETS];
    int64_t count;
};

static bool drop(void *context, struct gather_item *item);
static void work(void *context, struct gather_item *const *items, size_t count);
static void update_gauge(void *arg);

struct flights *flights_create(struct tier *const *tiers, size_t count)
{
    struct flights *flights = fs_calloc(1, sizeof(*flights));

    assert(count > 0 && count <= FLIGHTS_TIERS_MAX);
    pthread_mutex_init(&flights->lock, NULL);
    metric_get_rows(rows, SERIES, NULL, flights->series);
    metrics_add_hook(update_gauge, flights);
    flights->stage_count = count;
    for (size_t i = count; i-- > 0;) { /* a stage hands on to the next one, which is there then */
        struct stage *stage = &flights->stages[i];

        *stage = (struct stage){.flights = flights, .tier = tiers[i]};
        stage->gather = gather_create(&(struct gather_options){.workers = tiers[i]->workers,
                                                               .batch_max = TIER_BATCH_MAX,
                                                               .context = stage,
                                                               .lock = &flights->lock,
                                                               .drop = drop,
                                                               .work = work});
    }
    return flights;
}

/* All flights are abandoned, so none is handed on or starts, and the stages can end one by one. */
void flights_destroy(struct flights *flights)
{
    if (flights == NULL) {
        return;
    }
    for (size_t i = 0; i < flights->stage_count; i++) {
        gather_destroy(flights->stages[i].gather);
    }
    assert(flights->count == 0);
    metrics_remove_hook(update_gauge, flights);
    pthread_mutex_destroy(&flights->lock);
    free(flights);
}

static void update_gauge(void *arg)
{
    struct flights *flights = arg;

    pthread_mutex_lock(&flights->lock);
    metric_set(flights->series[FLIGHTS], (double)flights->count);
    pthread_mutex_unlock(&flights->lock);
}

/* --- flights, with the lock held -------------------------------------------------------------- */

static struct flight **bucket_of(struct flights *flights, int64_t id)
{
    return &flights->buckets[((uint64_t)id * UINT64_C(0x9E3779B97F4A7C15) >> 40) % BUCKETS];
}

static struct flight *find_flight(struct flights *flights, int64_t id, bool is_demanding)
{
    struct flight *flight = *bucket_of(flights, id);

    while (flight != NULL && (flight->id != id || flight->is_demanding != is_demanding)) {
        flight = flight->bucket_next;
    }
    return flight;
}

static struct flight *new_flight(struct flights *flights, int64_t id, bool is_demanding)
{
    struct flight *flight = fs_calloc(1, sizeof(*flight));

    outcome_init(&flight->landed);
    flight->id = id;
    flight->is_demanding = is_demanding;
    atomic_init(&flight->references, 1);
    flights->count++;
    return flight;
}

static void release_work_trace(struct work_trace *trace)
{
    if (trace != NULL &&
        atomic_fetch_sub_explicit(&trace->references, 1, memory_order_acq_rel) == 1) {
        free(trace);
    }
}

static void release_flight(struct flight *flight)
{
    if (atomic_fetch_sub_explicit(&flight->references, 1, memory_order_acq_rel) == 1) {
        product_unref(flight->answer.product);
        product_unref(flight->spare);
        for (size_t i = 0; i < FLIGHTS_TIERS_MAX; i++) {
            release_work_trace(flight->traces[i]);
        }
        free(flight);
    }
}

/* Have all requests that wanted it given up? (Nobody joins meanwhile: that takes the lock.) */
static bool is_abandoned(struct flight *flight)
{
    return atomic_load_explicit(&flight->references, memory_order_acquire) == 1;
}

static void wait_for_stage(struct stage *stage, struct flight *flight)
{
    bool added = gather_add(stage->gather, &flight->waiting);

    assert(
        added); /* these gathers have no limit: requests have one, and each waits for its flights */
    (void)added;
}

static void start_flight(struct flights *flights, struct flight *flight)
{
    struct flight **bucket = bucket_of(flights, flight->id);

    flight->bucket_next = *bucket;
    *bucket = flight;
    wait_for_stage(&flights->stages[flight->is_demanding ? flights->stage_count - 1 : 0], flight);
}

/* The flight that a new request for this product joins. */
static struct flight *flight_to_join(struct flights *flights, int64_t id, bool is_demanding)
{
    struct flight *flight = find_flight(flights, id, is_demanding);

    if (flight == NULL) {
        flight = new_flight(flights, id, is_demanding);
        start_flight(flights, flight);
        return flight;
    }
    metric_add(flights->series[SHARED], 1);
    if (gather_is_waiting(&flight->waiting)) {
        return flight;
    }
    if (flight->successor == NULL) {
        flight->successor = new_flight(flights, id, is_demanding);
    }
    return flight->successor;
}

static void remove_flight(struct flights *flights, struct flight *flight)
{
    struct flight **at = bucket_of(flights, flight->id);

    while (*at != flight) {
        assert(*at != NULL);
        at = &(*at)->bucket_next;
    }
    *at = flight->bucket_next;
    flights->count--;
}

/* Ends a flight; its successor takes its place. */
static void land(struct flights *flights, struct flight *flight)
{
    struct flight *successor = flight->successor;

    assert(!gather_is_waiting(&flight->waiting));
    remove_flight(flights, flight);
    flight->successor = NULL;
    if (successor == NULL) {
        return;
    }
    if (is_abandoned(successor)) {
        flights->count--;
        release_flight(successor);
    } else {
        start_flight(flights, successor);
    }
}

/* --- asking the tiers ------------------------------------------------------------------------- */

static struct flight *flight_of(struct gather_item *item)
{
    return FS_CONTAINER_OF(item, struct flight, waiting);
}

static bool drop(void *context, struct gather_item *item)
{
    const struct stage *stage = context;
    struct flight *flight = flight_of(item);

    if (!is_abandoned(flight)) {
        return false;
    }
    land(stage->flights, flight);
    release_flight(flight);
    return true;
}

/* Gives the outcome to all requests that wait for it. */
static void arrive(struct flight *flight, const struct tier_answer *answer)
{
    assert(answer->product != NULL || answer->status != STATUS_OK);
    flight->answer = *answer;
    if (answer->product == NULL && flight->spare != NULL) {
        flight->answer = (struct tier_answer){
            .product = flight->spare, .source = TIER_STALE, .as_of_us = flight->spare_as_of_us};
        flight->spare = NULL;
    }
    outcome_set(&flight->landed);
    release_flight(flight);
}

/* With the lock held. True when the flight has landed; then its requests are to hear of it. */
static bool hand_on(struct stage *stage, struct flight *flight, const struct tier_answer *answer)
{
    struct flights *flights = stage->flights;
    struct stage *next = stage + 1;

    if (answer->product != NULL || next == flights->stages + flights->stage_count) {
        land(flights, flight);
        return true;
    }
    if (!drop(next, &flight->waiting)) {
        wait_for_stage(next, flight);
    }
    return false;
}

static void keep_spare(struct flight *flight, const struct tier_answer *answer)
{
    if (answer->product == NULL && answer->spare != NULL) {
        product_unref(flight->spare);
        flight->spare = answer->spare;
        flight->spare_as_of_us = answer->as_of_us;
    }
}

/* Is a request traced that waits for one of these? Then this thread's spans are kept from now on.
 * (No request can join any more.) */
static struct work_trace *begin_work_trace(struct gather_item *const *items, size_t count)
{
    static _Atomic uint64_t numbers;
    struct work_trace *trace;
    size_t i = 0;

    while (i < count && !flight_of(items[i])->is_traced) {
        i++;
    }
    if (i == count) {
        return NULL;
    }
    trace = fs_calloc(1, sizeof(*trace));
    atomic_init(&trace->references, 1);
    trace->number = atomic_fetch_add(&numbers, 1) + 1;
    trace_record_init(&trace->record);
    trace_record_into(&trace->record);
    return trace;
}

static void end_work_trace(const struct stage *stage, struct work_trace *trace,
                           struct gather_item *const *items, size_t count)
{
    if (trace == NULL) {
        return;
    }
    trace_record_into(NULL);
    for (size_t i = 0; i < count; i++) {
        struct flight *flight = flight_of(items[i]);

        if (flight->is_traced) {
            atomic_fetch_add_explicit(&trace->references, 1, memory_order_relaxed);
            flight->traces[stage - stage->flights->stages] = trace;
        }
    }
    release_work_trace(trace);
}

static void work(void *context, struct gather_item *const *items, size_t count)
{
    struct stage *stage = context;
    struct work_trace *trace = begin_work_trace(items, count);
    int span = trace_begin(&batch_kind, NULL, NULL);
    struct tier_batch *batch = fs_calloc(1, sizeof(*batch)); /* large for a stack */
    bool has_landed[TIER_BATCH_MAX];

    batch->count = count;
    for (size_t i = 0; i < count; i++) {
        batch->ids[i] = flight_of(items[i])->id;
        batch->min_versions[i] = flight_of(items[i])->min_version; /* nobody can join any more */
    }
    stage->tier->load(stage->tier, batch);
    trace_set_count(span, (int64_t)count);
    trace_end(span, STATUS_OK);
    end_work_trace(stage, trace, items, count);
    for (size_t i = 0; i < count; i++) {
        keep_spare(flight_of(items[i]), &batch->answers[i]);
    }
    pthread_mutex_lock(&stage->flights->lock);
    for (size_t i = 0; i < count; i++) {
        has_landed[i] = hand_on(stage, flight_of(items[i]), &batch->answers[i]);
    }
    pthread_mutex_unlock(&stage->flights->lock);
    for (size_t i = 0; i < count; i++) {
        if (has_landed[i]) {
            arrive(flight_of(items[i]), &batch->answers[i]);
        }
    }
    free(batch);
}

/* --- requests --------------------------------------------------------------------------------- */

static bool has_no_product(const struct flights_item *item)
{
    return item->product == NULL;
}

/* Is it older than wanted, and a better answer possible? */
static bool is_too_old(const struct flights_item *item)
{
    return item->product != NULL && !item->is_latest &&
           (item->is_outdated || item->product->version < item->min_version);
}

/* The batches whose spans a request has adopted. Its products may have been loaded by one. */
struct adopted {
    int64_t since_us; /* when the request joined its flights; what was done before is not its own */
    uint64_t numbers[TRACE_SPANS_MAX];
    size_t count;
};

static void adopt(struct adopted *adopted, const struct work_trace *trace)
{
    size_t i = 0;

    if (trace->record.spans[0].start_us < adopted->since_us) {
        return;
    }
    while (i < adopted->count && adopted->numbers[i] != trace->number) {
        i++;
    }
    if (i == adopted->count && i < TRACE_SPANS_MAX) {
        adopted->numbers[adopted->count++] = trace->number;
        trace_adopt(&trace->record);
    }
}

static void take_outcome(struct flights_item *item, int64_t deadline_us, struct adopted *adopted)
{
    struct flight *flight = item->flight;

    product_unref(item->product);
    item->status = STATUS_TIMEOUT;
    item->product = NULL;
    if (outcome_wait(&flight->landed, deadline_us)) {
        const struct tier_answer *answer = &flight->answer;

        item->status = answer->product == NULL ? answer->status : STATUS_OK;
        item->source = answer->source;
        item->as_of_us = answer->as_of_us;
        item->is_latest = answer->is_latest;
        item->product = answer->product == NULL ? NULL : product_ref(answer->product);
        for (size_t i = 0; trace_is_recording() && i < FLIGHTS_TIERS_MAX; i++) {
            if (flight->traces[i] != NULL) {
                adopt(adopted, flight->traces[i]);
            }
        }
    }
    item->flight = NULL;
    release_flight(flight);
}

/* No version of a replica is high enough for an item that is outdated. */
static void raise_min_version(struct flight *flight, const struct flights_item *item)
{
    int64_t min_version = item->is_outdated ? INT64_MAX : item->min_version;

    if (min_version > flight->min_version) {
        flight->min_version = min_version;
    }
}

/* With the lock held. */
static void join(struct flights *flights, struct flights_item *item, bool is_demanding)
{
    struct flight *flight = flight_to_join(flights, item->id, is_demanding);

    atomic_fetch_add_explicit(&flight->references, 1, memory_order_relaxed);
    flight->is_traced = flight->is_traced || trace_is_recording();
    if (is_demanding) {
        raise_min_version(flight, item);
    }
    item->flight = flight;
}

/* Loads the items that `wants` is true of. */
static void load(struct flights *flights, struct flights_item *items, size_t count,
                 bool (*wants)(const struct flights_item *item), bool is_demanding,
                 int64_t deadline_us)
{
    struct adopted adopted = {.since_us = trace_is_recording() ? clock_mono_us() : 0};
    int span = trace_begin(&flight_kind, NULL, NULL);
    int64_t joined = 0;
    enum status status = STATUS_OK; /* of the last one that was not loaded */

    pthread_mutex_lock(&flights->lock);
    for (size_t i = 0; i < count; i++) {
        items[i].flight = NULL;
        if (wants(&items[i])) {
            join(flights, &items[i], is_demanding);
            joined++;
        }
    }
    pthread_mutex_unlock(&flights->lock);
    for (size_t i = 0; i < count; i++) {
        if (items[i].flight != NULL) {
            take_outcome(&items[i], deadline_us, &adopted);
            status = items[i].status == STATUS_OK ? status : items[i].status;
        }
    }
    trace_set_count(span, joined);
    trace_end(span, status);
}

void flights_load(struct flights *flights, struct flights_item *items, size_t count,
                  int64_t deadline_us)
{
    load(flights, items, count, has_no_product, false, deadline_us);
}

void flights_load_newer(struct flights *flights, struct flights_item *items, size_t count,
                        int64_t deadline_us)
{
    for (size_t i = 0; i < count; i++) {
        if (is_too_old(&items[i])) { /* hardly ever: the lock is not taken for nothing */
            load(flights, items, count, is_too_old, true, deadline_us);
            return;
        }
    }
}
