#include "read-svc/versions.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/metrics.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define SHARDS 64u     /* a power of two */
#define PLACES_MIN 64u /* of a table, when it gets its first version; a power of two */
#define AGE_MS 70000   /* of the younger table; a state stays in Redis for 66 s by default */

static struct metric_family versions_gauge =
    METRIC_GAUGE("faststock_versions", "Products whose newest version is known from the ledger.",
                 METRIC_NO_LABELS);

/* Open addressing with linear probing; an id of 0 is an empty place. Nothing is ever removed. */
struct table {
    struct product_version *places;
    size_t place_count; /* a power of two, or 0 */
    size_t count;
};

struct shard {
    pthread_mutex_t lock; /* guards the rest */
    struct table younger;
    struct table older;
};

struct versions {
    struct watermark *watermark;
    size_t count_max;
    struct metric *known;
    _Atomic size_t counts[2]; /* of the younger tables and of the older ones, together */
    struct shard shards[SHARDS];

    /* of the tail's thread alone */
    uint32_t timeline;
    int64_t younger_since_us; /* PostgreSQL's clock when the younger tables began */
    int64_t began_us;         /* the same on the monotonic clock */
};

enum { YOUNGER, OLDER };

static void update_gauge(void *arg)
{
    struct versions *versions = arg;

    metric_set(versions->known, (double)(atomic_load(&versions->counts[YOUNGER]) +
                                         atomic_load(&versions->counts[OLDER])));
}

struct versions *versions_create(struct watermark *watermark, size_t count_max)
{
    struct versions *versions = fs_calloc(1, sizeof(*versions));

    versions->watermark = watermark;
    versions->count_max = count_max;
    versions->known = metric_get(&versions_gauge);
    for (size_t i = 0; i < SHARDS; i++) {
        pthread_mutex_init(&versions->shards[i].lock, NULL);
    }
    metrics_add_hook(update_gauge, versions);
    return versions;
}

void versions_destroy(struct versions *versions)
{
    if (versions == NULL) {
        return;
    }
    metrics_remove_hook(update_gauge, versions);
    for (size_t i = 0; i < SHARDS; i++) {
        pthread_mutex_destroy(&versions->shards[i].lock);
        free(versions->shards[i].younger.places);
        free(versions->shards[i].older.places);
    }
    free(versions);
}

/* --- tables ----------------------------------------------------------------------------------- */

static uint64_t hash(int64_t id)
{
    return (uint64_t)id * UINT64_C(0x9E3779B97F4A7C15);
}

static struct shard *shard_of(struct versions *versions, int64_t id)
{
    return &versions->shards[(hash(id) >> 32) % SHARDS];
}

/* The place of the id, or the empty one where it would stand. */
static struct product_version *find_place(const struct table *table, int64_t id)
{
    size_t at = (hash(id) >> 40) & (table->place_count - 1);

    while (table->places[at].id != 0 && table->places[at].id != id) {
        at = (at + 1) & (table->place_count - 1);
    }
    return &table->places[at];
}

static int64_t version_in(const struct table *table, int64_t id)
{
    return table->place_count == 0 ? 0 : find_place(table, id)->version;
}

static void grow(struct table *table)
{
    struct table larger = {.place_count =
                               table->place_count == 0 ? PLACES_MIN : 2 * table->place_count,
                           .count = table->count};

    larger.places = fs_calloc(larger.place_count, sizeof(*larger.places));
    for (size_t i = 0; i < table->place_count; i++) {
        if (table->places[i].id != 0) {
            *find_place(&larger, table->places[i].id) = table->places[i];
        }
    }
    free(table->places);
    *table = larger;
}

/* True when the product is a new one. */
static bool note_in(struct table *table, struct product_version noted)
{
    struct product_version *place;
    bool is_new;

    if (table->count * 2 >= table->place_count) {
        grow(table);
    }
    place = find_place(table, noted.id);
    is_new = place->id == 0;
    place->id = noted.id;
    place->version = noted.version > place->version ? noted.version : place->version;
    table->count += is_new;
    return is_new;
}

/* --- of the tail's thread --------------------------------------------------------------------- */

/* The younger table takes the older one's place, or both are emptied. */
static void turn(struct versions *versions, bool keep_younger)
{
    for (size_t i = 0; i < SHARDS; i++) {
        struct shard *shard = &versions->shards[i];

        pthread_mutex_lock(&shard->lock);
        free(shard->older.places);
        if (keep_younger) {
            shard->older = shard->younger;
        } else {
            shard->older = (struct table){.count = 0};
            free(shard->younger.places);
        }
        shard->younger = (struct table){.count = 0};
        pthread_mutex_unlock(&shard->lock);
    }
    atomic_store(&versions->counts[OLDER],
                 keep_younger ? atomic_load(&versions->counts[YOUNGER]) : 0);
    atomic_store(&versions->counts[YOUNGER], 0);
}

void versions_begin(struct versions *versions, uint32_t timeline, int64_t since_us)
{
    turn(versions, false);
    versions->timeline = timeline;
    versions->younger_since_us = since_us;
    versions->began_us = clock_mono_us();
    watermark_begin(versions->watermark, timeline, since_us);
}

/* `since` is moved first: a reader that finds the older table gone then judges by the new one. */
static void turn_if_due(struct versions *versions, int64_t read_us)
{
    if (clock_mono_us() - versions->began_us < AGE_MS * CLOCK_US_PER_MS &&
        atomic_load(&versions->counts[YOUNGER]) < versions->count_max) {
        return;
    }
    watermark_begin(versions->watermark, versions->timeline, versions->younger_since_us);
    turn(versions, true);
    versions->younger_since_us = read_us;
    versions->began_us = clock_mono_us();
}

void versions_note(struct versions *versions, const struct product_version *noted, size_t count,
                   int64_t read_us)
{
    for (size_t i = 0; i < count; i++) {
        struct shard *shard = shard_of(versions, noted[i].id);

        pthread_mutex_lock(&shard->lock);
        if (note_in(&shard->younger, noted[i])) {
            atomic_fetch_add_explicit(&versions->counts[YOUNGER], 1, memory_order_relaxed);
        }
        pthread_mutex_unlock(&shard->lock);
    }
    turn_if_due(versions, read_us);
}

/* --- of readers ------------------------------------------------------------------------------- */

static bool is_newest(const struct shard *shard, const struct product *product)
{
    return product->version >= version_in(&shard->younger, product->id) &&
           product->version >= version_in(&shard->older, product->id);
}

/* The time is judged with the lock held, because the tables that it speaks of may be thrown away
 * otherwise. */
bool versions_vouch(struct versions *versions, const struct product *product)
{
    struct shard *shard = shard_of(versions, product->id);
    bool is_vouched;

    pthread_mutex_lock(&shard->lock);
    is_vouched = watermark_judges(versions->watermark, product->read) && is_newest(shard, product);
    pthread_mutex_unlock(&shard->lock);
    return is_vouched;
}

bool versions_know_newer(struct versions *versions, const struct product *product)
{
    struct shard *shard = shard_of(versions, product->id);
    bool is_known;

    pthread_mutex_lock(&shard->lock);
    is_known = !is_newest(shard, product);
    pthread_mutex_unlock(&shard->lock);
    return is_known;
}
