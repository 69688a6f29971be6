#include "read-svc/loader.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/metrics.h"
#include "common/base/strbuf.h"
#include "common/base/thread.h"
#include "common/products/product_rows.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define BATCH_MAX PRODUCT_CACHE_BATCH_MAX
#define BUCKETS 4096u /* a power of two */
#define CACHE_WORK_MS                                                                              \
    2000 /* deadline of a worker's calls of Redis; its own timeout is usually shorter */
#define REPLICA_WORK_MS 250 /* so that time is left for the primary */
#define MARK_AGE_MS_MAX                                                                            \
    2000 /* how old the mark may be by which a replica's rows are judged: the staleness bound */

static struct metric_family requests_counter =
    METRIC_COUNTER("faststock_cache_requests_total",
                   "Products looked up in a tier, by what came of it.", "tier", "result");
static struct metric_family fills_counter =
    METRIC_COUNTER("faststock_cache_fills_total",
                   "Products put into Redis after they were read from PostgreSQL.", "result");
static struct metric_family batch_histogram = METRIC_HISTOGRAM(
    "faststock_load_batch_size", "Products per round trip to a tier.", metric_buckets_size, "tier");
static struct metric_family shared_counter =
    METRIC_COUNTER("faststock_load_flights_shared_total",
                   "Wanted products that joined a load of the same product.", METRIC_NO_LABELS);
static struct metric_family waiting_gauge = METRIC_GAUGE(
    "faststock_load_flights", "Products being loaded or waiting for it.", METRIC_NO_LABELS);

enum flight_state {
    FLIGHT_QUEUED,   /* no store is being asked: may be joined */
    FLIGHT_ASKING,   /* a store is being asked, or filled */
    FLIGHT_FOLLOWING /* waits for the flight before it; may be joined */
};

/* One product being loaded. Held by the loader until it lands and by each request that waits for
 * it. */
struct flight {
    _Atomic int references;
    _Atomic uint32_t arrived; /* 1 once the outcome is set, for good; a futex */
    enum status status;       /* the outcome: set before `arrived` */
    enum load_tier tier;
    struct product *product; /* NULL unless STATUS_OK; goes with the flight */

    /* guarded by the loader's lock */
    int64_t id;
    bool is_demanding;   /* what Redis holds is too old for those who wait: asks PostgreSQL */
    int64_t min_version; /* of a demanding one, the highest that somebody wants; a replica's older
                            row is passed over */
    enum flight_state state;
    struct flight *successor;
    struct flight *queue_next;
    struct flight *bucket_next;
};

struct queue {
    struct flight *first;
    struct flight **last; /* where the next one goes */
    pthread_cond_t filled;
};

struct loader {
    struct loader_options options;
    pthread_t *threads;
    int thread_count;
    struct metric *redis_results[4]; /* by enum result */
    struct metric *database_results[4];
    struct metric *fills_stored;
    struct metric *fills_older;
    struct metric *fills_error;
    struct metric *redis_batch;
    struct metric *database_batch;
    struct metric *shared;
    struct metric *waiting;

    pthread_mutex_t lock; /* guards all below */
    struct queue redis_queue;
    struct queue database_queue;
    struct flight *buckets[BUCKETS];
    int64_t flight_count;
    bool stopping;
};

enum result { RESULT_HIT, RESULT_MISS, RESULT_ERROR, RESULT_STALE };

/* --- flights, with the lock held -------------------------------------------------------------- */

static struct flight **bucket_of(struct loader *loader, int64_t id)
{
    return &loader->buckets[((uint64_t)id * UINT64_C(0x9E3779B97F4A7C15) >> 40) % BUCKETS];
}

static struct flight *find_flight(struct loader *loader, int64_t id, bool is_demanding)
{
    struct flight *flight = *bucket_of(loader, id);

    while (flight != NULL && (flight->id != id || flight->is_demanding != is_demanding)) {
        flight = flight->bucket_next;
    }
    return flight;
}

static void enqueue(struct queue *queue, struct flight *flight)
{
    flight->state = FLIGHT_QUEUED;
    flight->queue_next = NULL;
    *queue->last = flight;
    queue->last = &flight->queue_next;
    pthread_cond_signal(&queue->filled);
}

