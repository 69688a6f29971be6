/* A list of ids in rising order, each once, 8 bytes an id: the catalogue's (catalog.h).
 *
 * A change in place moves all ids behind it (8 MB for the first of a million), so it is for a few
 * changes at a time. Many changes are merged into a new list beside the old one, in one pass over
 * both:
 *
 *      from       2 4 6 8
 *      added        3 4 9      (4 is there already)
 *      removed      6 9        (what is added and removed stays removed)
 *      merged     2 3 4 8
 *
 * No lock: the owner guards the list. Ids are from 1 to INT64_MAX. */
#ifndef FASTSTOCK_READ_SVC_ID_LIST_H
#define FASTSTOCK_READ_SVC_ID_LIST_H

#include <stddef.h>
#include <stdint.h>

struct id_list {
    int64_t *ids;
    size_t count;
    size_t capacity;
};

#define ID_LIST_EMPTY ((struct id_list){.ids = NULL, .count = 0, .capacity = 0})

void id_list_finish(struct id_list *list); /* an empty list is fine; it is empty then */

/* Nothing happens when the id is there already. At the end of the list it moves nothing. */
void id_list_insert(struct id_list *list, int64_t id);

/* Nothing happens when the id is not there. */
void id_list_remove(struct id_list *list, int64_t id);

/* Where the ids that follow `after` begin: from 0 to list->count. */
size_t id_list_after(const struct id_list *list, int64_t after);

/* Copies up to `limit` ids from the place `start` on; returns how many. A place past the end is
 * fine. */
size_t id_list_slice(const struct id_list *list, size_t start, size_t limit, int64_t *ret_ids);

/* Sorted ids, which may repeat. */
struct id_span {
    const int64_t *ids;
    size_t count;
};

/* Sets `ret_merged` to a new list: `from` with the added ids, without the removed ones. */
void id_list_merge(const struct id_list *from, struct id_span added, struct id_span removed,
                   struct id_list *ret_merged);

#endif
