/* L1: products in the memory of this process, with their answers ready to be sent.
 *
 * What is in it
 * -------------
 * An entry holds a state that `versions` vouched for when it was put (versions.h), and the tail
 * removes it as soon as it has read of a newer one (l1_drop_older), before it moves the watermark.
 * So an entry that is found after the watermark was read holds everything committed before that
 * watermark; docs/coherence.md has the argument. The change stream replaces entries by newer states
 * (l1_replace), so that a product that changes all the time stays a hit; nothing rests on that.
 *
 * Finding
 * -------
 * takes no lock and writes nothing that other threads read: chains of immutable entries, which are
 * freed when no thread can be looking at them any more (common/base/epoch.h). Only the first few
 * hits of an entry write its use count.
 *
 * Room
 * ----
 * Bounded in bytes. S3-FIFO decides which entry goes (Yang et al., SOSP 2023): a small queue holds
 * what was seen once, so that a scan of all products does not drive out those that are wanted
 * again. Putting and removing take the lock of one of many shards. */
#ifndef FASTSTOCK_READ_SVC_L1_H
#define FASTSTOCK_READ_SVC_L1_H

#include "read-svc/versions.h"

#include "common/base/strbuf.h"
#include "common/products/product.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The answers that an entry holds. */
enum l1_answer { L1_PRODUCT, L1_STOCK, L1_ANSWERS };

struct l1_options {
    size_t bytes_max; /* entries, their products and answers, and the table; 0: no entries */
    struct versions *versions; /* borrowed */
    /* Appends the answer of a product to `out`: of its head the lines that are always the same, an
     * empty line, the body. Nothing for a product that is not present. *ret_body_len is how much of
     * it is body. */
    void (*render)(struct strbuf *out, const struct product *product, enum l1_answer answer,
                   size_t *ret_body_len);
};

struct l1;

struct l1 *l1_create(const struct l1_options *options);
void l1_destroy(struct l1 *l1); /* NULL is fine; no other call may be under way */

/* --- finding ---------------------------------------------------------------------------------- */

/* An entry as it is found. Everything in it belongs to L1, and stays until l1_leave. */
struct l1_found {
    struct product *product; /* may be deleted or missing; product_ref keeps it for longer */
    struct {
        const char *text;
        size_t len;
        size_t body_len;
    } answers[L1_ANSWERS];
};

/* Between these two calls of one thread what it finds stays. Do not block in between, because
 * nothing is freed meanwhile. */
void l1_enter(struct l1 *l1);
void l1_leave(struct l1 *l1);

/* Read the watermark before. Counts nothing but the entry's use. */
bool l1_find(struct l1 *l1, int64_t id, struct l1_found *ret_found);

/* Is there no entry? */
bool l1_is_empty(struct l1 *l1);

/* --- changing; thread-safe -------------------------------------------------------------------- */

/* Keeps a state that was loaded, unless `versions` does not vouch for it or an entry that is no
 * older is there. Asks `versions` with the shard's lock held: so the tail, which first notes a
 * version there and then removes older entries here, cannot miss one. */
void l1_put(struct l1 *l1, struct product *product);

/* Puts a state in place of an older entry of the same timeline; nothing when there is none.
 * True: it did. */
bool l1_replace(struct l1 *l1, struct product *product);

/* Removes the entry if it is older than that. True: it did. */
bool l1_drop_older(struct l1 *l1, int64_t id, int64_t version);

/* Removes all entries. */
void l1_drop_all(struct l1 *l1);

#endif