static void start_flight(struct loader *loader, struct flight *flight)
{
    enqueue(loader->options.cache != NULL && !flight->is_demanding ? &loader->redis_queue
                                                                   : &loader->database_queue,
            flight);
}

static struct flight *new_flight(struct loader *loader, int64_t id, bool is_demanding)
{
    struct flight *flight = fs_calloc(1, sizeof(*flight));

    flight->id = id;
    flight->is_demanding = is_demanding;
    atomic_init(&flight->references, 1);
    loader->flight_count++;
    return flight;
}

/* The flight that a new request for this product joins. */
static struct flight *flight_to_join(struct loader *loader, int64_t id, bool is_demanding)
{
    struct flight *flight = find_flight(loader, id, is_demanding);

    if (flight == NULL) {
        struct flight **bucket = bucket_of(loader, id);

        flight = new_flight(loader, id, is_demanding);
        flight->bucket_next = *bucket;
        *bucket = flight;
        start_flight(loader, flight);
        return flight;
    }
    metric_add(loader->shared, 1);
    if (flight->state != FLIGHT_ASKING) {
        return flight;
    }
    if (flight->successor == NULL) {
        flight->successor = new_flight(loader, id, is_demanding);
        flight->successor->state = FLIGHT_FOLLOWING;
    }
    return flight->successor;
}

/* Ends a flight; the one that waits behind it takes its place. */
static void land(struct loader *loader, struct flight *flight)
{
    struct flight **at = bucket_of(loader, flight->id);
    struct flight *successor = flight->successor;

    while (*at != flight) {
        at = &(*at)->bucket_next;
    }
    *at = flight->bucket_next;
    if (successor != NULL) {
        successor->bucket_next = *at;
        *at = successor;
        start_flight(loader, successor);
    }
    loader->flight_count--;
}

static void release_flight(struct flight *flight)
{
    if (atomic_fetch_sub_explicit(&flight->references, 1, memory_order_acq_rel) == 1) {
        product_unref(flight->product);
        free(flight);
    }
}

static struct flight *pop(struct queue *queue)
{
    struct flight *flight = queue->first;

    queue->first = flight->queue_next;
    if (queue->first == NULL) {
        queue->last = &queue->first;
    }
    return flight;
}

/* Takes what waits. Flights that nobody waits for any more, all gave up, are not asked for: else a
 * slow store would be kept busy with them long after. (Nobody joins meanwhile: that takes the
 * lock.) */
static size_t dequeue(struct loader *loader, struct queue *queue, struct flight *batch[BATCH_MAX])
{
    size_t count = 0;

    while (queue->first != NULL && count < BATCH_MAX) {
        struct flight *flight = pop(queue);

        if (atomic_load_explicit(&flight->references, memory_order_acquire) == 1) {
            land(loader, flight);
            release_flight(flight);
        } else {
            flight->state = FLIGHT_ASKING;
            batch[count++] = flight;
        }
    }
    return count;
}

/* --- outcomes, without the lock --------------------------------------------------------------- */

/* Gives the outcome to all who wait for it, with one call of the kernel however many they are.
 * Takes over `product`. */
