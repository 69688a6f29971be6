/* Held products: those that another transaction holds for long, as far as a lane has noticed. A
 * change of one of them is not waited for, because with it the whole batch would wait.
 *
 * A product is held from a command that met a held row until one that did not. A command of several
 * products does not tell which of them was held, so all of them count; the next command of each
 * sets that right. For one thread. */
#ifndef FASTSTOCK_WRITE_SVC_HELD_H
#define FASTSTOCK_WRITE_SVC_HELD_H

#include "write-svc/command.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* More are forgotten, the oldest first; a batch then waits for one of them again. */
#define HELD_MAX 32

/* All zero is the empty set. */
struct held {
    int64_t ids[HELD_MAX];
    size_t count;
};

/* Has the command a product that is held? */
bool held_has(const struct held *held, const struct write_command *command);

/* The command met a held row, or did not. */
void held_note(struct held *held, const struct write_command *command, bool is_held);

#endif
