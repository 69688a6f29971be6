/* How the ledger is followed. Transactions become visible out of order, so "the last transaction id
 * that was read" is no safe place to go on from: one with a lower id may become visible later. A
 * snapshot is safe, because it names exactly the transactions that it saw. Keep the snapshot of
 * each read, and let the next read ask for what that snapshot did not see. Each movement is then
 * read exactly once. */
#ifndef FASTSTOCK_COMMON_PRODUCTS_LEDGER_H
#define FASTSTOCK_COMMON_PRODUCTS_LEDGER_H

/* Conditions on stock_movements; a snapshot is a parameter, the text of a pg_snapshot. */

/* The first part is for an index on xid: a snapshot sees all transactions before its xmin. (The
 * exact set, "from xmax on, or in xip", makes PostgreSQL read the whole table after a large import,
 * because it expects any one transaction to have made all the movements.) */
#define LEDGER_NOT_SEEN_BY(snapshot)                                                               \
    "xid >= pg_snapshot_xmin(" snapshot "::pg_snapshot)"                                           \
    " AND NOT pg_visible_in_snapshot(xid, " snapshot "::pg_snapshot)"

/* What one snapshot does not see and a later one sees. */
#define LEDGER_BETWEEN(seen, until)                                                                \
    "NOT pg_visible_in_snapshot(xid, " seen "::pg_snapshot)"                                       \
    " AND pg_visible_in_snapshot(xid, " until "::pg_snapshot)"

/* A snapshot that sees every transaction. */
#define LEDGER_SEES_ALL "9223372036854775807:9223372036854775807:"

/* The order of the index stock_movements_pages, and what stands behind one movement in it. */
#define LEDGER_ORDER "xid, product_id, version"
#define LEDGER_BEHIND(xid, product_id, version)                                                    \
    "(" LEDGER_ORDER ") > (" xid "::xid8, " product_id "::bigint, " version "::bigint)"

#endif
