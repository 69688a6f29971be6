#include "read-svc/l1.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/epoch.h"
#include "common/base/metrics.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* The table: one bucket for so many bytes, so that chains are short even when small states (of
 * products that are missing) fill it. It takes 3 to 6 % of the room. */
#define BUCKET_BYTES 512u
#define BUCKETS_MIN 64u

#define SHARDS_MAX 64u
#define SHARD_BYTES_MIN ((size_t)1 << 20)

/* S3-FIFO, with the numbers of its paper. */
#define SMALL_SHARE 10    /* the small queue has this part of the room: 1/10 */
#define USES_MAX 3        /* a use count stops there */
#define USES_FOR_MAIN 2   /* an entry with so many goes from the small queue to the main one */
#define GHOST_WAYS 4u     /* places of a set; an id has one set */
#define MALLOC_HEADER 16u /* bytes that malloc needs beside each piece */

static struct metric_family bytes_gauge = METRIC_GAUGE(
    "faststock_l1_bytes", "Memory of the products kept in the process.", METRIC_NO_LABELS);
static struct metric_family entries_gauge =
    METRIC_GAUGE("faststock_l1_entries", "Products kept in the process.", METRIC_NO_LABELS);
static struct metric_family evictions_counter =
    METRIC_COUNTER("faststock_l1_evictions_total",
                   "Products that made room for others in the process.", METRIC_NO_LABELS);
static struct metric_family changes_counter =
    METRIC_COUNTER("faststock_l1_changes_total",
                   "States that were put into the process' memory, replaced a state there, were "
                   "dropped as older, or were refused.",
                   "result");
static struct metric_family drops_counter = METRIC_COUNTER(
    "faststock_l1_drops_total", "Times that all of it was dropped.", METRIC_NO_LABELS);

enum { BYTES, ENTRIES, EVICTIONS, PUT, REPLACED, DROPPED, REFUSED, DROPS, SERIES };

static const struct metric_row rows[SERIES] = {
    [BYTES] = {&bytes_gauge, {NULL}},
    [ENTRIES] = {&entries_gauge, {NULL}},
    [EVICTIONS] = {&evictions_counter, {NULL}},
    [PUT] = {&changes_counter, {"put"}},
    [REPLACED] = {&changes_counter, {"replaced"}},
    [DROPPED] = {&changes_counter, {"dropped"}},
    [REFUSED] = {&changes_counter, {"refused"}},
    [DROPS] = {&drops_counter, {NULL}},
};

/* The first members are what readers look at. They never change, but for `next` and `uses`. */
struct entry {
    struct entry *_Atomic next; /* in its bucket */
    int64_t id;
    struct product *product; /* a reference */
    struct {
        uint32_t len;
        uint32_t body_len;
    } answers[L1_ANSWERS];
    _Atomic uint8_t uses; /* not exact: readers that meet may count as one */

    /* guarded by the shard's lock */
    struct queue *queue;
    struct entry *newer; /* in the queue */
    struct entry *older; /* in the queue; of those that were taken out, the next one */
    size_t bytes;

    struct epoch_item retired;
    char text[]; /* the answers, one behind the other */
};

struct queue {
    struct entry *newest;
    struct entry *oldest;
    size_t bytes;
    size_t count;
};

/* Remembers the last ids that the small queue gave up, as many as there are entries. An id that
 * comes again goes into the main queue. It knows an id by half of its hash: once in a long while an
 * id goes into the main queue that need not. */
struct ghost {
    struct ghost_place {
        uint32_t print;
        uint32_t noted_at;
    } * places;
    size_t set_count;
    uint32_t now; /* counts the ids that were noted */
};

struct shard {
    pthread_mutex_t lock; /* guards the rest, and the chains of the shard's buckets */
    struct queue small;
    struct queue main;
    struct ghost ghost;
};

/* Readers look at the options, the hash and the buckets, which lie apart from what is written. */
struct l1 {
    struct l1_options options;
    uint64_t hash_factors[2]; /* odd and random: no client can make ids meet in one bucket */
    int hash_shift;
    struct entry *_Atomic *buckets;
    struct shard *shards;
    size_t shard_count;
    size_t shard_buckets;   /* of each shard */
    size_t shard_bytes_max; /* of the entries of each */
    size_t table_bytes;
    struct metric *series[SERIES];
};

static void update_gauges(void *arg);
static void drop_entries(struct l1 *l1);

/* --- create and destroy ----------------------------------------------------------------------- */