static void arrive(struct flight *flight, enum status status, struct product *product,
                   enum load_tier tier)
{
    flight->status = status;
    flight->product = product;
    flight->tier = tier;
    atomic_store_explicit(&flight->arrived, 1, memory_order_release);
    syscall(SYS_futex, &flight->arrived, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

/* Waits for the outcome; false when the deadline passed first. */
static bool wait_for(struct flight *flight, int64_t deadline_us)
{
    const struct timespec until = {.tv_sec = (time_t)(deadline_us / CLOCK_US_PER_S),
                                   .tv_nsec = (long)(deadline_us % CLOCK_US_PER_S) * 1000};

    while (atomic_load_explicit(&flight->arrived, memory_order_acquire) == 0) {
        /* the timeout of FUTEX_WAIT_BITSET is a point of the monotonic clock */
        if (syscall(SYS_futex, &flight->arrived, FUTEX_WAIT_BITSET_PRIVATE, 0, &until, NULL,
                    FUTEX_BITSET_MATCH_ANY) != 0 &&
            errno == ETIMEDOUT) {
            return atomic_load_explicit(&flight->arrived, memory_order_acquire) != 0;
        }
    }
    return true;
}

/* --- Redis ------------------------------------------------------------------------------------ */

static void ask_redis(struct loader *loader, struct flight **batch, size_t count)
{
    int64_t ids[BATCH_MAX];
    struct product *products[BATCH_MAX];
    bool found[BATCH_MAX];
    uint64_t hits = 0;
    enum status status;

    for (size_t i = 0; i < count; i++) {
        ids[i] = batch[i]->id;
    }
    metric_observe(loader->redis_batch, (double)count);
    status = product_cache_get(loader->options.cache, ids, count,
                               clock_mono_us() + CACHE_WORK_MS * CLOCK_US_PER_MS, products);
    pthread_mutex_lock(&loader->lock);
    for (size_t i = 0; i < count; i++) {
        found[i] = products[i] != NULL;
        if (found[i]) {
            hits++;
            land(loader, batch[i]);
        } else {
            enqueue(&loader->database_queue, batch[i]);
        }
    }
    pthread_mutex_unlock(&loader->lock);
    /* before anybody has the answer, so that who has it finds it counted */
    metric_add(loader->redis_results[RESULT_HIT], hits);
    metric_add(loader->redis_results[status == STATUS_OK ? RESULT_MISS : RESULT_ERROR],
               count - hits);
    for (size_t i = 0; i < count; i++) {
        if (found[i]) {
            arrive(batch[i], STATUS_OK, products[i], LOAD_REDIS);
            release_flight(batch[i]);
        }
    }
}

/* --- PostgreSQL ------------------------------------------------------------------------------- */

/* The mark tells whether the WAL up to $2 has been replayed here. */
static const char products_sql[] =
    "SELECT " PRODUCT_ROWS_COLUMNS ", mark.has_replayed"
    " FROM (SELECT (NOT pg_is_in_recovery() OR"
    "  pg_last_wal_replay_lsn() >= $2::pg_lsn)::int AS has_replayed) AS mark"
    " LEFT JOIN products AS product ON product.id = ANY($1::bigint[]) ORDER BY product.id";

enum { COLUMN_HAS_REPLAYED = PRODUCT_ROWS_NEXT };

/* What a batch of flights came to. */
struct answers {
    struct product *products[BATCH_MAX]; /* NULL: not answered yet */
    enum load_tier tiers[BATCH_MAX];
    bool from_replica[BATCH_MAX];
};

static void add_id_array(struct strbuf *out, struct flight *const *batch,
                         const struct answers *answers, size_t count)
{
    const char *separator = "{";

    for (size_t i = 0; i < count; i++) {
        if (answers->products[i] == NULL) {
            strbuf_adds(out, separator);
            strbuf_add_int(out, batch[i]->id);
            separator = ",";
        }
    }
    strbuf_adds(out, *separator == '{' ? "{}" : "}");
}

/* The row of a product, -1 when there is none; `hint` is where the last search ended, as rows
 * mostly come in order. */
static int find_row(const struct pg_result *result, int64_t id, int *hint)
{
    int count = product_rows_count(result);

    for (int step = 0; step < count; step++) {
        int row = (*hint + step) % count;

        if (product_rows_id(result, row) == id) {
            *hint = row;
            return row;
        }
    }
    return -1;
}

static void take_rows(const struct pg_result *result, struct flight *const *batch,
                      struct answers *answers, size_t count, enum load_tier tier, bool is_replica)
{
    int64_t read_us = product_rows_read_us(result);
    int hint = 0;

    for (size_t i = 0; i < count; i++) {
        struct product *product;
        int row;

        if (answers->products[i] != NULL) {
            continue;
        }
        row = find_row(result, batch[i]->id, &hint);
        product = row < 0 ? product_missing(batch[i]->id, read_us) : product_rows_take(result, row);
        if (product == NULL) {
            log_error(log_msg("a product holds a time that cannot be shown"),
                      log_int("product", batch[i]->id));
            continue;
        }
        if (is_replica && product->version < batch[i]->min_version) {
            product_unref(product);
            continue;
        }
        answers->products[i] = product;
        answers->tiers[i] = tier;
        answers->from_replica[i] = is_replica;
    }
}

/* A server and how it is asked. */
struct question {
    struct pg_store *server;
    const char *lsn; /* its rows count only if it has replayed the WAL up to there; NULL: always */
    int64_t work_ms;
    enum load_tier tier;
    bool is_replica; /* each row counts only if it is as new as wanted */
};

/* Asks for all flights that have no answer. */
static enum status ask_server(const struct question *question, struct flight *const *batch,
                              struct answers *answers, size_t count)
{
    struct strbuf ids = STRBUF_EMPTY;
    struct pg_result *result = NULL;
    struct pg_error error;
    enum status status;

    add_id_array(&ids, batch, answers, count);
    status =
        pg_query(question->server, products_sql,
                 (const char *const[]){ids.text, question->lsn == NULL ? "0/0" : question->lsn}, 2,
                 clock_mono_us() + question->work_ms * CLOCK_US_PER_MS, &result, &error);
    if (status == STATUS_OK) {
        if (question->lsn == NULL || pg_int(result, 0, COLUMN_HAS_REPLAYED) == 1) {
            take_rows(result, batch, answers, count, question->tier, question->is_replica);
        }
        pg_result_free(result);
    } else if (status == STATUS_FAILED) {
        log_error(log_msg("products cannot be read"), log_str("sqlstate", error.sqlstate),
                  log_str("error", error.message));
    }
    strbuf_finish(&ids);
    return status;
}

static bool all_answered(const struct answers *answers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (answers->products[i] == NULL) {
            return false;
        }
    }
    return true;
}

/* The replica as far as it is known to keep up, then the primary, then the replica whatever it
 * knows. */
static enum status ask_database(struct loader *loader, struct flight *const *batch,
                                struct answers *answers, size_t count)
{
    struct question primary = {.server = loader->options.database,
                               .work_ms = 2 * loader->options.database_timeout_ms,
                               .tier = LOAD_DATABASE};
    struct question replica = {.server = loader->options.replica,
                               .work_ms = REPLICA_WORK_MS,
                               .tier = LOAD_DATABASE,
                               .is_replica = true};
    char lsn[CATALOG_LSN_SIZE];
    int64_t mark_us;
    enum status status;

