#include "common/base/epoch.h"

#include "common/base/alloc.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#define SLOTS_OF_CHUNK 64u
#define LINES 128      /* bytes: processors fetch cache lines of 64 bytes in pairs */
#define NOT_LOOKING 0u /* so a new chunk is zeroed */
#define DRAIN_PAUSE_US 100

struct slot {
    _Alignas(LINES) _Atomic uint64_t epoch; /* of the thread that looks, or NOT_LOOKING */
    bool is_taken;                          /* guarded by slots_lock */
};

/* Chunks are never freed, so they can be read without a lock. */
struct chunk {
    struct slot slots[SLOTS_OF_CHUNK];
    struct chunk *_Atomic next;
};

static struct chunk first_chunk;
static _Atomic size_t slot_count = SLOTS_OF_CHUNK;
static pthread_mutex_t slots_lock = PTHREAD_MUTEX_INITIALIZER;

static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static pthread_key_t key; /* its destructor gives the slot of a thread back */
static _Thread_local struct slot *my_slot;

/* Changed only with queue_lock held. */
static _Atomic uint64_t now = NOT_LOOKING + 1;

static pthread_mutex_t queue_lock = PTHREAD_MUTEX_INITIALIZER;
static struct { /* guarded by queue_lock; the oldest item is the first */
    struct epoch_item *first;
    struct epoch_item *last;
    size_t count;
    size_t free_at; /* so many items, and the slots are read again */
} queue = {.free_at = SLOTS_OF_CHUNK};

/* Held while items are freed; taken before queue_lock. */
static pthread_mutex_t free_lock = PTHREAD_MUTEX_INITIALIZER;

/* --- slots ------------------------------------------------------------------------------------ */

static void give_slot_back(void *slot_of_thread)
{
    struct slot *slot = slot_of_thread;

    assert(atomic_load_explicit(&slot->epoch, memory_order_relaxed) == NOT_LOOKING);
    my_slot = NULL;
    pthread_mutex_lock(&slots_lock);
    slot->is_taken = false;
    pthread_mutex_unlock(&slots_lock);
}

static void create_key(void)
{
    if (pthread_key_create(&key, give_slot_back) != 0) {
        abort(); /* too many keys for this program */
    }
}

static struct chunk *add_chunk_after(struct chunk *last)
{
    struct chunk *chunk = fs_calloc_aligned(_Alignof(struct chunk), sizeof(*chunk));

    atomic_store(&last->next, chunk);
    atomic_fetch_add(&slot_count, SLOTS_OF_CHUNK);
    return chunk;
}

/* With slots_lock held. */
static struct slot *take_free_slot(void)
{
    for (struct chunk *chunk = &first_chunk;;) {
        struct chunk *next = atomic_load(&chunk->next);

        for (size_t i = 0; i < SLOTS_OF_CHUNK; i++) {
            if (!chunk->slots[i].is_taken) {
                chunk->slots[i].is_taken = true;
                return &chunk->slots[i];
            }
        }
        chunk = next != NULL ? next : add_chunk_after(chunk);
    }
}

static void take_slot(void)
{
    pthread_once(&key_once, create_key);
    pthread_mutex_lock(&slots_lock);
    my_slot = take_free_slot();
    pthread_mutex_unlock(&slots_lock);
    if (pthread_setspecific(key, my_slot) != 0) {
        abort(); /* as in alloc.h */
    }
}

/* --- readers ---------------------------------------------------------------------------------- */

void epoch_enter(void)
{
    uint64_t seen;

    if (my_slot == NULL) {
        take_slot();
    }
    assert(atomic_load_explicit(&my_slot->epoch, memory_order_relaxed) == NOT_LOOKING);
    do { /* hardly ever more than once */
        seen = atomic_load(&now);
        atomic_store(&my_slot->epoch, seen);
    } while (atomic_load(&now) != seen);
}

void epoch_leave(void)
{
    assert(my_slot != NULL &&
           atomic_load_explicit(&my_slot->epoch, memory_order_relaxed) != NOT_LOOKING);
    atomic_store_explicit(&my_slot->epoch, NOT_LOOKING, memory_order_release);
}

/* --- threads that change a structure ---------------------------------------------------------- */

/* The earliest epoch of the threads that look; UINT64_MAX when none does. */
static uint64_t earliest_seen(void)
{
    uint64_t earliest = UINT64_MAX;

    for (struct chunk *chunk = &first_chunk; chunk != NULL; chunk = atomic_load(&chunk->next)) {
        for (size_t i = 0; i < SLOTS_OF_CHUNK; i++) {
            uint64_t epoch = atomic_load(&chunk->slots[i].epoch);

            if (epoch != NOT_LOOKING && epoch < earliest) {
                earliest = epoch;
            }
        }
    }
    return earliest;
}

/* Takes the items of earlier epochs from the queue. */
static struct epoch_item *take_before(uint64_t epoch)
{
    struct epoch_item *taken;
    struct epoch_item **end = &taken;

    pthread_mutex_lock(&queue_lock);
    taken = queue.first;
    while (*end != NULL && (*end)->epoch < epoch) {
        end = &(*end)->next;
        queue.count--;
    }
    queue.first = *end;
    *end = NULL;
    queue.free_at = queue.count + atomic_load_explicit(&slot_count, memory_order_relaxed);
    pthread_mutex_unlock(&queue_lock);
    return taken;
}

/* With free_lock held. No item in the queue is of the epoch that this begins. */
static void free_unseen(void)
{
    struct epoch_item *item;
    uint64_t begun;
    uint64_t earliest;

    pthread_mutex_lock(&queue_lock);
    begun = atomic_fetch_add(&now, 1) + 1;
    pthread_mutex_unlock(&queue_lock);
    earliest = earliest_seen();
    item = take_before(earliest < begun ? earliest : begun);
    while (item != NULL) {
        struct epoch_item *next = item->next;

        item->free(item);
        item = next;
    }
}

void epoch_retire(struct epoch_item *item, void (*free)(struct epoch_item *item))
{
    bool is_due;

    item->next = NULL;
    item->free = free;
    pthread_mutex_lock(&queue_lock);
    item->epoch = atomic_load(&now);
    if (queue.first == NULL) {
        queue.first = item;
    } else {
        queue.last->next = item;
    }
    queue.last = item;
    queue.count++;
    is_due = queue.count >= queue.free_at;
    pthread_mutex_unlock(&queue_lock);
    if (is_due && pthread_mutex_trylock(&free_lock) == 0) {
        free_unseen();
        pthread_mutex_unlock(&free_lock);
    }
}

/* Is there still an item that was retired in this epoch or before? */
static bool waits_until(uint64_t epoch)
{
    bool waits;

    pthread_mutex_lock(&queue_lock);
    waits = queue.first != NULL && queue.first->epoch <= epoch;
    pthread_mutex_unlock(&queue_lock);
    return waits;
}

void epoch_drain(void)
{
    uint64_t epoch = atomic_load(&now);

    assert(my_slot == NULL ||
           atomic_load_explicit(&my_slot->epoch, memory_order_relaxed) == NOT_LOOKING);
    for (;;) {
        pthread_mutex_lock(&free_lock);
        free_unseen();
        pthread_mutex_unlock(&free_lock);
        if (!waits_until(epoch)) {
            return;
        }
        usleep(DRAIN_PAUSE_US);
    }
}

size_t epoch_waiting(void)
{
    size_t count;

    pthread_mutex_lock(&queue_lock);
    count = queue.count;
    pthread_mutex_unlock(&queue_lock);
    return count;
}