static void make_table(struct l1 *l1)
{
    size_t bytes_max = l1->options.bytes_max;
    size_t buckets = BUCKETS_MIN;

    l1->shard_count = 1;
    while (l1->shard_count < SHARDS_MAX && 2 * l1->shard_count * SHARD_BYTES_MIN <= bytes_max) {
        l1->shard_count *= 2;
    }
    l1->hash_shift = 64 - __builtin_ctz(BUCKETS_MIN);
    while (buckets * BUCKET_BYTES < bytes_max) {
        buckets *= 2;
        l1->hash_shift--;
    }
    l1->shard_buckets = buckets / l1->shard_count;
    l1->buckets = fs_calloc(buckets, sizeof(struct entry *));
    l1->table_bytes = buckets * (sizeof(struct entry *) + sizeof(struct ghost_place));
    if (bytes_max > l1->table_bytes) {
        l1->shard_bytes_max = (bytes_max - l1->table_bytes) / l1->shard_count;
    }
}

static void make_shards(struct l1 *l1)
{
    l1->shards = fs_calloc(l1->shard_count, sizeof(*l1->shards));
    for (size_t i = 0; i < l1->shard_count; i++) {
        struct shard *shard = &l1->shards[i];

        pthread_mutex_init(&shard->lock, NULL);
        shard->ghost.places = fs_calloc(l1->shard_buckets, sizeof(*shard->ghost.places));
        shard->ghost.set_count = l1->shard_buckets / GHOST_WAYS;
    }
}

static void choose_hash(struct l1 *l1)
{
    if (getrandom(l1->hash_factors, sizeof(l1->hash_factors), 0) !=
        (ssize_t)sizeof(l1->hash_factors)) {
        l1->hash_factors[0] = (uint64_t)clock_wall_us() * UINT64_C(0x9E3779B97F4A7C15);
        l1->hash_factors[1] = l1->hash_factors[0] * UINT64_C(0xBF58476D1CE4E5B9);
    }
    l1->hash_factors[0] |= 1;
    l1->hash_factors[1] |= 1;
}

struct l1 *l1_create(const struct l1_options *options)
{
    struct l1 *l1 = fs_calloc(1, sizeof(*l1));

    l1->options = *options;
    choose_hash(l1);
    make_table(l1);
    make_shards(l1);
    metric_get_rows(rows, SERIES, NULL, l1->series);
    metrics_add_hook(update_gauges, l1);
    return l1;
}

void l1_destroy(struct l1 *l1)
{
    if (l1 == NULL) {
        return;
    }
    metrics_remove_hook(update_gauges, l1);
    drop_entries(l1);
    epoch_drain();
    for (size_t i = 0; i < l1->shard_count; i++) {
        pthread_mutex_destroy(&l1->shards[i].lock);
        free(l1->shards[i].ghost.places);
    }
    free(l1->shards);
    free(l1->buckets);
    free(l1);
}

static void sum_up(struct l1 *l1, size_t *ret_bytes, size_t *ret_entries)
{
    *ret_bytes = l1->table_bytes;
    *ret_entries = 0;
    for (size_t i = 0; i < l1->shard_count; i++) {
        struct shard *shard = &l1->shards[i];

        pthread_mutex_lock(&shard->lock);
        *ret_bytes += shard->small.bytes + shard->main.bytes;
        *ret_entries += shard->small.count + shard->main.count;
        pthread_mutex_unlock(&shard->lock);
    }
}

static void update_gauges(void *arg)
{
    struct l1 *l1 = arg;
    size_t bytes;
    size_t entries;

    sum_up(l1, &bytes, &entries);
    metric_set(l1->series[BYTES], (double)bytes);
    metric_set(l1->series[ENTRIES], (double)entries);
}

bool l1_is_empty(struct l1 *l1)
{
    size_t bytes;
    size_t entries;

    sum_up(l1, &bytes, &entries);
    return entries == 0;
}

/* --- the table -------------------------------------------------------------------------------- */

/* Where an id belongs. */
struct place {
    uint64_t hash;
    size_t bucket;
    struct shard *shard;
};

/* Twice, because one factor may spread ids that follow each other unevenly. */
static uint64_t hash_of(const struct l1 *l1, int64_t id)
{
    uint64_t hash = (uint64_t)id * l1->hash_factors[0];

    return (hash ^ hash >> 32) * l1->hash_factors[1];
}

/* The highest bits, because they depend on all bits of the id. */
static size_t bucket_of(const struct l1 *l1, uint64_t hash)
{
    return hash >> l1->hash_shift;
}

