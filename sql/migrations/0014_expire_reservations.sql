-- Ends reservations whose time is over: at most `most` of them, the longest overdue first. Gives
-- the rows that write_batch gives.
--
-- Several callers may call it again and again: one works, and the others hear nothing. A
-- reservation that a batch is just ending is left to it.
--
-- With `waits` the call waits for products that another transaction holds, as a batch does, and
-- fails when that takes long (lock_not_available). Without, reservations of such products are left
-- alone. They are looked for before the others are chosen, because otherwise those of one product
-- that is held for long could fill every call.

CREATE FUNCTION expire_reservations(most int, waits boolean)
RETURNS TABLE (id bigint, sku text, name text, price numeric, stock bigint, reserved bigint,
               version bigint, created_at timestamptz, updated_at timestamptz,
               deleted_at timestamptz,
               ord int, outcome text, result text, etag bigint, is_replayed boolean)
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
DECLARE
  due  bigint[];
  free bigint[];  -- products
  n    int;
BEGIN
  IF NOT pg_try_advisory_xact_lock(hashtext('faststock.expire')) THEN
    RETURN;
  END IF;

  IF waits THEN
    SELECT array_agg(r.id) INTO due
    FROM (SELECT id FROM reservations
          WHERE status = 'HELD' AND expires_at <= clock_timestamp()
          ORDER BY expires_at LIMIT most FOR UPDATE SKIP LOCKED) AS r;
  ELSE
    SELECT array_agg(r.id) INTO due
    FROM (SELECT id FROM reservations
          WHERE status = 'HELD' AND expires_at <= clock_timestamp()
          ORDER BY expires_at LIMIT 100 * most FOR UPDATE SKIP LOCKED) AS r;
    SELECT array_agg(p.id) INTO free
    FROM (SELECT id FROM products
          WHERE id IN (SELECT i.product_id FROM reservation_items AS i
                       WHERE i.reservation_id = ANY (due))
          FOR NO KEY UPDATE SKIP LOCKED) AS p;
    SELECT array_agg(d.id) INTO due
    FROM (SELECT d.id FROM unnest(due) WITH ORDINALITY AS d (id, ord)
          WHERE d.id NOT IN (SELECT i.reservation_id
                             FROM reservation_items AS i
                             LEFT JOIN unnest(free) AS f (id) ON f.id = i.product_id
                             WHERE i.reservation_id = ANY (due) AND f.id IS NULL)
          ORDER BY d.ord LIMIT most) AS d;
  END IF;
  IF due IS NULL THEN
    RETURN;
  END IF;

  n := cardinality(due);
  RETURN QUERY SELECT * FROM write_batch(
    NULL, NULL, waits,
    array_fill('expire'::text, ARRAY[n]), due, array_fill(NULL::text, ARRAY[n]),
    array_fill(NULL::text, ARRAY[n]), array_fill(NULL::text, ARRAY[n]),
    array_fill(0, ARRAY[n]), '{}', '{}', '{}', '{}', '{}');
END $$;