    if (replica.server != NULL && catalog_mark(loader->options.catalog, lsn, &mark_us) &&
        clock_mono_us() - mark_us <= MARK_AGE_MS_MAX * CLOCK_US_PER_MS) {
        replica.lsn = lsn;
        ask_server(&replica, batch, answers, count);
    }
    if (all_answered(answers, count)) {
        return STATUS_OK;
    }
    status = ask_server(&primary, batch, answers, count);
    if (status != STATUS_OK && replica.server != NULL) {
        replica.lsn = NULL;
        replica.tier = LOAD_STALE;
        ask_server(&replica, batch, answers, count);
    }
    return status;
}

/* Puts what was read into Redis. A replica may be behind by as much as the mark is old: its row
 * counts for an answer, but is kept only when Redis knows of no publication, and only briefly, as
 * Redis may have forgotten one. */
static void fill_redis(struct loader *loader, const struct answers *answers, size_t count,
                       const struct product_cache_lease *lease)
{
    struct product *fresh[BATCH_MAX];
    size_t fresh_count = 0;
    size_t stored = 0;

    for (size_t i = 0; i < count; i++) {
        bool keep = answers->products[i] != NULL && answers->tiers[i] == LOAD_DATABASE &&
                    (!answers->from_replica[i] ||
                     strcmp(lease->versions[i], PRODUCT_CACHE_UNPUBLISHED) == 0);

        fresh[i] = keep ? answers->products[i] : NULL;
        fresh_count += keep;
    }
    if (product_cache_fill(loader->options.cache, fresh, answers->from_replica, count, lease,
                           clock_mono_us() + CACHE_WORK_MS * CLOCK_US_PER_MS,
                           &stored) == STATUS_OK) {
        metric_add(loader->fills_stored, stored);
        metric_add(loader->fills_older, fresh_count - stored);
    } else {
        metric_add(loader->fills_error, fresh_count);
    }
}

static enum result result_of(const struct answers *answers, size_t i)
{
    if (answers->products[i] == NULL) {
        return RESULT_ERROR;
    }
    if (answers->tiers[i] == LOAD_STALE) {
        return RESULT_STALE;
    }
    return answers->products[i]->state == PRODUCT_MISSING ? RESULT_MISS : RESULT_HIT;
}

/* Redis may be filled only by who took the lease before reading. */
static bool take_lease(struct loader *loader, struct flight *const *batch, size_t count,
                       struct product_cache_lease *lease)
{
    int64_t ids[BATCH_MAX];

