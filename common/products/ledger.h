/* How the ledger is followed. A movement may become visible after one with a higher transaction id,
 * so no number says what has been read; a snapshot does: of the transactions that it did not see,
 * some were under way, the others came later. So who has read with one snapshot reads next what
 * that one did not see, each movement once. */
#ifndef FASTSTOCK_COMMON_PRODUCTS_LEDGER_H
#define FASTSTOCK_COMMON_PRODUCTS_LEDGER_H

/* The condition on stock_movements; `snapshot` is a parameter, the text of a pg_snapshot. The first
 * part is for the index on xid: all before xmin were seen. (The exact set, "from xmax on, or in
 * xip", makes PostgreSQL read the whole table after a large import: it takes any one transaction to
 * have made all the movements.) */
#define LEDGER_NOT_SEEN_BY(snapshot)                                                               \
    "xid >= pg_snapshot_xmin(" snapshot                                                            \
    "::pg_snapshot) AND NOT pg_visible_in_snapshot(xid, " snapshot "::pg_"                         \
    "snapshot)"

#endif
