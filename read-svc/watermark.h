/* The watermark: how much this reader knows, and since when. docs/coherence.md argues why an answer
 * that is judged by it is never older than it may be.
 *
 * The tail (tail.h) reads the ledger round by round, and after each round moves the watermark:
 * every change that was committed before it was compared with the caches of this process. Two more
 * numbers belong to it:
 *
 * - *since*: of every product that was changed after that moment, `versions` (versions.h) knows the
 *   newest version. A state that was read before cannot be judged.
 * - the *timeline* of PostgreSQL. After a failover commits may be lost, so a state of another
 *   timeline is of no use.
 *
 * All times are of PostgreSQL's clock, in microseconds since 1970, so that machines need not agree
 * on the time. The age of a state is judged by the monotonic clock of this process: each round
 * tells what PostgreSQL's clock showed after the question was sent, so it cannot show more now than
 * that plus the time since. Ages are upper bounds.
 *
 * One thread, the tail's, sets it. All functions are thread-safe, and none takes a lock. */
#ifndef FASTSTOCK_READ_SVC_WATERMARK_H
#define FASTSTOCK_READ_SVC_WATERMARK_H

#include "common/products/product.h"

#include <stdbool.h>
#include <stdint.h>

struct watermark;

struct watermark *watermark_create(void);
void watermark_destroy(struct watermark *watermark); /* NULL is fine */

/* --- of the tail ------------------------------------------------------------------------------ */

/* Knows nothing, until the next watermark_begin: to be called before the caches are emptied. */
void watermark_reset(struct watermark *watermark);

/* Knows everything of this timeline that was committed after `since_us`, a reading of the clock
 * that came after its snapshot. Also moves `since` on, when older versions were forgotten; then it
 * is called before they are. */
void watermark_begin(struct watermark *watermark, uint32_t timeline, int64_t since_us);

/* Every commit before `us`, read after the question was sent at `sent_us` (monotonic), has been
 * dealt with. */
void watermark_move(struct watermark *watermark, int64_t us, int64_t sent_us);

/* --- of readers ------------------------------------------------------------------------------- */

/* 0: none yet. To be read before the cache that it vouches for. */
int64_t watermark_get(const struct watermark *watermark);

/* Was the row read on the timeline that is followed, and so late that `versions` knows of every
 * change that may be missing in it? */
bool watermark_judges(const struct watermark *watermark, struct product_read read);

/* Was the row read on another timeline than the one that is followed, or at a moment that
 * PostgreSQL's clock has not reached (it was set back)? Then it claims nothing. False while none is
 * followed. */
bool watermark_refuses(const struct watermark *watermark, struct product_read read);

/* How old a state may be that holds everything committed before `as_of_us`; never negative. Without
 * any round yet, this machine's clock is taken for PostgreSQL's, which only says how stale a stale
 * answer is. */
int64_t watermark_age_us(const struct watermark *watermark, int64_t as_of_us, int64_t now_us);

#endif
