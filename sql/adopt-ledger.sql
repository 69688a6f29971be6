-- A dump that is restored on another server brings movements with it whose transactions that server
-- has yet to run. No snapshot sees them, so the relay and the catalogues would read them again in
-- each round. Here they become movements of the transaction that takes them over, which each of
-- them reads once. For sql/migrate, in a transaction.
ALTER TABLE stock_movements DISABLE TRIGGER append_only;
UPDATE stock_movements SET xid = pg_current_xact_id()
WHERE xid >= pg_snapshot_xmax(pg_current_snapshot());
ALTER TABLE stock_movements ENABLE TRIGGER append_only;

-- Late movements follow (0013), and are late no more where both are of this transaction now.
-- Clients of the feed begin anew, because their cursors name the other server; so what they may
-- lack need not be remembered.
UPDATE ledger_late
SET xid = least(xid, pg_current_xact_id()), order_xid = least(order_xid, pg_current_xact_id())
WHERE order_xid >= pg_snapshot_xmax(pg_current_snapshot());
DELETE FROM ledger_late WHERE order_xid = xid;
UPDATE ledger_removal SET removed_xid = '0';