    for (size_t i = 0; i < count; i++) {
        ids[i] = batch[i]->id;
    }
    return loader->options.cache != NULL &&
           product_cache_lease(loader->options.cache, ids, count,
                               clock_mono_us() + CACHE_WORK_MS * CLOCK_US_PER_MS,
                               lease) == STATUS_OK;
}

/* Redis is filled before anybody hears of the outcome, so that who has seen a version finds none
 * older there. */
static void load_from_database(struct loader *loader, struct flight **batch, size_t count)
{
    struct answers answers = {.products = {NULL}};
    struct product_cache_lease lease;
    bool has_lease = take_lease(loader, batch, count, &lease);
    enum status status;

    metric_observe(loader->database_batch, (double)count);
    status = ask_database(loader, batch, &answers, count);
    if (status == STATUS_OK) {
        status = STATUS_FAILED; /* of what has no answer all the same: it cannot be shown */
    }
    if (has_lease) {
        fill_redis(loader, &answers, count, &lease);
    }
    pthread_mutex_lock(&loader->lock);
    for (size_t i = 0; i < count; i++) {
        land(loader, batch[i]);
    }
    pthread_mutex_unlock(&loader->lock);
    for (size_t i = 0; i < count; i++) {
        metric_add(loader->database_results[result_of(&answers, i)], 1);
        arrive(batch[i], answers.products[i] == NULL ? status : STATUS_OK, answers.products[i],
               answers.tiers[i]);
        release_flight(batch[i]);
    }
}

/* --- workers ---------------------------------------------------------------------------------- */

static void work(struct loader *loader, struct queue *queue,
                 void (*load)(struct loader *loader, struct flight **batch, size_t count))
{
    struct flight *batch[BATCH_MAX];
    bool stopping = false;

    while (!stopping) {
        size_t count;

        pthread_mutex_lock(&loader->lock);
        while (queue->first == NULL && !loader->stopping) {
            pthread_cond_wait(&queue->filled, &loader->lock);
        }
        count = dequeue(loader, queue, batch);
        stopping = loader->stopping; /* then nobody waits, and the queue is empty now */
        pthread_mutex_unlock(&loader->lock);
        if (count > 0) {
            load(loader, batch, count);
        }
    }
}

static void *redis_worker(void *arg)
{
    struct loader *loader = arg;

    work(loader, &loader->redis_queue, ask_redis);
    return NULL;
}

static void *database_worker(void *arg)
{
    struct loader *loader = arg;

    work(loader, &loader->database_queue, load_from_database);
    return NULL;
}

static void update_gauges(void *arg)
{
    struct loader *loader = arg;

    pthread_mutex_lock(&loader->lock);
    metric_set(loader->waiting, (double)loader->flight_count);
    pthread_mutex_unlock(&loader->lock);
}

static void queue_init(struct queue *queue)
{
    queue->first = NULL;
    queue->last = &queue->first;
    pthread_cond_init(&queue->filled, NULL);
}

static void init_metrics(struct loader *loader)
{
    static const char *const results[] = {"hit", "miss", "error", "stale"};

    for (size_t i = 0; i < FS_ARRAY_LEN(results); i++) {
        loader->redis_results[i] =
            i == RESULT_STALE ? NULL : metric_get(&requests_counter, "redis", results[i]);
        loader->database_results[i] = metric_get(&requests_counter, "db", results[i]);
    }
    loader->fills_stored = metric_get(&fills_counter, "stored");
    loader->fills_older = metric_get(&fills_counter, "older");
    loader->fills_error = metric_get(&fills_counter, "error");
    loader->redis_batch = metric_get(&batch_histogram, "redis");
    loader->database_batch = metric_get(&batch_histogram, "db");
    loader->shared = metric_get(&shared_counter);
    loader->waiting = metric_get(&waiting_gauge);
    metrics_add_hook(update_gauges, loader);
}

struct loader *loader_create(const struct loader_options *options)
{
    struct loader *loader = fs_calloc(1, sizeof(*loader));
    int cache_workers = options->cache == NULL ? 0 : options->cache_workers;

