/* A gather: the items that arrive while its workers are busy are the next batch.
 *
 *      gather_add --> [ item, item, item ]  --a worker is free--> work(items, 3)
 *                       the queue: at most         takes all that wait, at most
 *                       waiting_max items          batch_max items
 *
 * No timer holds an item back. On an idle system an item is worked on at once and alone; under load
 * the batches grow by themselves, because more arrives while each batch is under way. So a fixed
 * number of connections serves any load, at one round trip a batch.
 *
 * With one worker the batches follow each other in the order of arrival; with more, batches
 * overlap.
 *
 * The queue is guarded by a lock of the owner's, because the owner has to decide under one lock
 * whether a request may still join an item and whether a worker has taken it
 * (gather_is_waiting).
 *
 * An item can be abandoned: all requests that waited for it have given up. It is not worked on,
 * because otherwise a store that was slow for a while would be kept busy afterwards with work that
 * no request wants. The owner's `drop` tells whether an item is abandoned, at the moment when the
 * item leaves the queue.
 *
 * A thread that finds nothing waiting and a worker idle may do the work of one item itself, as a
 * *guest* in that worker's place (gather_enter): on an idle system two changes of threads are a
 * good part of the time that an item takes.
 *
 * A full queue refuses items. Before it does, it drops abandoned items from its head, and only from
 * there, because the oldest items are at the head and the requests for them give up first.
 *
 * An item is a member of the owner's struct (FS_CONTAINER_OF finds that), so adding one allocates
 * nothing and cannot fail for want of memory. */
#ifndef FASTSTOCK_COMMON_BASE_GATHER_H
#define FASTSTOCK_COMMON_BASE_GATHER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

/* Embedded in what is gathered; in one gather at a time. */
struct gather_item {
    struct gather_item *next; /* private */
    bool is_waiting;          /* private */
};

struct gather_options {
    int workers;           /* threads */
    size_t batch_max;      /* items in one batch */
    size_t waiting_max;    /* items in the queue; 0: any number */
    void *context;         /* of the functions below */
    pthread_mutex_t *lock; /* the owner's; outlives the gather */

    /* Is this item abandoned? Then the owner takes it back (and may free it) and returns true. With
     * the lock held; it may add items. NULL: every item is worked on. */
    bool (*drop)(void *context, struct gather_item *item);
    /* Works on a batch, on a worker's thread, without the lock; count >= 1. The items belong to the
     * owner again. It may add items, to this gather too. */
    void (*work)(void *context, struct gather_item *const *items, size_t count);
};

struct gather;

/* Starts the workers. */
struct gather *gather_create(const struct gather_options *options);

/* Works off everything that waits, then ends the workers. Without the lock. No thread but the
 * workers may call gather_add meanwhile. NULL is fine. */
void gather_destroy(struct gather *gather);

/* Appends an item; false when the queue is full. With the lock held. */
bool gather_add(struct gather *gather, struct gather_item *item);

/* Takes the place of an idle worker, if nothing waits and there is one; false otherwise. Until
 * gather_leave the gather has a worker less, so with one worker nothing else is worked on. The
 * thread works on an item that it has not added. Both with the lock held. */
bool gather_enter(struct gather *gather);
void gather_leave(struct gather *gather);

/* Is it in the queue? Not any more once a worker has taken it. With the lock held. */
bool gather_is_waiting(const struct gather_item *item);

/* Items in the queue, without those that are being worked on. With the lock held. */
size_t gather_waiting(const struct gather *gather);

#endif
