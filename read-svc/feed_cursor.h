/* A cursor of the feed (GET /api/changes): where in the ledger a client is. It holds all that a
 * page needs, so any read-svc can answer it, at any time.
 *
 * **The rule.** Transactions become visible out of order, so the feed goes by snapshots
 * (common/products/ledger.h): a client has read the movements that the snapshot `seen` sees. A page
 * reads those that a later snapshot, `until`, sees beside them. When they are more than a page
 * holds, the cursor keeps both snapshots and the place of the last movement (`after`); when the
 * span is read, the later snapshot becomes `seen`. So each movement is read exactly once.
 *
 * **The order** within a span is that of the place (order_xid, product_id, version), in which the
 * versions of a product have their order (sql/migrations/0013).
 *
 * **Ranges.** Which transactions belong to a span is told to PostgreSQL as ranges of ids, because
 * it then reads nothing else, however long a transaction stays open: one that `seen` found running
 * is a range of its own, and from the first one that `seen` knew nothing of on, the ranges lie
 * between those that `until` found running.
 *
 * **The text** is a version of the form, the server's identifier, and the snapshots, each as its
 * xmin and differences, so that a snapshot with many running transactions stays short:
 *
 *      1.SERVER.SEEN                     SEEN, UNTIL  XMIN-LENGTH[-RUNNING...]
 *      1.SERVER.SEEN.UNTIL.AFTER         AFTER        XID-PRODUCT-VERSION
 *
 * Pure functions. */
#ifndef FASTSTOCK_READ_SVC_FEED_CURSOR_H
#define FASTSTOCK_READ_SVC_FEED_CURSOR_H

#include "common/base/strbuf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* So that a cursor fits into a request. PostgreSQL has no more transactions at a time than it takes
 * connections. */
#define FEED_RUNNING_MAX 1000

/* A pg_snapshot: it sees the transactions below xmax that are not running. */
struct feed_snapshot {
    int64_t xmin; /* the lowest that is running; at least 1 */
    int64_t xmax;
    int64_t *running; /* owned; rising, from xmin on and below xmax */
    size_t running_count;
};

struct feed_place {
    int64_t order_xid;
    int64_t product_id;
    int64_t version;
};

struct feed_cursor {
    int64_t server; /* the identifier of the database system, whose transactions these are */
    struct feed_snapshot seen;
    bool is_inside; /* a span is being read; the rest is set */
    struct feed_snapshot until;
    struct feed_place after;
};

/* Transactions from `first` to `last`. */
struct feed_range {
    int64_t first;
    int64_t last;
};

/* A cursor at a snapshot; `ret_cursor` takes over what `seen` owns. */
void feed_cursor_init(struct feed_cursor *ret_cursor, int64_t server, struct feed_snapshot seen);
void feed_cursor_finish(struct feed_cursor *cursor);
void feed_snapshot_finish(struct feed_snapshot *snapshot);

/* Takes exactly the texts that feed_cursor_add makes, with up to FEED_RUNNING_MAX running
 * transactions in a snapshot. */
bool feed_cursor_parse(const char *text, size_t len, struct feed_cursor *ret_cursor);
void feed_cursor_add(struct strbuf *out, const struct feed_cursor *cursor);

/* PostgreSQL's text of a snapshot, "xmin:xmax:running,running"; false when it has more than
 * FEED_RUNNING_MAX running ones. */
bool feed_snapshot_parse(const char *text, struct feed_snapshot *ret_snapshot);

/* A snapshot that sees the transactions up to `xid`. */
struct feed_snapshot feed_snapshot_up_to(int64_t xid);

/* The transactions of the cursor's span; without one, those that its snapshot does not see. Returns
 * how many ranges there are; the caller frees them. */
size_t feed_cursor_ranges(const struct feed_cursor *cursor, struct feed_range **ret_ranges);

/* May movements have been removed that the client has not read, when those at places up to
 * `removed_xid` may have been? */
bool feed_cursor_lacks(const struct feed_cursor *cursor, int64_t removed_xid);

#endif
