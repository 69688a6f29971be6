/* The ledger as the API shows it: the movements of one product, and the feed of all. They come from
 * the primary, so a read after an acknowledged write sees it. One statement a page; where the feed
 * begins, one more. All functions are thread-safe. */
#ifndef FASTSTOCK_READ_SVC_MOVEMENTS_H
#define FASTSTOCK_READ_SVC_MOVEMENTS_H

#include "read-svc/feed_cursor.h"

#include "common/base/status.h"
#include "common/base/strbuf.h"
#include "common/stores/pg.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MOVEMENTS_PAGE_MAX 1000

/* Adds up to `limit` movements of a product with a version above `after`, with commas between them;
 * a deleted product still has its own. `ret_found`: there is or was such a product. `ret_next`: the
 * version of the last one, when others follow it; else 0. */
enum status movements_read_product(struct pg_store *database, int64_t product_id, int64_t after,
                                   size_t limit, int64_t deadline_us, struct strbuf *json,
                                   bool *ret_found, int64_t *ret_next);

/* Where the feed begins: at the oldest movement behind those that were removed; or now, behind all
 * that were acknowledged before. The caller finishes the cursor. */
enum status movements_begin(struct pg_store *database, bool is_now, int64_t deadline_us,
                            struct feed_cursor *ret_cursor);

/* A page of the feed. */
struct movements_page {
    /* The cursor is of another database, or of a state of this one that is lost, or movements that
     * it had not reached were removed. Nothing else is set then. */
    bool is_gone;
    bool is_last; /* every movement that was acknowledged before the request has been read */
    struct feed_cursor next; /* owned: feed_cursor_finish */
};

/* Adds up to `limit` movements behind the cursor, with commas between them. */
enum status movements_read_changes(struct pg_store *database, const struct feed_cursor *cursor,
                                   size_t limit, int64_t deadline_us, struct strbuf *json,
                                   struct movements_page *ret_page);

#endif
