/* The WAL mark: a position in the primary's WAL, and a moment of this machine's monotonic clock. It
 * says: every transaction that was committed before that moment is in the WAL before that position.
 *
 *      commits:    a    b        c     d
 *      clock:   -----------|--------------->     the mark is asked for here
 *      WAL:     a    b     |    c     d          and its position is behind b
 *
 * A replica that has replayed the WAL up to a mark is at most as old as the mark, so the rows of a
 * replica can be judged by it (tier_database.h).
 *
 * A thread asks the primary four times a second. The moment is taken before the question is sent,
 * because a commit may come between the question and its answer. All functions are thread-safe. */
#ifndef FASTSTOCK_READ_SVC_WAL_MARK_H
#define FASTSTOCK_READ_SVC_WAL_MARK_H

#include "common/stores/pg.h"

#include <stdbool.h>
#include <stdint.h>

#define WAL_MARK_LSN_SIZE 24 /* "FFFFFFFF/FFFFFFFF" and NUL */

struct wal_mark;

/* Starts the thread. `primary` is borrowed. */
struct wal_mark *wal_mark_create(struct pg_store *primary);
void wal_mark_destroy(struct wal_mark *mark); /* NULL is fine */

/* The position of the latest mark, if that is at most `age_ms_max` old. */
bool wal_mark_get(struct wal_mark *mark, int64_t age_ms_max, char ret_lsn[WAL_MARK_LSN_SIZE]);

#endif
