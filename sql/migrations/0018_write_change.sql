-- write_batch for the case that matters most for latency: a batch of one command without a key,
-- which adds an amount to the stock of one product. It does the same in one statement: the change,
-- its movement, and the lane. It gives one row, which is the command's and the product's; none when
-- the change cannot be applied, and then nothing was changed: write_batch says why.

CREATE FUNCTION write_change(
  lane bigint, batch bigint, product bigint, amount bigint, expected_version bigint, reason text)
RETURNS TABLE (id bigint, sku text, name text, price numeric, stock bigint, reserved bigint,
               version bigint, created_at timestamptz, updated_at timestamptz,
               deleted_at timestamptz,
               ord int, outcome text, result text, etag bigint, is_replayed boolean)
LANGUAGE plpgsql
SET lock_timeout = '1000ms'  -- as write_batch
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
  moved_lane bigint;
BEGIN
  WITH changed AS (
    UPDATE products AS p
    SET stock = p.stock + amount, version = p.version + 1, updated_at = clock_timestamp()
    WHERE p.id = product AND p.deleted_at IS NULL
      AND (expected_version IS NULL OR p.version = expected_version)
      -- compared so that no sum can overflow
      AND amount >= -p.stock AND amount <= 9007199254740991 - p.stock - p.reserved
    RETURNING p.*
  ), moved AS (
    INSERT INTO stock_movements (product_id, version, delta, stock_after, kind, reason, created_at)
    SELECT c.id, c.version, amount, c.stock, 'adjust', write_change.reason, c.updated_at
    FROM changed AS c
  ), answer AS (
    SELECT c.*, '{"id":' || c.id || ',"stock":' || c.stock || ',"version":' || c.version
                || ',"delta":' || amount || '}' AS text
    FROM changed AS c
  ), moved_on AS (
    UPDATE write_lanes AS l
    SET batch = write_change.batch, outcomes = '{applied}', results = ARRAY[a.text],
        versions = ARRAY[a.version], replayed = '{f}', changed = ARRAY[a.id],
        updated_at = a.updated_at
    FROM answer AS a
    WHERE l.id = lane AND l.batch < write_change.batch
    RETURNING l.id
  )
  SELECT a.id, a.sku, a.name, a.price, a.stock, a.reserved, a.version, a.created_at, a.updated_at,
         1, 'applied', a.text, a.version, false, m.id
  INTO id, sku, name, price, stock, reserved, version, created_at, updated_at,
       ord, outcome, result, etag, is_replayed, moved_lane
  FROM answer AS a LEFT JOIN moved_on AS m ON true;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  IF moved_lane IS NULL THEN
    RAISE EXCEPTION 'write_change: lane % is not there, or not before batch %', lane, batch
      USING ERRCODE = 'FS001';
  END IF;
  RETURN NEXT;
END $$;
