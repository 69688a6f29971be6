/* How the ledger is followed. A movement may become visible after one with a higher transaction id, so no number says
 * what has been read; a snapshot does: of the transactions that it did not see, some were under way, the others came
 * later. So who has read with one snapshot reads next what that one did not see, each movement once. */
#ifndef FASTSTOCK_COMMON_LEDGER_H
#define FASTSTOCK_COMMON_LEDGER_H

/* The condition on stock_movements; `snapshot` is a parameter, the text of a pg_snapshot. Both parts use an index on
 * xid. */
#define LEDGER_NOT_SEEN_BY(snapshot)                                                                                   \
    "(xid >= pg_snapshot_xmax(" snapshot "::pg_snapshot)"                                                              \
    " OR xid = ANY (ARRAY(SELECT pg_snapshot_xip(" snapshot "::pg_snapshot))))"

#endif
