-- The order in which followers read the ledger (GET /api/changes).
--
-- They read it in the order of (xid, product_id, version), because there is an index for that, and
-- the versions of a product must come in their order. But a transaction gets its id with the first
-- row that it writes or locks. So one with a lower id may change a product after one with a higher
-- id did, and has the higher version: its movement is *late*. Followers read a late movement at the
-- place `order_xid`, the highest id among the product's versions up to it:
--
--     product 7    version 4 by 102    version 5 by 101    version 6 by 103
--     read at      102                 102                 103
--
-- A product's versions are made one after the other, under its lock. So whichever transaction makes
-- a version can see the one before, and tell whether its own is late.

SET LOCAL lock_timeout = '2s';

CREATE TABLE ledger_late (
  product_id bigint NOT NULL,
  version    bigint NOT NULL,
  xid        xid8   NOT NULL,
  order_xid  xid8   NOT NULL,
  PRIMARY KEY (product_id, version)
);
CREATE INDEX ledger_late_pages ON ledger_late (order_xid, product_id, version);
CREATE INDEX ledger_late_xid ON ledger_late (xid);

CREATE FUNCTION note_late_movements() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  -- Nearly always no transaction with a higher id has ended yet: then nothing is late.
  IF pg_snapshot_xmax(pg_current_snapshot()) <= pg_current_xact_id() THEN
    RETURN NULL;
  END IF;
  INSERT INTO ledger_late (product_id, version, xid, order_xid)
  SELECT m.product_id, m.version, m.xid, coalesce(late.order_xid, before.xid)
  FROM (SELECT made.*, min(made.version) OVER (PARTITION BY made.product_id) AS first_version
        FROM made WHERE made.version > 1) AS m
  JOIN stock_movements AS before
    ON before.product_id = m.product_id AND before.version = m.first_version - 1
  LEFT JOIN ledger_late AS late
    ON late.product_id = before.product_id AND late.version = before.version
  WHERE coalesce(late.order_xid, before.xid) > m.xid
  ON CONFLICT DO NOTHING;  -- data of a dump, which has these rows too
  RETURN NULL;
END $$;

-- Changes wait from here on until those that were there are looked through, about a second for a
-- million movements.
CREATE TRIGGER note_late AFTER INSERT ON stock_movements
  REFERENCING NEW TABLE AS made FOR EACH STATEMENT EXECUTE FUNCTION note_late_movements();

INSERT INTO ledger_late (product_id, version, xid, order_xid)
SELECT product_id, version, xid, order_xid
FROM (SELECT product_id, version, xid,
             max(xid) OVER (PARTITION BY product_id ORDER BY version) AS order_xid
      FROM stock_movements) AS m
WHERE order_xid > xid;

-- Up to where movements may have been removed: each of them is read at a place of this xid or a
-- lower one.
CREATE TABLE ledger_removal (
  only_row    boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  removed_xid xid8 NOT NULL DEFAULT '0'
);
INSERT INTO ledger_removal DEFAULT VALUES;
