#include "common/base/gather.h"

#include "common/base/alloc.h"
#include "common/base/thread.h"

#include <assert.h>
#include <stdlib.h>

struct gather {
    struct gather_options options;
    pthread_t *threads;

    /* guarded by the owner's lock */
    struct gather_item *first;
    struct gather_item **last; /* where the next one goes */
    size_t waiting;
    int busy; /* workers with a batch, and guests */
    pthread_cond_t filled;
    bool is_stopping;
};

static void *run_worker(void *arg);

struct gather *gather_create(const struct gather_options *options)
{
    struct gather *gather = fs_calloc(1, sizeof(*gather));

    assert(options->workers > 0 && options->batch_max > 0);
    gather->options = *options;
    gather->last = &gather->first;
    pthread_cond_init(&gather->filled, NULL);
    gather->threads = fs_calloc((size_t)options->workers, sizeof(*gather->threads));
    for (int i = 0; i < options->workers; i++) {
        gather->threads[i] = thread_start(run_worker, gather);
    }
    return gather;
}

void gather_destroy(struct gather *gather)
{
    if (gather == NULL) {
        return;
    }
    pthread_mutex_lock(gather->options.lock);
    gather->is_stopping = true;
    pthread_cond_broadcast(&gather->filled);
    pthread_mutex_unlock(gather->options.lock);
    for (int i = 0; i < gather->options.workers; i++) {
        pthread_join(gather->threads[i], NULL);
    }
    assert(gather->first == NULL);
    pthread_cond_destroy(&gather->filled);
    free(gather->threads);
    free(gather);
}

/* --- the queue, with the lock held ------------------------------------------------------------ */

static struct gather_item *pop(struct gather *gather)
{
    struct gather_item *item = gather->first;

    assert(item != NULL && gather->waiting > 0);
    gather->first = item->next;
    if (gather->first == NULL) {
        gather->last = &gather->first;
    }
    gather->waiting--;
    item->next = NULL;
    item->is_waiting = false;
    return item;
}

static void push_front(struct gather *gather, struct gather_item *item)
{
    item->next = gather->first;
    item->is_waiting = true;
    if (gather->first == NULL) {
        gather->last = &item->next;
    }
    gather->first = item;
    gather->waiting++;
}

/* True when the owner has taken the item back. */
static bool drop(const struct gather *gather, struct gather_item *item)
{
    const struct gather_options *options = &gather->options;

    return options->drop != NULL && options->drop(options->context, item);
}

static size_t take_batch(struct gather *gather, struct gather_item **batch)
{
    size_t count = 0;

    while (gather->first != NULL && count < gather->options.batch_max) {
        struct gather_item *item = pop(gather);

        if (!drop(gather, item)) {
            batch[count++] = item;
        }
    }
    return count;
}

static bool is_full(const struct gather *gather)
{
    return gather->options.waiting_max > 0 && gather->waiting >= gather->options.waiting_max;
}

static void make_room(struct gather *gather)
{
    while (is_full(gather)) {
        /* out of the queue first, because `drop` may add an item to it */
        struct gather_item *item = pop(gather);

        if (!drop(gather, item)) {
            push_front(gather, item);
            return;
        }
    }
}

bool gather_add(struct gather *gather, struct gather_item *item)
{
    assert(!item->is_waiting);
    make_room(gather);
    if (is_full(gather)) {
        return false;
    }
    item->next = NULL;
    item->is_waiting = true;
    *gather->last = item;
    gather->last = &item->next;
    gather->waiting++;
    pthread_cond_signal(&gather->filled);
    return true;
}

bool gather_is_waiting(const struct gather_item *item)
{
    return item->is_waiting;
}

size_t gather_waiting(const struct gather *gather)
{
    return gather->waiting;
}

/* --- guests ----------------------------------------------------------------------------------- */

bool gather_enter(struct gather *gather)
{
    if (gather->first != NULL || gather->busy >= gather->options.workers) {
        return false;
    }
    gather->busy++;
    return true;
}

void gather_leave(struct gather *gather)
{
    assert(gather->busy > 0);
    gather->busy--;
    if (gather->first != NULL) {
        pthread_cond_signal(&gather->filled);
    }
}

/* --- workers ---------------------------------------------------------------------------------- */

static bool may_take(const struct gather *gather)
{
    return gather->first != NULL && gather->busy < gather->options.workers;
}

/* Waits for the next batch; false when there will be none. `was_busy`: with the one before. */
static bool next_batch(struct gather *gather, struct gather_item **batch, bool was_busy,
                       size_t *ret_count)
{
    bool is_there;

    pthread_mutex_lock(gather->options.lock);
    gather->busy -= was_busy ? 1 : 0;
    while (!may_take(gather) && !gather->is_stopping) {
        pthread_cond_wait(&gather->filled, gather->options.lock);
    }
    is_there = gather->first != NULL;
    gather->busy += is_there ? 1 : 0;
    *ret_count = take_batch(gather, batch);
    pthread_mutex_unlock(gather->options.lock);
    return is_there;
}

static void *run_worker(void *arg)
{
    struct gather *gather = arg;
    struct gather_item **batch = fs_calloc(gather->options.batch_max, sizeof(struct gather_item *));
    bool was_busy = false;
    size_t count;

    while (next_batch(gather, batch, was_busy, &count)) {
        was_busy = true;
        if (count > 0) { /* else all were dropped */
            gather->options.work(gather->options.context, batch, count);
        }
    }
    free(batch);
    return NULL;
}
