-- The invariants between products, orders, reservations and the ledger. They are looked at in one
-- snapshot, so the answer is right while changes go on, too.
\pset footer off
BEGIN ISOLATION LEVEL REPEATABLE READ;

CREATE TEMP TABLE offence ON COMMIT DROP AS
WITH step AS (  -- each movement with what the one before left
  SELECT product_id, version, delta, stock_after, kind,
         coalesce(reserved_delta, 0) AS reserved_delta,
         coalesce(reserved_before, 0) + sum(coalesce(reserved_delta, 0)) OVER history
           AS reserved_after,
         lag(version, 1, coalesce(removed_version, 0)) OVER history AS version_before,
         lag(stock_after, 1, coalesce(removed_stock, 0)) OVER history AS stock_before,
         lead(version) OVER history IS NULL AS is_last
  FROM stock_movements
  LEFT JOIN (SELECT product_id, version AS removed_version, stock_after AS removed_stock,
                    reserved_after AS reserved_before
             FROM ledger_floors) AS floor USING (product_id)  -- what the first one here follows
  WINDOW history AS (PARTITION BY product_id ORDER BY version)
), last AS (
  SELECT * FROM step WHERE is_last
), held AS (
  SELECT i.product_id, sum(i.qty) AS units
  FROM reservations AS r JOIN reservation_items AS i ON i.reservation_id = r.id
  WHERE r.status = 'HELD' GROUP BY i.product_id
), due AS (  -- the movements that orders and reservations must have, and since when
  SELECT 'order' AS owner, o.id, i.product_id, i.qty, o.created_at AS at,
         CASE WHEN o.reservation_id IS NULL THEN 'order' ELSE 'confirm' END AS kind
  FROM orders AS o JOIN order_items AS i ON i.order_id = o.id
  UNION ALL
  SELECT 'order', o.id, i.product_id, i.qty, o.cancelled_at, 'cancel'
  FROM orders AS o JOIN order_items AS i ON i.order_id = o.id WHERE o.status = 'CANCELLED'
  UNION ALL
  SELECT 'reservation', r.id, i.product_id, i.qty, r.created_at, 'reserve'
  FROM reservations AS r JOIN reservation_items AS i ON i.reservation_id = r.id
  UNION ALL
  SELECT 'reservation', r.id, i.product_id, i.qty, r.ended_at,
         CASE r.status WHEN 'CONFIRMED' THEN 'confirm' WHEN 'RELEASED' THEN 'release'
                       ELSE 'expire' END
  FROM reservations AS r JOIN reservation_items AS i ON i.reservation_id = r.id
  WHERE r.status <> 'HELD'
), made AS (  -- those that they have
  SELECT 'order' AS owner, order_id AS id, product_id, kind, count(*) AS movements,
         sum(CASE kind WHEN 'confirm' THEN -reserved_delta WHEN 'cancel' THEN delta
                       ELSE -delta END) AS units
  FROM stock_movements WHERE order_id IS NOT NULL GROUP BY order_id, product_id, kind
  UNION ALL
  SELECT 'reservation', reservation_id, product_id, kind, count(*),
         sum(CASE kind WHEN 'reserve' THEN reserved_delta ELSE -reserved_delta END)
  FROM stock_movements WHERE reservation_id IS NOT NULL
  GROUP BY reservation_id, product_id, kind
)
SELECT product_id, version, 'version does not follow ' || version_before AS what FROM step
 WHERE version <> version_before + 1
UNION ALL
SELECT product_id, version,
       format('stock_after is %s, but %s with delta %s makes %s',
              stock_after, stock_before, delta, stock_before::numeric + delta)
  FROM step WHERE stock_after <> stock_before::numeric + delta
UNION ALL
SELECT product_id, version, 'stock_after is below 0' FROM step WHERE stock_after < 0
UNION ALL
SELECT product_id, version, format('kind is %s: created belongs to version 1 and only there', kind)
  FROM step WHERE (kind = 'created') <> (version = 1)
UNION ALL
SELECT product_id, version, 'moved after it was deleted' FROM step
 WHERE kind = 'deleted' AND NOT is_last
UNION ALL
SELECT product_id, version, 'delta is not 0 for a movement of kind ' || kind FROM step
 WHERE kind IN ('edited', 'deleted') AND delta <> 0