    loader->options = *options;
    pthread_mutex_init(&loader->lock, NULL);
    queue_init(&loader->redis_queue);
    queue_init(&loader->database_queue);
    init_metrics(loader);
    loader->thread_count = cache_workers + options->database_workers;
    loader->threads = fs_calloc((size_t)loader->thread_count, sizeof(*loader->threads));
    for (int i = 0; i < loader->thread_count; i++) {
        loader->threads[i] =
            thread_start(i < cache_workers ? redis_worker : database_worker, loader);
    }
    return loader;
}

void loader_destroy(struct loader *loader)
{
    if (loader == NULL) {
        return;
    }
    pthread_mutex_lock(&loader->lock);
    loader->stopping = true;
    pthread_cond_broadcast(&loader->redis_queue.filled);
    pthread_cond_broadcast(&loader->database_queue.filled);
    pthread_mutex_unlock(&loader->lock);
    for (int i = 0; i < loader->thread_count; i++) {
        pthread_join(loader->threads[i], NULL);
    }
    metrics_remove_hook(update_gauges, loader);
    pthread_cond_destroy(&loader->redis_queue.filled);
    pthread_cond_destroy(&loader->database_queue.filled);
    pthread_mutex_destroy(&loader->lock);
    free(loader->threads);
    free(loader);
}

/* --- requests --------------------------------------------------------------------------------- */

static void take_outcome(struct load_item *item, struct flight *flight, int64_t deadline_us)
{
    product_unref(item->product);
    item->status = STATUS_TIMEOUT;
    item->product = NULL;
    if (wait_for(flight, deadline_us)) {
        item->status = flight->status;
        item->tier = flight->tier;
        item->product = flight->product == NULL ? NULL : product_ref(flight->product);
    }
}

/* Is what was found older than wanted, and a better answer possible? The primary's own is the best
 * there is. */
static bool is_too_old(const struct loader *loader, const struct load_item *item)
{
    bool from_primary = item->tier == LOAD_DATABASE && loader->options.replica == NULL;

    return item->product != NULL && item->product->version < item->min_version && !from_primary;
}

/* With `is_demanding` loads those items again that are too old. They have flights of their own, so
 * that nobody else waits for PostgreSQL, or is refused when that is away, because of what one
 * client wants. */
static void load_some(struct loader *loader, struct load_item *items, size_t count,
                      bool is_demanding, int64_t deadline_us)
{
    struct flight *flights[BATCH_MAX] = {NULL};

    pthread_mutex_lock(&loader->lock);
    for (size_t i = 0; i < count; i++) {
        if (is_demanding && !is_too_old(loader, &items[i])) {
            continue;
        }
        flights[i] = flight_to_join(loader, items[i].id, is_demanding);
        atomic_fetch_add_explicit(&flights[i]->references, 1, memory_order_relaxed);
        if (is_demanding && items[i].min_version > flights[i]->min_version) {
            flights[i]->min_version = items[i].min_version;
        }
    }
    pthread_mutex_unlock(&loader->lock);
    for (size_t i = 0; i < count; i++) {
        if (flights[i] != NULL) {
            take_outcome(&items[i], flights[i], deadline_us);
            release_flight(flights[i]);
        }
    }
}

static bool any_too_old(const struct loader *loader, const struct load_item *items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (is_too_old(loader, &items[i])) {
            return true;
        }
    }
    return false;
}

void loader_load(struct loader *loader, struct load_item *items, size_t count, int64_t deadline_us)
{
    for (size_t start = 0; start < count; start += BATCH_MAX) {
        size_t some = count - start < BATCH_MAX ? count - start : BATCH_MAX;

        for (size_t i = start; i < start + some; i++) {
            items[i].product = NULL;
        }
        load_some(loader, items + start, some, false, deadline_us);
        if (any_too_old(loader, items + start, some)) {
            load_some(loader, items + start, some, true, deadline_us);
        }
    }
}