static struct place place_of(struct l1 *l1, int64_t id)
{
    uint64_t hash = hash_of(l1, id);
    size_t bucket = bucket_of(l1, hash);

    return (struct place){
        .hash = hash, .bucket = bucket, .shard = &l1->shards[bucket / l1->shard_buckets]};
}

/* With the lock held: the pointer that points to the entry, or the last one of the chain, which is
 * NULL. */
static struct entry *_Atomic *find_link(struct l1 *l1, const struct place *place, int64_t id)
{
    struct entry *_Atomic *link = &l1->buckets[place->bucket];
    struct entry *entry;

    while ((entry = atomic_load_explicit(link, memory_order_relaxed)) != NULL && entry->id != id) {
        link = &entry->next;
    }
    return link;
}

static struct entry *at_link(struct entry *_Atomic *link)
{
    return atomic_load_explicit(link, memory_order_relaxed);
}

/* Readers see the whole entry, and one that is behind it in the chain. */
static void set_link(struct entry *_Atomic *link, struct entry *entry)
{
    atomic_store_explicit(link, entry, memory_order_release);
}

/* --- finding ---------------------------------------------------------------------------------- */

void l1_enter(struct l1 *l1)
{
    (void)l1;
    epoch_enter();
}

void l1_leave(struct l1 *l1)
{
    (void)l1;
    epoch_leave();
}

static void count_use(struct entry *entry)
{
    uint8_t uses = atomic_load_explicit(&entry->uses, memory_order_relaxed);

    if (uses < USES_MAX) {
        atomic_store_explicit(&entry->uses, uses + 1, memory_order_relaxed);
    }
}

static void show(const struct entry *entry, struct l1_found *ret_found)
{
    const char *text = entry->text;

    ret_found->product = entry->product;
    for (int i = 0; i < L1_ANSWERS; i++) {
        ret_found->answers[i].text = text;
        ret_found->answers[i].len = entry->answers[i].len;
        ret_found->answers[i].body_len = entry->answers[i].body_len;
        text += entry->answers[i].len;
    }
}

bool l1_find(struct l1 *l1, int64_t id, struct l1_found *ret_found)
{
    struct entry *entry =
        atomic_load_explicit(&l1->buckets[bucket_of(l1, hash_of(l1, id))], memory_order_acquire);

    while (entry != NULL && entry->id != id) {
        entry = atomic_load_explicit(&entry->next, memory_order_acquire);
    }
    if (entry == NULL) {
        return false;
    }
    count_use(entry);
    show(entry, ret_found);
    return true;
}

/* --- entries ---------------------------------------------------------------------------------- */

static struct entry *new_entry(const struct l1 *l1, struct product *product)
{
    struct strbuf text = STRBUF_EMPTY;
    size_t lens[L1_ANSWERS];
    size_t body_lens[L1_ANSWERS];
    struct entry *entry;

    for (int i = 0; i < L1_ANSWERS; i++) {
        size_t before = text.len;

        l1->options.render(&text, product, (enum l1_answer)i, &body_lens[i]);
        lens[i] = text.len - before;
    }
    entry = fs_calloc(1, sizeof(*entry) + text.len);
    atomic_init(&entry->next, NULL);
    atomic_init(&entry->uses, 0);
    entry->id = product->id;
    entry->product = product_ref(product);
    for (int i = 0; i < L1_ANSWERS; i++) {
        entry->answers[i].len = (uint32_t)lens[i];
        entry->answers[i].body_len = (uint32_t)body_lens[i];
    }
    memcpy(entry->text, strbuf_text(&text), text.len);
    entry->bytes = MALLOC_HEADER + sizeof(*entry) + text.len + MALLOC_HEADER + sizeof(*product) +
                   product->json_len + 1;
    strbuf_finish(&text);
    return entry;
}

static void free_entry(struct entry *entry)
{
    product_unref(entry->product);
    free(entry);
}

static void free_retired(struct epoch_item *item)
{
    free_entry(FS_CONTAINER_OF(item, struct entry, retired));
}

/* Without the lock, because this frees others too. */
static void retire_all(struct entry *taken_out)
{
    while (taken_out != NULL) {
        struct entry *next = taken_out->older;

        epoch_retire(&taken_out->retired, free_retired);
        taken_out = next;
    }
}

/* --- queues, with the lock held --------------------------------------------------------------- */

static void push(struct queue *queue, struct entry *entry)
{
    entry->queue = queue;
    entry->newer = NULL;
    entry->older = queue->newest;
    *(queue->newest == NULL ? &queue->oldest : &queue->newest->newer) = entry;
    queue->newest = entry;
    queue->bytes += entry->bytes;
    queue->count++;
}

