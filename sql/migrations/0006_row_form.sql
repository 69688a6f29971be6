-- change_stock takes the place of apply_stock_changes. It does the same within the same limits, but
-- its rows begin with the columns of products, so that one form of a row serves every statement.
--
-- While a new version of the services replaces an old one, both use this database. So
-- apply_stock_changes stays, with its name, parameters and columns, and calls change_stock. A later
-- migration may drop it, because by then no service calls it.
--
-- Many stock changes in one round trip and one transaction, each judged on its own.
--
-- Change i is (product_ids[i], changes[i], absolute[i], expected_versions[i], reasons[i]): it sets
-- the stock (absolute) or adds to it; an expected version that is not NULL must be the product's.
-- One result row per change, in the same order:
--   applied             version, stock, updated_at and delta are those after this change
--   not_found           no such product, or deleted; the product's columns are NULL
--   version_mismatch    the product has another version than expected
--   insufficient_stock  the stock would go below 0
--   out_of_range        the stock would exceed 2^53 - 1, or was to be set below 0
-- A refused change leaves no trace. Its row shows the state that it was judged against, after the
-- earlier changes of the batch: the changes of one product are judged in the order of the arrays.
--
-- Rows are locked in the order of their ids before anything is judged, so two batches cannot
-- deadlock. Each product is then updated once, however many changes it takes; each applied change
-- has its movement.

CREATE FUNCTION change_stock(
  product_ids bigint[], changes bigint[], absolute boolean[], expected_versions bigint[],
  reasons text[])
RETURNS TABLE (id bigint, name text, price numeric, stock bigint, version bigint,
               created_at timestamptz, updated_at timestamptz, deleted_at timestamptz,
               ord int, outcome text, delta bigint)
LANGUAGE plpgsql
SET lock_timeout = '1500ms'  -- shorter than a request waits, see 0005
SET plan_cache_mode = force_generic_plan  -- else one change spends half its time on planning
AS $$
#variable_conflict use_column
DECLARE
  stock_max CONSTANT bigint := 9007199254740991;
  n         CONSTANT int := cardinality(product_ids);
  judged_at timestamptz;
  -- the products that are there, by id, with version and stock after the changes judged so far
  ids       bigint[];
  versions  bigint[];
  stocks    bigint[];
  names     text[];
  prices    numeric[];
  created   timestamptz[];
  updated   timestamptz[];
  -- the movements, in the order of the changes
  moved          int[] := '{}';  -- which change
  moved_versions bigint[] := '{}';
  moved_stocks   bigint[] := '{}';
  moved_deltas   bigint[] := '{}';
  slot   int;     -- of the product being changed, in the arrays by id
  before bigint;  -- its stock
  amount bigint;
BEGIN
  IF (cardinality(changes) = n AND cardinality(absolute) = n AND cardinality(expected_versions) = n
      AND cardinality(reasons) = n) IS NOT TRUE THEN
    RAISE EXCEPTION 'change_stock: the arrays must have one length'
      USING ERRCODE = 'array_subscript_error';
  END IF;
  IF array_position(product_ids, NULL) IS NOT NULL OR array_position(changes, NULL) IS NOT NULL
     OR array_position(absolute, NULL) IS NOT NULL THEN
    RAISE EXCEPTION 'change_stock: product_ids, changes and absolute must not contain NULL'
      USING ERRCODE = 'null_value_not_allowed';
  END IF;

  SELECT array_agg(p.id), array_agg(p.version), array_agg(p.stock), array_agg(p.name),
         array_agg(p.price), array_agg(p.created_at), array_agg(p.updated_at)
  INTO ids, versions, stocks, names, prices, created, updated
  FROM (SELECT * FROM products WHERE id = ANY (product_ids) AND deleted_at IS NULL
        ORDER BY id FOR NO KEY UPDATE) p;
  judged_at := clock_timestamp();

  FOR i IN 1 .. n LOOP
    ord := i;
    id := product_ids[i];
    amount := changes[i];
    slot := width_bucket(id, ids);  -- a binary search
    delta := NULL;

    IF slot IS NULL OR ids[slot] IS DISTINCT FROM id THEN
      outcome := 'not_found';
      id := NULL;
      version := NULL;
      stock := NULL;
      name := NULL;
      price := NULL;
      created_at := NULL;
      updated_at := NULL;
      RETURN NEXT;
      CONTINUE;
    END IF;

    before := stocks[slot];
    -- compared so that no sum can overflow
    IF expected_versions[i] <> versions[slot] THEN
      outcome := 'version_mismatch';
    ELSIF absolute[i] THEN
      outcome := CASE WHEN amount BETWEEN 0 AND stock_max THEN 'applied' ELSE 'out_of_range' END;
    ELSIF amount < -before THEN
      outcome := 'insufficient_stock';
    ELSIF amount > stock_max - before THEN
      outcome := 'out_of_range';
    ELSE
      outcome := 'applied';
    END IF;

    version := versions[slot];
    stock := before;
    IF outcome = 'applied' THEN
      delta := CASE WHEN absolute[i] THEN amount - before ELSE amount END;
      version := version + 1;
      stock := before + delta;
      versions[slot] := version;
      stocks[slot] := stock;
      updated[slot] := judged_at;
      moved := moved || i;
      moved_versions := moved_versions || version;
      moved_deltas := moved_deltas || delta;
      moved_stocks := moved_stocks || stock;
    END IF;
    name := names[slot];
    price := prices[slot];
    created_at := created[slot];
    updated_at := updated[slot];
    RETURN NEXT;
  END LOOP;

  UPDATE products p
  SET version = f.version, stock = f.stock, updated_at = judged_at
  FROM unnest(ids, versions, stocks) AS f (id, version, stock)
  WHERE p.id = f.id AND p.version <> f.version;

  INSERT INTO stock_movements (product_id, version, delta, stock_after, kind, reason, created_at)
  SELECT product_ids[m.i], m.version, m.delta, m.stock,
         CASE WHEN absolute[m.i] THEN 'set' ELSE 'adjust' END, reasons[m.i], judged_at
  FROM unnest(moved, moved_versions, moved_deltas, moved_stocks) AS m (i, version, delta, stock);
END $$;

CREATE OR REPLACE FUNCTION apply_stock_changes(
  product_ids bigint[], changes bigint[], absolute boolean[], expected_versions bigint[],
  reasons text[])
RETURNS TABLE (ord int, outcome text, product_id bigint, version bigint, stock bigint, delta bigint,
               name text, price text, created_us bigint, updated_us bigint)
LANGUAGE sql
AS $$
  SELECT c.ord, c.outcome, product_ids[c.ord], c.version, c.stock, c.delta,
         c.name, c.price::text, epoch_us(c.created_at), epoch_us(c.updated_at)
  FROM change_stock(product_ids, changes, absolute, expected_versions, reasons) AS c
$$;
