-- Many products created or set in one transaction, for imports.
--
-- Line i is (skus[i], names[i], prices[i], stocks[i]). With an SKU that a product has, it sets that
-- product's name, price and stock; otherwise it creates a product. One row a line, in their order:
--   created    a new product
--   updated    something of it was another; `version` is one more
--   unchanged  it was like that already: no movement, the same version
--   refused    the stock together with what is reserved would exceed 2^53 - 1; nothing was changed
-- Lines with one SKU are applied in their order, each on what the one before it left. `id` and
-- `version` are those after the line.
--
-- A changed stock is one movement `set`, which stands for the new name and price as well; a new
-- name or price alone is `edited`. So a line is one version.
--
-- Products are locked in the order of their ids before anything is judged, as in write_batch, so
-- these two cannot deadlock each other over them. An SKU that another transaction creates at the
-- same moment is waited for; when that has committed, this one fails with a serialization failure,
-- and is to be repeated.
CREATE FUNCTION import_products(skus text[], names text[], prices numeric[], stocks bigint[])
RETURNS TABLE (ord int, status text, id bigint, version bigint)
LANGUAGE plpgsql
SET lock_timeout = '1000ms'
SET plan_cache_mode = force_custom_plan  -- the plan of ten lines is a bad one for a thousand
AS $$
#variable_conflict use_column
DECLARE
  stock_max CONSTANT bigint := 9007199254740991;
  n         CONSTANT int := cardinality(names);
  -- the products that are there
  ids        bigint[];
  its_skus   text[];
  its_names  text[];
  its_prices numeric[];
  its_stocks bigint[];
  reserveds  bigint[];
  versions   bigint[];
  -- the lines
  places     bigint[];  -- of the product among those that are made, or NULL
  kinds      text[];    -- of the movement, or refused, or unchanged
  line_ids   bigint[];
  line_versions bigint[];
  deltas     bigint[];
  are_last   boolean[];  -- its values are those that the product is left with
  made_ids   bigint[];
  judged_at  timestamptz;
BEGIN
  IF (cardinality(skus) = n AND cardinality(prices) = n AND cardinality(stocks) = n) IS NOT TRUE
  THEN
    RAISE EXCEPTION 'import_products: the arrays must have one length'
      USING ERRCODE = 'array_subscript_error';
  END IF;

  SELECT array_agg(p.id), array_agg(p.sku), array_agg(p.name), array_agg(p.price),
         array_agg(p.stock), array_agg(p.reserved), array_agg(p.version)
  INTO ids, its_skus, its_names, its_prices, its_stocks, reserveds, versions
  FROM (SELECT * FROM products WHERE sku = ANY (skus) AND deleted_at IS NULL
        ORDER BY id FOR NO KEY UPDATE) AS p;
  judged_at := clock_timestamp();

  WITH line AS (  -- each with the product that it is about, if that is there
    SELECT l.ord, l.name, l.price::numeric(12,2) AS price, l.stock,
           coalesce(l.sku, ',' || l.ord) AS product,  -- no SKU has a comma
           t.id, coalesce(t.version, 0) AS version_before,
           t.name AS its_name, t.price AS its_price, t.stock AS its_stock,
           l.stock > stock_max - coalesce(t.reserved, 0) AS is_refused
    FROM unnest(skus, names, prices, stocks) WITH ORDINALITY AS l (sku, name, price, stock, ord)
    LEFT JOIN unnest(ids, its_skus, its_names, its_prices, its_stocks, reserveds, versions)
      AS t (id, sku, name, price, stock, reserved, version) ON t.sku = l.sku
  ), step AS (  -- what the line before it left
    SELECT l.*,
           lag(l.name, 1, l.its_name) OVER history AS name_before,
           lag(l.price, 1, l.its_price) OVER history AS price_before,
           lag(l.stock, 1, l.its_stock) OVER history AS stock_before,
           first_value(l.ord) OVER history AS first_ord,
           lead(l.ord) OVER history IS NULL AS is_last
    FROM line AS l
    WINDOW history AS (PARTITION BY l.product, l.is_refused ORDER BY l.ord)
  ), judged AS (
    SELECT s.*,
           CASE WHEN s.is_refused THEN 'refused'
                WHEN s.stock_before IS NULL THEN 'created'
                WHEN s.stock <> s.stock_before THEN 'set'
                WHEN s.name <> s.name_before OR s.price <> s.price_before THEN 'edited'
                ELSE 'unchanged' END AS kind
    FROM step AS s
  ), numbered AS (
    SELECT j.*,
           j.version_before + count(*) FILTER (WHERE j.kind IN ('created', 'set', 'edited'))
             OVER (PARTITION BY j.product ORDER BY j.ord) AS version,
           CASE WHEN j.id IS NULL AND NOT j.is_refused
                THEN count(*) FILTER (WHERE j.kind = 'created') OVER (ORDER BY j.first_ord)
           END AS place
    FROM judged AS j
  )
  SELECT array_agg(u.place ORDER BY u.ord), array_agg(u.kind ORDER BY u.ord),
         array_agg(u.id ORDER BY u.ord), array_agg(u.version ORDER BY u.ord),
         array_agg(u.stock - coalesce(u.stock_before, 0) ORDER BY u.ord),
         array_agg(u.is_last AND NOT u.is_refused ORDER BY u.ord)
  INTO places, kinds, line_ids, line_versions, deltas, are_last
  FROM numbered AS u;

  -- an identity column is given its values in the order of the rows that are inserted
  WITH made AS (
    INSERT INTO products (sku, name, price, stock, version, created_at, updated_at)
    SELECT l.sku, l.name, l.price, l.stock, l.version, judged_at, judged_at
    FROM unnest(skus, names, prices, stocks, line_versions, places, are_last)
      AS l (sku, name, price, stock, version, place, is_last)
    WHERE l.place IS NOT NULL AND l.is_last
    ORDER BY l.place
    RETURNING products.id
  )
  SELECT array_agg(m.id ORDER BY m.id) INTO made_ids FROM made AS m;

  UPDATE products AS p
  SET name = l.name, price = l.price, stock = l.stock, version = l.version, updated_at = judged_at
  FROM unnest(line_ids, names, prices, stocks, line_versions, are_last)
    AS l (id, name, price, stock, version, is_last)
  WHERE p.id = l.id AND l.is_last AND p.version < l.version;

  SELECT array_agg(coalesce(l.id, made_ids[l.place]) ORDER BY l.ord) INTO line_ids
  FROM unnest(line_ids, places) WITH ORDINALITY AS l (id, place, ord);

  INSERT INTO stock_movements (product_id, version, delta, stock_after, kind, reason, created_at)
  SELECT l.id, l.version, l.delta, l.stock, l.kind, 'import', judged_at
  FROM unnest(line_ids, line_versions, deltas, stocks, kinds)
    AS l (id, version, delta, stock, kind)
  WHERE l.kind IN ('created', 'set', 'edited');

  RETURN QUERY
  SELECT l.ord::int, CASE WHEN l.kind IN ('set', 'edited') THEN 'updated' ELSE l.kind END, l.id,
         l.version
  FROM unnest(kinds, line_ids, line_versions) WITH ORDINALITY AS l (kind, id, version, ord)
  ORDER BY l.ord;
EXCEPTION
  WHEN unique_violation THEN
    RAISE EXCEPTION 'import_products: an SKU was created at the same moment'
      USING ERRCODE = 'serialization_failure';
END $$;
