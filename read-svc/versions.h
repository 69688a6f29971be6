/* The versions that the ledger showed lately: of every product that was changed since a certain
 * moment (`since`, watermark.h), the newest version that the tail has read.
 *
 * It is what L1, Redis and replicas are judged by. A state that was read after `since` holds
 * everything that was committed before the watermark, if no newer version of its product is known
 * here: a change that the state lacks would have been committed after its read, so after `since`,
 * and if it was committed before the watermark, the tail has noted it.
 *
 * Two tables: the older one is thrown away when the younger is 70 s old, or full. Then
 * the younger becomes the older, and `since` moves to where it began. So what is known reaches back
 * for 70 to 140 s, longer than a state stays in Redis, and memory is bounded.
 *
 *      known:   |---- older ----|-- younger --|
 *               since                         now
 *
 * Thread-safe; a lookup takes a lock that only few others want (of one of many shards). */
#ifndef FASTSTOCK_READ_SVC_VERSIONS_H
#define FASTSTOCK_READ_SVC_VERSIONS_H

#include "read-svc/watermark.h"

#include "common/products/cache.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct versions;

/* The watermark is borrowed; its `since` is moved on from here. `count_max` products a table. */
struct versions *versions_create(struct watermark *watermark, size_t count_max);
void versions_destroy(struct versions *versions); /* NULL is fine */

/* --- of the tail's thread --------------------------------------------------------------------- */

/* Forgets all, and begins anew: `since_us` as in watermark.h. */
void versions_begin(struct versions *versions, uint32_t timeline, int64_t since_us);

/* Notes the versions of a round, whose clock reading after its snapshot was `read_us`. */
void versions_note(struct versions *versions, const struct product_version *noted, size_t count,
                   int64_t read_us);

/* --- of readers ------------------------------------------------------------------------------- */

/* Does this state hold everything committed before the watermark that watermark_get gave earlier?
 * (Not one that it gives later: the tail may have read of a newer version in between.) */
bool versions_vouch(struct versions *versions, const struct product *product);

/* Is a newer version known? Then the state is not to be given at all while PostgreSQL answers, even
 * if it is young enough. */
bool versions_know_newer(struct versions *versions, const struct product *product);

#endif
