-- The invariants between products and their ledger. They are looked at in one snapshot, so the
-- answer is right while changes go on, too.
\pset footer off
BEGIN ISOLATION LEVEL REPEATABLE READ;

CREATE TEMP TABLE offence ON COMMIT DROP AS
WITH step AS (  -- each movement with what the one before left
  SELECT product_id, version, delta, stock_after, kind,
         lag(version, 1, 0::bigint) OVER history AS version_before,
         lag(stock_after, 1, 0::bigint) OVER history AS stock_before,
         lead(version) OVER history IS NULL AS is_last
  FROM stock_movements WINDOW history AS (PARTITION BY product_id ORDER BY version)
), last AS (
  SELECT * FROM step WHERE is_last
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
       (SELECT coalesce(sum(stock), 0) FROM products WHERE deleted_at IS NULL) AS stock;
COMMIT;
\echo the ledger is consistent
