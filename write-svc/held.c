#include "write-svc/held.h"

#include <string.h>

/* The place of a product, or `count`. */
static size_t find(const struct held *held, int64_t id)
{
    size_t i = 0;

    while (i < held->count && held->ids[i] != id) {
        i++;
    }
    return i;
}

static void remove_at(struct held *held, size_t place)
{
    held->count--;
    memmove(&held->ids[place], &held->ids[place + 1], (held->count - place) * sizeof(held->ids[0]));
}

bool held_has(const struct held *held, const struct write_command *command)
{
    if (held->count == 0) {
        return false;
    }
    for (size_t i = 0; i < command->item_count; i++) {
        if (find(held, command->items[i].product_id) < held->count) {
            return true;
        }
    }
    return false;
}

static void add(struct held *held, int64_t id)
{
    if (find(held, id) < held->count) {
        return;
    }
    if (held->count == HELD_MAX) {
        remove_at(held, 0);
    }
    held->ids[held->count++] = id;
}

void held_note(struct held *held, const struct write_command *command, bool is_held)
{
    if (!is_held && held->count == 0) {
        return;
    }
    for (size_t i = 0; i < command->item_count; i++) {
        size_t place = find(held, command->items[i].product_id);

        if (is_held) {
            add(held, command->items[i].product_id);
        } else if (place < held->count) {
            remove_at(held, place);
        }
    }
}