UNION ALL
SELECT product_id, version,
       format('delta %s and reserved_delta %s do not belong to kind %s', delta, reserved_delta,
              kind)
  FROM step
 WHERE NOT CASE WHEN kind = 'order' THEN delta < 0 AND reserved_delta = 0
                WHEN kind = 'cancel' THEN delta > 0 AND reserved_delta = 0
                WHEN kind = 'reserve' THEN delta < 0 AND reserved_delta = -delta
                WHEN kind = 'confirm' THEN delta = 0 AND reserved_delta < 0
                WHEN kind IN ('release', 'expire') THEN delta > 0 AND reserved_delta = -delta
                ELSE reserved_delta = 0 END
UNION ALL
SELECT product_id, version, format('%s units are reserved after it', reserved_after) FROM step
 WHERE reserved_after < 0
UNION ALL
SELECT p.id, p.version,
       format('reserved is %s, the ledger says %s, the reservations that are held have %s',
              p.reserved, coalesce(l.reserved_after, 0), coalesce(h.units, 0))
  FROM products p LEFT JOIN last l ON l.product_id = p.id LEFT JOIN held h ON h.product_id = p.id
 WHERE p.reserved <> coalesce(l.reserved_after, 0) OR p.reserved <> coalesce(h.units, 0)
UNION ALL
SELECT product_id, NULL,
       format('%s %s, kind %s: %s units are due, the ledger has %s in %s movements', owner, id,
              kind, coalesce(d.qty, 0), coalesce(m.units, 0), coalesce(m.movements, 0))
  FROM due d FULL JOIN made m USING (owner, id, product_id, kind)
 WHERE (d.qty IS NULL OR m.movements IS NULL OR m.movements <> 1 OR m.units <> d.qty)
       -- a product that was deleted takes nothing back from an order
   AND NOT (m.movements IS NULL AND kind = 'cancel'
            AND product_id IN (SELECT p.id FROM products AS p WHERE p.deleted_at IS NOT NULL))
       -- one that old was removed
   AND NOT (m.movements IS NULL AND EXISTS (SELECT FROM ledger_floors AS f
            WHERE f.product_id = d.product_id AND d.at <= f.created_at))
UNION ALL
SELECT i.product_id, NULL, format('reservation %s is %s, but its order is not there or another''s',
                                  r.id, r.status)
  FROM reservations AS r JOIN reservation_items AS i ON i.reservation_id = r.id
  LEFT JOIN orders AS o ON o.id = r.order_id
 WHERE r.status = 'CONFIRMED' AND o.reservation_id IS DISTINCT FROM r.id
UNION ALL
SELECT id, version, 'created_at, updated_at or deleted_at is not between the years 1 and 9999'
  FROM products
 WHERE NOT (created_at >= '0001-01-01Z' AND created_at < '10000-01-01Z')
    OR NOT (updated_at >= '0001-01-01Z' AND updated_at < '10000-01-01Z')
    OR NOT (deleted_at >= '0001-01-01Z' AND deleted_at < '10000-01-01Z')
UNION ALL
SELECT coalesce(p.id, l.product_id), coalesce(p.version, l.version),
       CASE WHEN l.product_id IS NULL THEN 'product without movements'
            WHEN p.id IS NULL THEN 'movements without a product'
            WHEN l.version <> p.version THEN 'the ledger ends at version ' || l.version
            WHEN l.stock_after <> p.stock
              THEN format('stock is %s, the ledger says %s', p.stock, l.stock_after)
            ELSE 'deleted in one of products and ledger, but not in the other' END
  FROM products p FULL JOIN last l ON l.product_id = p.id
 WHERE p.id IS NULL OR l.product_id IS NULL
    OR l.version <> p.version OR l.stock_after <> p.stock
    OR (l.kind = 'deleted') <> (p.deleted_at IS NOT NULL);

SELECT count(*) AS offences, count(*) > 0 AS wrong FROM offence \gset
\if :wrong
  SELECT product_id, version, what FROM offence ORDER BY product_id, version LIMIT 20;
  \warn 'the ledger and the products disagree in' :offences 'places (at most 20 are listed)'
  DO $$BEGIN RAISE EXCEPTION 'the ledger is not consistent'; END$$;
\endif
SELECT (SELECT count(*) FROM products WHERE deleted_at IS NULL) AS products,
       (SELECT count(*) FROM products WHERE deleted_at IS NOT NULL) AS deleted,
       (SELECT count(*) FROM stock_movements) AS movements,
       (SELECT coalesce(sum(stock), 0) FROM products WHERE deleted_at IS NULL) AS stock,
       (SELECT sum(reserved) FROM products) AS reserved,
       (SELECT count(*) FROM orders) AS orders, (SELECT count(*) FROM reservations) AS reservations;
COMMIT;
\echo the ledger is consistent
