-- Old movements may be removed (ledger.retention_days of write-svc; off by default).
--
-- The last movement of a product always stays, because it tells the product's state. Of those that
-- went, ledger_floors keeps what the first one that stayed follows: sql/check-ledger goes on from
-- there. ledger_removal keeps up to where a follower of the ledger may lack movements (0013).

SET LOCAL lock_timeout = '2s';

CREATE TABLE ledger_floors (
  product_id     bigint      PRIMARY KEY,
  version        bigint      NOT NULL,  -- of the last movement that was removed
  stock_after    bigint      NOT NULL,
  reserved_after bigint      NOT NULL,
  created_at     timestamptz NOT NULL   -- of that movement
);

-- Up to where remove_movements has looked, in the order of the index stock_movements_pages.
ALTER TABLE ledger_removal
  ADD COLUMN xid        xid8   NOT NULL DEFAULT '0',
  ADD COLUMN product_id bigint NOT NULL DEFAULT 0,
  ADD COLUMN version    bigint NOT NULL DEFAULT 0;

-- The ledger stays append-only: a movement goes only when a floor says so.
DROP TRIGGER append_only ON stock_movements;
CREATE TRIGGER append_only BEFORE UPDATE OR TRUNCATE ON stock_movements
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_statement('the ledger is append-only');

CREATE FUNCTION refuse_removal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM removed AS r LEFT JOIN ledger_floors AS f ON f.product_id = r.product_id
             WHERE f.product_id IS NULL OR r.version > f.version) THEN
    RAISE EXCEPTION 'DELETE on stock_movements is not allowed: the ledger is append-only'
      USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER append_only_but_floors AFTER DELETE ON stock_movements
  REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION refuse_removal();

-- One step: removes up to `most` movements that are older than `age`, but for the last one of each
-- product. No row: another caller is at work. `is_more`: another step may find some at once.
--
-- It looks through the ledger in the order of transactions, from where the step before ended, and
-- stops at the first movement that is not old, and before the first transaction that is under way,
-- because movements may still come behind that. A product's movements go with the one that it comes
-- across and all before it; so one that stayed because it was the last goes with a later one.
CREATE FUNCTION remove_movements(age interval, most int)
RETURNS TABLE (removed bigint, is_more boolean) LANGUAGE plpgsql AS $$
DECLARE
  looked ledger_removal;
  page   record;  -- old movements
  going  record;  -- those that are removed
BEGIN
  IF NOT pg_try_advisory_xact_lock(hashtext('faststock.retention')) THEN
    RETURN;
  END IF;
  SELECT * INTO looked FROM ledger_removal;

  SELECT count(*) AS n, array_agg(p.xid ORDER BY p.ord) AS xids,
         array_agg(p.product_id ORDER BY p.ord) AS products,
         array_agg(p.version ORDER BY p.ord) AS versions
  INTO page
  FROM (SELECT m.*, row_number() OVER place AS ord,
               bool_and(m.created_at < clock_timestamp() - age) OVER place AS is_old
        FROM (SELECT s.xid, s.product_id, s.version, s.created_at FROM stock_movements AS s
              WHERE (s.xid, s.product_id, s.version)
                    > (looked.xid, looked.product_id, looked.version)
                AND s.xid < pg_snapshot_xmin(pg_current_snapshot())
              ORDER BY s.xid, s.product_id, s.version LIMIT most) AS m
        WINDOW place AS (ORDER BY m.xid, m.product_id, m.version)) AS p
  WHERE p.is_old;
  IF page.n = 0 THEN
    RETURN QUERY SELECT 0::bigint, false;
    RETURN;
  END IF;

  -- the movements that go, by product from the oldest on; cut off at `most`, the next step goes on
  SELECT count(*) AS n, array_agg(g.product_id) AS products, array_agg(g.version) AS versions,
         max(g.order_xid) AS order_xid
  INTO going
  FROM (SELECT m.product_id, m.version, coalesce(l.order_xid, m.xid) AS order_xid
        FROM (SELECT u.product_id, max(u.version) AS version
              FROM unnest(page.products, page.versions) AS u (product_id, version)
              GROUP BY u.product_id) AS old
        CROSS JOIN LATERAL (SELECT max(s.version) AS version FROM stock_movements AS s
                            WHERE s.product_id = old.product_id) AS last
        CROSS JOIN LATERAL (SELECT s.product_id, s.version, s.xid FROM stock_movements AS s
                            WHERE s.product_id = old.product_id
                              AND s.version <= least(old.version, last.version - 1)
                            ORDER BY s.version LIMIT most) AS m
        LEFT JOIN ledger_late AS l ON l.product_id = m.product_id AND l.version = m.version
        ORDER BY m.product_id, m.version LIMIT most) AS g;

  IF going.n > 0 THEN
    INSERT INTO ledger_floors AS f (product_id, version, stock_after, reserved_after, created_at)
    SELECT g.product_id, g.version, s.stock_after, g.reserved, s.created_at
    FROM (SELECT s.product_id, max(s.version) AS version,
                 sum(coalesce(s.reserved_delta, 0)) AS reserved
          FROM unnest(going.products, going.versions) AS u (product_id, version)
          JOIN stock_movements AS s ON s.product_id = u.product_id AND s.version = u.version
          GROUP BY s.product_id) AS g
    JOIN stock_movements AS s ON s.product_id = g.product_id AND s.version = g.version
    ON CONFLICT (product_id) DO UPDATE
    SET version = excluded.version, stock_after = excluded.stock_after,
        reserved_after = f.reserved_after + excluded.reserved_after,
        created_at = excluded.created_at;

    DELETE FROM ledger_late AS l
    USING unnest(going.products, going.versions) AS u (product_id, version)
    WHERE l.product_id = u.product_id AND l.version = u.version;
    DELETE FROM stock_movements AS s
    USING unnest(going.products, going.versions) AS u (product_id, version)
    WHERE s.product_id = u.product_id AND s.version = u.version;
  END IF;

  UPDATE ledger_removal AS r
  SET removed_xid = greatest(r.removed_xid, going.order_xid),
      xid = CASE WHEN going.n < most THEN page.xids[page.n] ELSE r.xid END,
      product_id = CASE WHEN going.n < most THEN page.products[page.n] ELSE r.product_id END,
      version = CASE WHEN going.n < most THEN page.versions[page.n] ELSE r.version END;
  RETURN QUERY SELECT going.n, going.n = most OR page.n = most;
END $$;
