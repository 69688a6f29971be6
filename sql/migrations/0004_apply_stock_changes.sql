-- Many stock changes in one round trip and one transaction, each judged on its own.
--
-- Change i is (product_ids[i], changes[i], absolute[i], expected_versions[i], reasons[i]): it sets the stock (absolute) or
-- adds to it; an expected version that is not NULL must be the product's. One result row per change, in the same order:
--   applied             version, stock, delta are those after this change
--   not_found           no such product, or deleted
--   version_mismatch    the product has another version than expected
--   insufficient_stock  the stock would go below 0
--   out_of_range        the stock would exceed 2^53 - 1, or was to be set below 0
-- A refused change leaves no trace; its row shows the state that it was judged against, after the earlier changes of the
-- batch, so the changes of one product are judged in the order of the arrays.
--
-- Rows are locked in the order of their ids before anything is judged, so two batches cannot deadlock. Each product is then
-- updated once, however many changes it takes; each applied change has its movement.

CREATE FUNCTION apply_stock_changes(
  product_ids bigint[], changes bigint[], absolute boolean[], expected_versions bigint[], reasons text[])
RETURNS TABLE (ord int, outcome text, product_id bigint, version bigint, stock bigint, delta bigint,
               name text, price text, created_us bigint, updated_us bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  stock_max CONSTANT bigint := 9007199254740991;
  n         CONSTANT int := cardinality(product_ids);
  judged_at timestamptz;
  change    record;  -- the change being judged, with its product as it was locked
  current   bigint;  -- the product whose version and stock, after the changes judged so far, are these:
  v         bigint;
  s         bigint;
  d         bigint;  -- what the change adds
  verdict   text;
  -- the judgement of each change, in the order of the arrays
  outcomes  text[]   := array_fill(NULL::text, ARRAY[n]);
  versions  bigint[] := array_fill(NULL::bigint, ARRAY[n]);
  stocks    bigint[] := array_fill(NULL::bigint, ARRAY[n]);
  deltas    bigint[] := array_fill(NULL::bigint, ARRAY[n]);
BEGIN
  IF (cardinality(changes), cardinality(absolute), cardinality(expected_versions), cardinality(reasons))
     IS DISTINCT FROM (n, n, n, n) THEN
    RAISE EXCEPTION 'apply_stock_changes: the arrays must have one length' USING ERRCODE = 'array_subscript_error';
  END IF;
  IF array_position(product_ids, NULL) IS NOT NULL OR array_position(changes, NULL) IS NOT NULL
     OR array_position(absolute, NULL) IS NOT NULL THEN
    RAISE EXCEPTION 'apply_stock_changes: product_ids, changes and absolute must not contain NULL'
      USING ERRCODE = 'null_value_not_allowed';
  END IF;

  PERFORM FROM products p WHERE p.id = ANY (product_ids) ORDER BY p.id FOR NO KEY UPDATE;
  judged_at := clock_timestamp();

  FOR change IN
    SELECT u.ord, u.id, u.amount, u.absolute, u.expected, p.version, p.stock
    FROM unnest(product_ids, changes, absolute, expected_versions)
         WITH ORDINALITY AS u (id, amount, absolute, expected, ord)
    JOIN products p ON p.id = u.id AND p.deleted_at IS NULL
    ORDER BY u.id, u.ord
  LOOP
    IF current IS DISTINCT FROM change.id THEN
      current := change.id;
      v := change.version;
      s := change.stock;
    END IF;

    -- compared so that no sum can overflow
    IF change.expected <> v THEN
      verdict := 'version_mismatch';
    ELSIF change.absolute THEN
      verdict := CASE WHEN change.amount BETWEEN 0 AND stock_max THEN 'applied' ELSE 'out_of_range' END;
      d := change.amount - s;
    ELSIF change.amount < -s THEN
      verdict := 'insufficient_stock';
    ELSIF change.amount > stock_max - s THEN
      verdict := 'out_of_range';
    ELSE
      verdict := 'applied';
      d := change.amount;
    END IF;

    IF verdict = 'applied' THEN
      v := v + 1;
      s := s + d;
      deltas[change.ord] := d;
    END IF;
    outcomes[change.ord] := verdict;
    versions[change.ord] := v;
    stocks[change.ord] := s;
  END LOOP;

  UPDATE products p
  SET version = f.version, stock = f.stock, updated_at = judged_at
  FROM (SELECT DISTINCT ON (u.id) u.*
        FROM unnest(product_ids, outcomes, versions, stocks) AS u (id, outcome, version, stock)
        WHERE u.outcome = 'applied'
        ORDER BY u.id, u.version DESC) f
  WHERE p.id = f.id;

  INSERT INTO stock_movements (product_id, version, delta, stock_after, kind, reason, created_at)
  SELECT u.id, u.version, u.delta, u.stock, CASE WHEN u.absolute THEN 'set' ELSE 'adjust' END, u.reason, judged_at
  FROM unnest(product_ids, outcomes, versions, deltas, stocks, absolute, reasons)
       AS u (id, outcome, version, delta, stock, absolute, reason)
  WHERE u.outcome = 'applied';

  RETURN QUERY
  SELECT u.ord::int, coalesce(u.outcome, 'not_found'), u.id, u.version, u.stock, u.delta,
         p.name, p.price::text, epoch_us(p.created_at), epoch_us(p.updated_at)
  FROM unnest(product_ids, outcomes, versions, stocks, deltas)
       WITH ORDINALITY AS u (id, outcome, version, stock, delta, ord)
  LEFT JOIN products p ON p.id = u.id AND p.deleted_at IS NULL
  ORDER BY u.ord;
END $$;