static void take_out(struct entry *entry)
{
    struct queue *queue = entry->queue;

    *(entry->newer == NULL ? &queue->newest : &entry->newer->older) = entry->older;
    *(entry->older == NULL ? &queue->oldest : &entry->older->newer) = entry->newer;
    queue->bytes -= entry->bytes;
    queue->count--;
}

/* The new entry takes the old one's place. */
static void take_over(struct entry *entry, struct entry *old)
{
    struct queue *queue = old->queue;

    entry->queue = queue;
    entry->newer = old->newer;
    entry->older = old->older;
    *(entry->newer == NULL ? &queue->newest : &entry->newer->older) = entry;
    *(entry->older == NULL ? &queue->oldest : &entry->older->newer) = entry;
    queue->bytes += entry->bytes - old->bytes; /* modulo 2^64, so it may be less */
}

static struct ghost_place *ghost_set(const struct place *place)
{
    struct ghost *ghost = &place->shard->ghost;

    return &ghost->places[place->bucket % ghost->set_count * GHOST_WAYS];
}

static void ghost_note(const struct place *place)
{
    struct ghost_place *set = ghost_set(place);
    struct ghost *ghost = &place->shard->ghost;
    struct ghost_place *oldest = set;

    for (struct ghost_place *at = set; at < set + GHOST_WAYS; at++) {
        if (ghost->now - at->noted_at > ghost->now - oldest->noted_at) {
            oldest = at;
        }
    }
    *oldest = (struct ghost_place){.print = (uint32_t)place->hash, .noted_at = ++ghost->now};
}

/* Was the id noted lately? It is forgotten. */
static bool ghost_take(const struct place *place)
{
    struct ghost_place *set = ghost_set(place);
    struct ghost *ghost = &place->shard->ghost;
    size_t lately = place->shard->small.count + place->shard->main.count;

    for (struct ghost_place *at = set; at < set + GHOST_WAYS; at++) {
        if (at->noted_at != 0 && at->print == (uint32_t)place->hash &&
            ghost->now - at->noted_at < lately) {
            at->noted_at = 0;
            return true;
        }
    }
    return false;
}

/* --- taking entries out, with the lock held --------------------------------------------------- */

/* Of the chain and the queue. It is added to those to retire. */
static void drop(struct l1 *l1, const struct place *place, struct entry *entry,
                 struct entry **taken_out)
{
    struct entry *_Atomic *link = find_link(l1, place, entry->id);

    assert(at_link(link) == entry);
    set_link(link, at_link(&entry->next));
    take_out(entry);
    entry->older = *taken_out;
    *taken_out = entry;
}

static void evict(struct l1 *l1, struct entry *entry, bool is_noted, struct entry **taken_out)
{
    struct place place = place_of(l1, entry->id);

    if (is_noted) {
        ghost_note(&place);
    }
    drop(l1, &place, entry, taken_out);
    metric_add(l1->series[EVICTIONS], 1);
}

/* The oldest entry of the small queue goes into the main one if it was wanted again. */
static void relieve_small(struct l1 *l1, struct shard *shard, struct entry **taken_out)
{
    struct entry *entry = shard->small.oldest;

    if (atomic_load_explicit(&entry->uses, memory_order_relaxed) < USES_FOR_MAIN) {
        evict(l1, entry, true, taken_out);
        return;
    }
    atomic_store_explicit(&entry->uses, 0, memory_order_relaxed);
    take_out(entry);
    push(&shard->main, entry);
}

/* The oldest entry of the main queue comes to its end again if it was used, for one use less. */
static void relieve_main(struct l1 *l1, struct shard *shard, struct entry **taken_out)
{
    struct entry *entry = shard->main.oldest;
    uint8_t uses = atomic_load_explicit(&entry->uses, memory_order_relaxed);

    if (uses == 0) {
        evict(l1, entry, false, taken_out);
        return;
    }
    atomic_store_explicit(&entry->uses, uses - 1, memory_order_relaxed);
    take_out(entry);
    push(&shard->main, entry);
}

static void make_room(struct l1 *l1, struct shard *shard, struct entry **taken_out)
{
    while (shard->small.bytes + shard->main.bytes > l1->shard_bytes_max) {
        if (shard->small.bytes > l1->shard_bytes_max / SMALL_SHARE || shard->main.count == 0) {
            relieve_small(l1, shard, taken_out);
        } else {
            relieve_main(l1, shard, taken_out);
        }
    }
}

/* --- changing --------------------------------------------------------------------------------- */

