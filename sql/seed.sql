-- Tops the catalogue up to :wanted products. Product number n of the seed is always the same one.
BEGIN;
SELECT pg_advisory_xact_lock(hashtext('faststock seed')) \g /dev/null

WITH words AS (
  SELECT ('{Compact,Classic,Heavy,Light,Modern,Rustic,'
          'Slim,Solid,Sturdy,Travel,Urban,Vintage}')::text[] AS looks,
         ('{Aluminium,Bamboo,Ceramic,Copper,Cotton,Glass,'
          'Leather,Linen,Oak,Steel,Walnut,Wool}')::text[] AS materials,
         ('{Backpack,Bench,Blanket,Bottle,Bowl,Chair,Clock,Desk,Jacket,Kettle,'
          'Lamp,Mug,Notebook,Pan,Shelf,Stool,Table,Tray,Vase,Wallet}')::text[] AS things
), numbers AS (
  -- h is as good as random, and always the same
  SELECT n::bigint AS n, abs(hashint8(n::bigint)::bigint) AS h
  FROM generate_series((SELECT count(*) FROM products WHERE deleted_at IS NULL) + 1, :wanted) AS n
), made AS (
  INSERT INTO products (name, price, stock)
  SELECT looks[1 + h % 12] || ' ' || materials[1 + h / 12 % 12] || ' '
           || things[1 + h / 144 % 20] || ' ' || n,
         (2 + h / 2880 % 200) * (1 + h % 5) - 0.01 * (1 + h % 2 * 4),  -- 1.95 to 1004.99
         CASE WHEN h % 50 = 0 THEN 0 ELSE 10 + h / 7 % 4990 END        -- 2 in 100 are sold out
  FROM numbers, words
  ORDER BY n
  RETURNING id, version, stock, created_at
), recorded AS (
  INSERT INTO stock_movements (product_id, version, delta, stock_after, kind, reason, created_at)
  SELECT id, version, stock, stock, 'created', 'seed', created_at FROM made
)
SELECT count(*) AS made FROM made \gset
COMMIT;

SELECT :made > 0 AS grown \gset
\if :grown
  ANALYZE products, stock_movements;
\endif
SELECT 'seeded ' || :made || ' products, there are ' || count(*)
FROM products WHERE deleted_at IS NULL;
