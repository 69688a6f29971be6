#include "read-svc/id_list.h"

#include "common/base/alloc.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define CAPACITY_MIN 1024

void id_list_finish(struct id_list *list)
{
    free(list->ids);
    *list = ID_LIST_EMPTY;
}

/* The place of the first id that is not less than `id`. */
static size_t lower_bound(const struct id_list *list, int64_t id)
{
    size_t low = 0;
    size_t high = list->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (list->ids[middle] < id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* Lists are filled in order, so the end is looked at first. */
static size_t place_of(const struct id_list *list, int64_t id)
{
    bool is_behind_all = list->count == 0 || list->ids[list->count - 1] < id;

    return is_behind_all ? list->count : lower_bound(list, id);
}

static bool has_at(const struct id_list *list, size_t place, int64_t id)
{
    return place < list->count && list->ids[place] == id;
}

/* Are the ids around this place in order? */
static bool is_rising_at(const struct id_list *list, size_t place)
{
    return (place == 0 || place >= list->count || list->ids[place - 1] < list->ids[place]) &&
           (place + 1 >= list->count || list->ids[place] < list->ids[place + 1]);
}

void id_list_insert(struct id_list *list, int64_t id)
{
    size_t place = place_of(list, id);

    if (has_at(list, place, id)) {
        return;
    }
    if (list->count == list->capacity) {
        list->capacity = list->capacity > 0 ? list->capacity * 2 : CAPACITY_MIN;
        list->ids = fs_realloc(list->ids, list->capacity * sizeof(*list->ids));
    }
    memmove(list->ids + place + 1, list->ids + place, (list->count - place) * sizeof(*list->ids));
    list->ids[place] = id;
    list->count++;
    assert(is_rising_at(list, place));
}

void id_list_remove(struct id_list *list, int64_t id)
{
    size_t place = place_of(list, id);

    if (!has_at(list, place, id)) {
        return;
    }
    list->count--;
    memmove(list->ids + place, list->ids + place + 1, (list->count - place) * sizeof(*list->ids));
    assert(is_rising_at(list, place));
}

size_t id_list_after(const struct id_list *list, int64_t after)
{
    return after == INT64_MAX ? list->count : place_of(list, after + 1);
}

size_t id_list_slice(const struct id_list *list, size_t start, size_t limit, int64_t *ret_ids)
{
    size_t left = start < list->count ? list->count - start : 0;
    size_t count = left < limit ? left : limit;

    if (count > 0) {
        memcpy(ret_ids, list->ids + start, count * sizeof(*ret_ids));
    }
    return count;
}

/* --- merging ---------------------------------------------------------------------------------- */

/* The least id of `from` and `added` that was not taken yet; false at the end of both. Takes it
 * from both. */
static bool take_least(const struct id_list *from, size_t *place, struct id_span *added,
                       int64_t *ret_id)
{
    bool has_old = *place < from->count;
    bool is_new = added->count > 0 && (!has_old || added->ids[0] < from->ids[*place]);

    if (!has_old && !is_new) {
        return false;
    }
    *ret_id = is_new ? added->ids[0] : from->ids[*place];
    *place += !is_new;
    while (added->count > 0 && added->ids[0] == *ret_id) {
        added->ids++;
        added->count--;
    }
    return true;
}

/* Is it among the removed? Those before it are passed over: the ids come in order. */
static bool take_removed(struct id_span *removed, int64_t id)
{
    while (removed->count > 0 && removed->ids[0] < id) {
        removed->ids++;
        removed->count--;
    }
    return removed->count > 0 && removed->ids[0] == id;
}

void id_list_merge(const struct id_list *from, struct id_span added, struct id_span removed,
                   struct id_list *ret_merged)
{
    struct id_list merged = {.capacity = from->count + added.count};
    size_t place = 0;
    int64_t id;

    merged.ids = fs_calloc(merged.capacity, sizeof(*merged.ids));
    while (take_least(from, &place, &added, &id)) {
        if (!take_removed(&removed, id)) {
            assert(merged.count == 0 || merged.ids[merged.count - 1] < id);
            merged.ids[merged.count++] = id;
        }
    }
    *ret_merged = merged;
}