/* Of an entry that is to come: is it to take the place of the old one, or of none (NULL)? */
typedef bool wants_fn(struct l1 *l1, const struct entry *old, const struct product *product);

static bool wants_put(struct l1 *l1, const struct entry *old, const struct product *product)
{
    return (old == NULL || old->product->version < product->version) &&
           versions_vouch(l1->options.versions, product);
}

static bool wants_replace(struct l1 *l1, const struct entry *old, const struct product *product)
{
    (void)l1;
    return old != NULL && old->product->version < product->version &&
           old->product->read.timeline == product->read.timeline;
}

static bool is_wanted(struct l1 *l1, const struct place *place, wants_fn *wants,
                      const struct product *product)
{
    bool is_it;

    pthread_mutex_lock(&place->shard->lock);
    is_it = wants(l1, at_link(find_link(l1, place, product->id)), product);
    pthread_mutex_unlock(&place->shard->lock);
    return is_it;
}

/* With the lock held. */
static void link_entry(struct l1 *l1, const struct place *place, struct entry *_Atomic *link,
                       struct entry *entry, struct entry **taken_out)
{
    struct entry *old = at_link(link);

    if (old == NULL) {
        push(ghost_take(place) ? &place->shard->main : &place->shard->small, entry);
    } else {
        atomic_store_explicit(&entry->uses, atomic_load_explicit(&old->uses, memory_order_relaxed),
                              memory_order_relaxed);
        atomic_store_explicit(&entry->next, at_link(&old->next), memory_order_relaxed);
        take_over(entry, old);
        old->older = *taken_out;
        *taken_out = old;
    }
    set_link(link, entry);
    make_room(l1, place->shard, taken_out);
}

/* Asks twice, because answers are rendered without the lock, and not in vain. */
static bool change(struct l1 *l1, struct product *product, wants_fn *wants)
{
    struct place place = place_of(l1, product->id);
    struct entry *taken_out = NULL;
    struct entry *_Atomic *link;
    struct entry *entry;
    bool is_in;

    if (!is_wanted(l1, &place, wants, product)) {
        return false;
    }
    entry = new_entry(l1, product);
    pthread_mutex_lock(&place.shard->lock);
    link = find_link(l1, &place, product->id);
    is_in = entry->bytes <= l1->shard_bytes_max / SMALL_SHARE && wants(l1, at_link(link), product);
    if (is_in) {
        link_entry(l1, &place, link, entry, &taken_out);
    }
    pthread_mutex_unlock(&place.shard->lock);
    retire_all(taken_out);
    if (!is_in) {
        free_entry(entry);
    }
    return is_in;
}

void l1_put(struct l1 *l1, struct product *product)
{
    if (l1->options.bytes_max > 0) {
        metric_add(l1->series[change(l1, product, wants_put) ? PUT : REFUSED], 1);
    }
}

bool l1_replace(struct l1 *l1, struct product *product)
{
    if (!change(l1, product, wants_replace)) {
        return false;
    }
    metric_add(l1->series[REPLACED], 1);
    return true;
}

bool l1_drop_older(struct l1 *l1, int64_t id, int64_t version)
{
    struct place place = place_of(l1, id);
    struct entry *taken_out = NULL;
    struct entry *entry;

    pthread_mutex_lock(&place.shard->lock);
    entry = at_link(find_link(l1, &place, id));
    if (entry != NULL && entry->product->version < version) {
        drop(l1, &place, entry, &taken_out);
    }
    pthread_mutex_unlock(&place.shard->lock);
    if (taken_out == NULL) {
        return false;
    }
    retire_all(taken_out);
    metric_add(l1->series[DROPPED], 1);
    return true;
}

/* With the lock held. */
static void drop_queue(struct l1 *l1, struct queue *queue, struct entry **taken_out)
{
    while (queue->oldest != NULL) {
        struct place place = place_of(l1, queue->oldest->id);

        drop(l1, &place, queue->oldest, taken_out);
    }
}

static void drop_entries(struct l1 *l1)
{
    for (size_t i = 0; i < l1->shard_count; i++) {
        struct shard *shard = &l1->shards[i];
        struct entry *taken_out = NULL;

        pthread_mutex_lock(&shard->lock);
        drop_queue(l1, &shard->small, &taken_out);
        drop_queue(l1, &shard->main, &taken_out);
        pthread_mutex_unlock(&shard->lock);
        retire_all(taken_out);
    }
}

void l1_drop_all(struct l1 *l1)
{
    drop_entries(l1);
    metric_add(l1->series[DROPS], 1);
}
