/* Reclamation for readers that take no lock: when may an object be freed that was taken out of a
 * structure, while other threads may still be looking at it?
 *
 * A reader says when it begins to look and when it is done. A thread that takes an object out
 * *retires* it: the object is freed once every reader that was looking then is done.
 *
 *      reader                               a thread that changes the structure
 *      epoch_enter()                        lock, take the object out, unlock
 *      follow pointers, look at objects     epoch_retire(&object->retired, free_object)
 *      epoch_leave()
 *
 * How
 * ---
 * There is one number, the epoch, and for each thread a slot on cache lines of its own. A reader
 * that enters writes the epoch into its slot, and 0 when it leaves; nothing else is written by
 * readers, so they do not slow each other down. Objects are retired with the epoch of that moment.
 * Now and then, under the same lock, the epoch is moved on by one, and the slots are read: an
 * object is freed when each slot holds 0 or a later epoch than the object's.
 *
 * That is right because
 * - a reader with a later epoch read the epoch after it had been moved on, which came after the
 *   object was taken out. So it cannot find the object any more.
 * - a reader whose slot was read as 0 although it was entering reads the epoch again after it wrote
 *   its slot. All four accesses are sequentially consistent, so it then sees that the epoch was
 *   moved on, and the same holds.
 * - a reader whose slot is read as 0, or as a later epoch, because it left has done its looking
 *   before the object is freed: it writes the slot with release order.
 *
 * Only C11 atomics and locks are used, no fences, so ThreadSanitizer understands it.
 *
 * Room
 * ----
 * Slots are read once for as many objects as there are slots, and at least once for 64. So some
 * hundreds of retired objects wait, and more while a reader does not leave: readers must not block.
 * There are as many slots as there were threads at once that looked; a thread's slot is given back
 * when the thread ends. */
#ifndef FASTSTOCK_COMMON_BASE_EPOCH_H
#define FASTSTOCK_COMMON_BASE_EPOCH_H

#include <stddef.h>
#include <stdint.h>

/* Embedded in each object that is retired. */
struct epoch_item {
    /* private */
    struct epoch_item *next;
    void (*free)(struct epoch_item *item);
    uint64_t epoch;
};

/* --- readers ---------------------------------------------------------------------------------- */

/* What the thread finds from now on is not freed before epoch_leave. Not to be called twice without
 * epoch_leave in between. */
void epoch_enter(void);
void epoch_leave(void);

/* --- threads that change a structure ---------------------------------------------------------- */

/* Calls `free(item)` when no thread can be looking at the object, which was taken out before. This
 * call may free other objects, so a lock that their functions want must not be held. */
void epoch_retire(struct epoch_item *item, void (*free)(struct epoch_item *item));

/* Waits until all that was retired before is freed; not to be called between epoch_enter and
 * epoch_leave. An owner of objects calls it before it goes away. */
void epoch_drain(void);

/* How many objects were retired and are not freed yet. */
size_t epoch_waiting(void);

#endif
