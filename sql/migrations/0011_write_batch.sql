-- Everything that changes stock, in one function that judges a batch of commands, so that many
-- changes of one product cost one round trip, one transaction and one flush of the WAL.
--
-- A *command* is what one request asks for. Command i is kinds[i] with its *items*, the next
-- item_counts[i] of the item arrays:
--
--   kind          items                        subject, details
--   change        one                          an amount to add, or (item_absolute) the new stock
--   changes_each  many, each judged on its own
--   changes_all   many, all or nothing
--   order         many: amount is a quantity
--   reserve       many: amount is a quantity   subject: for how many seconds
--   confirm       none: those of the           subject: the reservation
--   release       reservation
--   expire
--   cancel        none: those of the order     subject: the order
--   create        none                         details: {"name","price","stock","sku"}
--   edit          one: the product, amount 0   details: {"name","price"}, each optional
--   delete        one: the product, amount 0
--
-- item_versions[j], when not NULL, must be the version of the product.
--
-- Commands are judged in their order, each on the state that the ones before it left. One that is
-- refused leaves no trace. There is one row for each command, with `ord`, and one for each product
-- that changed, as it is at the end, with `id`; a product of a repeated command has a row too. Of a
-- command it tells:
--   outcome  applied, or why it was refused: not_found, insufficient_stock, version_mismatch,
--            out_of_range (stock and reserved together would exceed 2^53 - 1), reserved (a product
--            of which units are held is not deleted), sku_taken, not_held (the reservation was
--            confirmed or released), expired, cancelled (the order was), locked, key_busy,
--            key_reused, refused (changes_all)
--   result   JSON: on success the body of the answer, else the further members of the problem
--   etag     the version of the product, or NULL; of a refused change too
--
-- Locks are taken in one order by all batches, so they cannot deadlock each other: keys (never
-- waited for), reservations, orders and products, each by id; the lane last. A product that another
-- transaction holds makes the batch wait for lock_timeout, and fail. With `waits` false nothing is
-- waited for, and only the commands that need such a row are refused (locked).
--
-- Repeated requests: the answer of a command with a key is kept with it. A command with a key that
-- is kept is not done again: is_replayed, with the kept answer, or key_reused if the fingerprint is
-- another. key_busy: its first request is being judged at this moment. A version_mismatch is not
-- kept, because the caller may ask for another version under the same key; versions only rise, so a
-- repeat gets the same answer.
--
-- Lanes: a batch moves its lane on, from any lower number to its own, and keeps its answers there.
-- See write_batch_end.

-- A time as the services show it.
CREATE FUNCTION json_time(at timestamptz) RETURNS text LANGUAGE sql STABLE
RETURN '"' || to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '"';

-- A product, and an order, as the API shows them.
CREATE FUNCTION product_json(product products) RETURNS text LANGUAGE sql STABLE AS $$
  SELECT '{"id":' || product.id || ',"sku":' || coalesce(to_json(product.sku)::text, 'null')
    || ',"name":' || to_json(product.name) || ',"price":' || product.price
    || ',"stock":' || product.stock || ',"reserved":' || product.reserved
    || ',"version":' || product.version || ',"createdAt":' || json_time(product.created_at)
    || ',"updatedAt":' || json_time(product.updated_at) || '}'
$$;

CREATE FUNCTION order_json(order_id bigint) RETURNS text LANGUAGE sql STABLE AS $$
  SELECT '{"id":' || o.id || ',"status":"' || o.status || '","total":' || o.total || ',"items":['
    || (SELECT string_agg('{"productId":' || i.product_id || ',"qty":' || i.qty || ',"price":'
                          || i.price || '}', ',' ORDER BY i.product_id)
        FROM order_items AS i WHERE i.order_id = o.id)
    || '],"createdAt":' || json_time(o.created_at)
    || coalesce(',"cancelledAt":' || json_time(o.cancelled_at), '')
    || coalesce(',"reservationId":' || o.reservation_id, '') || '}'
  FROM orders AS o WHERE o.id = order_json.order_id
$$;

CREATE FUNCTION write_batch(
  lane bigint, batch bigint,  -- NULL: no lane
  waits boolean,
  kinds text[], subjects bigint[], details text[], keys text[], fingerprints text[],
  item_counts int[], item_products bigint[], item_amounts bigint[], item_absolute boolean[],
  item_versions bigint[], item_reasons text[])
RETURNS TABLE (id bigint, sku text, name text, price numeric, stock bigint, reserved bigint,
               version bigint, created_at timestamptz, updated_at timestamptz,
               deleted_at timestamptz,
               ord int, outcome text, result text, etag bigint, is_replayed boolean)
LANGUAGE plpgsql
SET lock_timeout = '1000ms'  -- half of what a request waits, so its batch can be made again
SET plan_cache_mode = force_generic_plan  -- else a batch of one spends half its time on planning
AS $$
#variable_conflict use_column
<<judged>>
DECLARE
  stock_max CONSTANT bigint := 9007199254740991;
  n         CONSTANT int := cardinality(kinds);
  -- the answers, by command
  outcomes  text[] := array_fill(NULL::text, ARRAY[n]);
  results   text[] := outcomes;
  etags     bigint[] := array_fill(NULL::bigint, ARRAY[n]);
  replayed  boolean[] := array_fill(false, ARRAY[n]);
  -- the items of commands that have theirs in a table: where they begin and end
  begins    int[];
  ends      int[];
  -- what such commands end, by id
  held_ids       bigint[];
  held_statuses  text[];
  held_until     timestamptz[];
  held_created   timestamptz[];
  order_ids      bigint[];
  order_statuses text[];
  -- the products that are there, by id, as the commands judged so far left them
  ids        bigint[];
  present    bigint[];  -- ids, but NULL once deleted
  versions   bigint[];
  stocks     bigint[];
  reserveds  bigint[];
  prices     numeric[];
  -- the movements: which item of which command; of an order or reservation that was made
  moved_items    int[] := '{}';
  moved_commands int[] := '{}';
  moved_versions bigint[] := '{}';
  moved_stocks   bigint[] := '{}';
  moved_deltas   bigint[] := '{}';
  moved          int := 0;
  moved_prices   numeric[] := '{}';
  -- what commands made or ended, by command; the products in any order
  made_orders       bigint[];
  order_totals      numeric[];
  made_reservations bigint[];
  ended             bigint[];
  made_products     bigint[] := '{}';
  judged_at timestamptz;
  now_json  text;
  -- one command
  kind      text;
  subject   bigint;
  next_item int := 1;
  first     int;
  last      int;
  moved_before int;
  refusal   text;     -- why the first item that is refused is
  parts     text;     -- JSON of the items
  refused   text;     -- JSON of those that are refused
  total     numeric;
  place     int;      -- of what it ends, in the arrays by id
  made      bigint;
  -- one item
  product   bigint;
  slot      int;      -- of the product, in the arrays by id
  before    bigint;
  amount    bigint;
  held      bigint;   -- what is added to `reserved`
  verdict   text;
  kept      record;
  product_row products;
BEGIN
  IF (cardinality(subjects) = n AND cardinality(details) = n AND cardinality(keys) = n
      AND cardinality(fingerprints) = n AND cardinality(item_counts) = n
      AND (SELECT sum(c) FROM unnest(item_counts) AS c) = cardinality(item_products)
      AND cardinality(item_amounts) = cardinality(item_products)
      AND cardinality(item_absolute) = cardinality(item_products)
      AND cardinality(item_versions) = cardinality(item_products)
      AND cardinality(item_reasons) = cardinality(item_products)) IS NOT TRUE THEN
    RAISE EXCEPTION 'write_batch: the arrays must have the lengths of their commands and items'
      USING ERRCODE = 'array_subscript_error';
  END IF;

  -- keys: the ones that were done, and the ones that are being done
  IF array_remove(keys, NULL) <> '{}' THEN
    FOR i IN 1 .. n LOOP
      IF keys[i] IS NULL THEN
        CONTINUE;
      END IF;
      place := array_position(keys, keys[i]);
      IF place < i THEN
        outcomes[i] := CASE WHEN fingerprints[place] = fingerprints[i] THEN 'key_busy'
                            ELSE 'key_reused' END;
      ELSIF NOT pg_try_advisory_xact_lock(hashtextextended(keys[i], 1)) THEN
        outcomes[i] := 'key_busy';
      END IF;
    END LOOP;
    -- a statement of its own, because its snapshot must be later than the locks
    FOR kept IN
      SELECT k.ord::int AS ord, i.outcome, i.result, i.version, i.fingerprint
      FROM unnest(keys) WITH ORDINALITY AS k (key, ord) JOIN idempotency_keys AS i USING (key)
    LOOP
      IF kept.fingerprint <> fingerprints[kept.ord] THEN
        outcomes[kept.ord] := 'key_reused';
      ELSIF outcomes[kept.ord] IS NULL THEN
        outcomes[kept.ord] := kept.outcome;
        results[kept.ord] := kept.result;
        etags[kept.ord] := kept.version;
        replayed[kept.ord] := true;
      END IF;
    END LOOP;
  END IF;

  -- reservations and orders that end; their items are appended to those of the commands
  IF kinds && '{confirm,release,expire,cancel}' THEN
    SELECT array_agg(r.id), array_agg(r.status), array_agg(r.expires_at), array_agg(r.created_at)
    INTO held_ids, held_statuses, held_until, held_created
    FROM (SELECT * FROM reservations
          WHERE id IN (SELECT c.subject FROM unnest(kinds, subjects) AS c (kind, subject)
                       WHERE c.kind IN ('confirm', 'release', 'expire'))
          ORDER BY id FOR UPDATE) AS r;
    SELECT array_agg(o.id), array_agg(o.status) INTO order_ids, order_statuses
    FROM (SELECT * FROM orders
          WHERE id IN (SELECT c.subject FROM unnest(kinds, subjects) AS c (kind, subject)
                       WHERE c.kind = 'cancel')
          ORDER BY id FOR UPDATE) AS o;

    begins := array_fill(NULL::int, ARRAY[n]);
    ends := begins;
    FOR kept IN
      SELECT c.ord::int AS ord, array_agg(i.product_id ORDER BY i.product_id) AS products,
             array_agg(i.qty ORDER BY i.product_id) AS amounts
      FROM unnest(kinds, subjects) WITH ORDINALITY AS c (kind, subject, ord)
      JOIN LATERAL (
        SELECT r.product_id, r.qty FROM reservation_items AS r
        WHERE r.reservation_id = c.subject AND c.kind IN ('confirm', 'release', 'expire')
        UNION ALL
        SELECT o.product_id, o.qty FROM order_items AS o
        WHERE o.order_id = c.subject AND c.kind = 'cancel') AS i ON true
      GROUP BY c.ord
    LOOP
      begins[kept.ord] := cardinality(item_products) + 1;
      item_products := item_products || kept.products;
      item_amounts := item_amounts || kept.amounts;
      ends[kept.ord] := cardinality(item_products);
    END LOOP;
  END IF;

  -- the products
  IF waits THEN
    SELECT array_agg(p.id), array_agg(p.version), array_agg(p.stock), array_agg(p.reserved),
           array_agg(p.price)
    INTO ids, versions, stocks, reserveds, prices
    FROM (SELECT * FROM products WHERE id = ANY (item_products) AND deleted_at IS NULL
          ORDER BY id FOR NO KEY UPDATE) AS p;
  ELSE
    SELECT array_agg(p.id), array_agg(p.version), array_agg(p.stock), array_agg(p.reserved),
           array_agg(p.price)
    INTO ids, versions, stocks, reserveds, prices
    FROM (SELECT * FROM products WHERE id = ANY (item_products) AND deleted_at IS NULL
          ORDER BY id FOR NO KEY UPDATE SKIP LOCKED) AS p;
    FOR kept IN
      SELECT DISTINCT c.ord::int AS ord
      FROM (SELECT c.ord, sum(c.count) OVER (ORDER BY c.ord) - c.count AS passed, c.count
            FROM unnest(item_counts) WITH ORDINALITY AS c (count, ord)) AS c
      JOIN LATERAL generate_series(coalesce(begins[c.ord], c.passed + 1),
                                   coalesce(ends[c.ord], c.passed + c.count)) AS j ON true
      JOIN products AS p ON p.id = item_products[j]
      WHERE p.deleted_at IS NULL AND (ids IS NULL OR p.id <> ALL (ids))
    LOOP
      outcomes[kept.ord] := coalesce(outcomes[kept.ord], 'locked');
    END LOOP;
  END IF;
  present := ids;
  judged_at := clock_timestamp();
  IF NOT kinds <@ '{change,changes_each,changes_all}' THEN
    now_json := json_time(judged_at);
    made_orders := array_fill(NULL::bigint, ARRAY[n]);
    order_totals := array_fill(NULL::numeric, ARRAY[n]);
    made_reservations := made_orders;
    ended := made_orders;
  END IF;

  FOR i IN 1 .. n LOOP
    first := next_item;
    next_item := first + item_counts[i];
    last := next_item - 1;
    CONTINUE WHEN outcomes[i] IS NOT NULL;
    kind := kinds[i];
    subject := subjects[i];
    refusal := NULL;
    place := NULL;

    -- is there still something to end?
    IF kind IN ('confirm', 'release', 'expire') THEN
      place := array_position(held_ids, subject);
      refusal := CASE WHEN place IS NULL THEN 'not_found'
                      WHEN held_statuses[place] = 'EXPIRED' THEN 'expired'
                      WHEN held_statuses[place] <> 'HELD' THEN 'not_held'
                      WHEN kind = 'expire' AND held_until[place] > judged_at THEN 'not_held'
                      WHEN kind <> 'expire' AND held_until[place] <= judged_at THEN 'expired' END;
    ELSIF kind = 'cancel' THEN
      place := array_position(order_ids, subject);
      refusal := CASE WHEN place IS NULL THEN 'not_found'
                      WHEN order_statuses[place] = 'CANCELLED' THEN 'cancelled' END;
    END IF;
    IF refusal IS NOT NULL THEN
      outcomes[i] := refusal;
      CONTINUE;
    END IF;
    IF kind IN ('confirm', 'release', 'expire', 'cancel') THEN
      first := begins[i];
      last := ends[i];
    END IF;

    moved_before := moved;
    parts := '';
    refused := '';
    total := 0;
    FOR j IN first .. last LOOP
      product := item_products[j];
      amount := item_amounts[j];
      slot := width_bucket(product, ids);  -- a binary search
      held := 0;
      IF slot IS NULL OR present[slot] IS DISTINCT FROM product THEN
        CONTINUE WHEN kind = 'cancel';  -- a deleted product takes nothing back
        verdict := 'not_found';
      ELSE
        before := stocks[slot];
        IF kind IN ('change', 'changes_each', 'changes_all') THEN
          IF item_absolute[j] THEN
            amount := amount - before;
          END IF;
        ELSIF kind IN ('order', 'reserve') THEN
          held := CASE kind WHEN 'reserve' THEN amount ELSE 0 END;
          amount := -amount;
        ELSIF kind = 'confirm' THEN
          held := -amount;
          amount := 0;
        ELSIF kind IN ('release', 'expire') THEN
          held := -amount;
        END IF;
        -- compared so that no sum can overflow
        verdict := CASE
          WHEN item_versions[j] <> versions[slot] THEN 'version_mismatch'
          WHEN amount < -before THEN 'insufficient_stock'
          WHEN amount > stock_max - before - reserveds[slot] - held THEN 'out_of_range'
          WHEN kind = 'delete' AND reserveds[slot] > 0 THEN 'reserved'
        END;
      END IF;

      IF verdict IS NULL THEN
        versions[slot] := versions[slot] + 1;
        stocks[slot] := before + amount;
        IF held <> 0 THEN
          reserveds[slot] := reserveds[slot] + held;
        END IF;
        moved := moved + 1;
        moved_items[moved] := j;
        moved_commands[moved] := i;
        moved_versions[moved] := versions[slot];
        moved_stocks[moved] := before + amount;
        moved_deltas[moved] := amount;
        moved_prices[moved] := prices[slot];
      ELSIF kind <> 'changes_each' THEN
        refusal := CASE verdict WHEN 'not_found' THEN verdict ELSE coalesce(refusal, verdict) END;
      END IF;

      -- what the answer tells of the item
      IF kind = 'change' THEN
        IF verdict IS NULL THEN
          parts := '{"id":' || product || ',"stock":' || (before + amount) || ',"version":'
                   || versions[slot] || ',"delta":' || amount || '}';
          etags[i] := versions[slot];
        ELSIF verdict <> 'not_found' THEN
          refused := ',"stock":' || before || ',"version":' || versions[slot];
          etags[i] := versions[slot];
        END IF;
      ELSIF kind IN ('changes_each', 'changes_all') THEN
        parts := parts || CASE WHEN parts = '' THEN '' ELSE ',' END || '{"id":' || product
                 || ',"status":"' || coalesce(replace(verdict, '_', '-'), 'applied') || '"'
                 || CASE WHEN verdict = 'not_found' THEN ''
                         ELSE ',"stock":' || stocks[slot] || ',"version":' || versions[slot] END
                 || CASE WHEN verdict IS NULL THEN ',"delta":' || amount ELSE '' END || '}';
      ELSIF kind IN ('edit', 'delete') THEN
        IF verdict IS NULL THEN
          etags[i] := versions[slot];
        ELSIF verdict <> 'not_found' THEN
          refused := ',"stock":' || before || ',"reserved":' || reserveds[slot] || ',"version":'
                     || versions[slot];
          etags[i] := versions[slot];
        END IF;
      ELSIF verdict IS NOT NULL THEN
        refused := refused || CASE WHEN refused = '' THEN '' ELSE ',' END || '{"productId":'
                   || product || CASE WHEN verdict = 'not_found' THEN ''
                      ELSE ',"qty":' || item_amounts[j] || ',"stock":' || before END || '}';
      ELSE
        parts := parts || CASE WHEN parts = '' THEN '' ELSE ',' END || '{"productId":' || product
                 || ',"qty":' || item_amounts[j]
                 || CASE WHEN kind IN ('order', 'confirm') THEN ',"price":' || prices[slot]
                         ELSE '' END || '}';
        IF kind IN ('order', 'confirm') THEN
          total := total + prices[slot] * item_amounts[j];
        END IF;
      END IF;
    END LOOP;

    IF refusal IS NOT NULL THEN
      -- take back what the command's other items did
      WHILE moved > moved_before LOOP
        slot := width_bucket(item_products[moved_items[moved]], ids);
        versions[slot] := versions[slot] - 1;
        stocks[slot] := stocks[slot] - moved_deltas[moved];
        reserveds[slot] := reserveds[slot]
          - CASE kind WHEN 'reserve' THEN item_amounts[moved_items[moved]]
                      WHEN 'release' THEN -item_amounts[moved_items[moved]]
                      WHEN 'expire' THEN -item_amounts[moved_items[moved]] ELSE 0 END;
        moved := moved - 1;
      END LOOP;
      outcomes[i] := CASE kind WHEN 'changes_all' THEN 'refused' ELSE refusal END;
      results[i] := CASE
        WHEN kind = 'changes_all' THEN
          ',"results":[' || regexp_replace(parts,
            '"status":"applied","stock":\d+,"version":\d+,"delta":-?\d+',
            '"status":"not-applied"', 'g') || ']'
        WHEN kind IN ('change', 'edit', 'delete') THEN refused
        ELSE ',"items":[' || refused || ']' END;
      CONTINUE;
    END IF;

    -- what the kinds do beside moving stock, and what they answer
    outcomes[i] := 'applied';
    IF kind = 'change' THEN
      results[i] := parts;
    ELSIF kind IN ('changes_each', 'changes_all') THEN
      results[i] := '{"results":[' || parts || ']}';
    ELSIF kind IN ('order', 'confirm') THEN
      made := nextval('orders_id_seq');
      made_orders[i] := made;
      order_totals[i] := total;
      results[i] := '{"id":' || made || ',"status":"CREATED","total":' || total || ',"items":['
                    || parts || '],"createdAt":' || now_json
                    || CASE kind WHEN 'confirm' THEN ',"reservationId":' || subject ELSE '' END
                    || '}';
    ELSIF kind = 'reserve' THEN
      made := nextval('reservations_id_seq');
      made_reservations[i] := made;
      results[i] := '{"id":' || made || ',"status":"HELD","items":[' || parts || '],"createdAt":'
                    || now_json || ',"expiresAt":'
                    || json_time(judged_at + make_interval(secs => subject)) || '}';
    ELSIF kind IN ('release', 'expire') THEN
      results[i] := '{"id":' || subject || ',"status":"'
                    || CASE kind WHEN 'release' THEN 'RELEASED' ELSE 'EXPIRED' END
                    || '","items":[' || parts || '],"createdAt":' || json_time(held_created[place])
                    || ',"expiresAt":' || json_time(held_until[place])
                    || ',"endedAt":' || now_json || '}';
    ELSIF kind = 'cancel' THEN
      UPDATE orders AS o SET status = 'CANCELLED', cancelled_at = judged_at WHERE o.id = subject;
      order_statuses[place] := 'CANCELLED';
      results[i] := order_json(subject);
    ELSIF kind = 'create' THEN
      INSERT INTO products (name, price, stock, sku)
      SELECT d.name, d.price, d.stock, d.sku
      FROM jsonb_to_record(details[i]::jsonb)
        AS d (name text, price numeric, stock bigint, sku text)
      ON CONFLICT DO NOTHING
      RETURNING * INTO product_row;
      IF FOUND THEN
        INSERT INTO stock_movements (product_id, version, delta, stock_after, kind, created_at)
        VALUES (product_row.id, product_row.version, product_row.stock, product_row.stock,
                'created', product_row.updated_at);
        made_products := made_products || product_row.id;
        results[i] := product_json(product_row);
        etags[i] := product_row.version;
      ELSE
        outcomes[i] := 'sku_taken';
      END IF;
    ELSIF kind = 'edit' THEN
      UPDATE products AS p
      SET name = coalesce(d.name, p.name), price = coalesce(d.price, p.price)
      FROM jsonb_to_record(details[i]::jsonb) AS d (name text, price numeric)
      WHERE p.id = product
      RETURNING p.* INTO product_row;
      product_row.version := versions[slot];
      product_row.stock := stocks[slot];
      product_row.reserved := reserveds[slot];
      product_row.updated_at := judged_at;
      prices[slot] := product_row.price;
      results[i] := product_json(product_row);
    ELSIF kind = 'delete' THEN
      present[slot] := NULL;
    ELSE
      RAISE EXCEPTION 'write_batch: there is no kind %', kind
        USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF kind IN ('confirm', 'release', 'expire') THEN
      held_statuses[place] := CASE kind WHEN 'confirm' THEN 'CONFIRMED'
                                        WHEN 'release' THEN 'RELEASED' ELSE 'EXPIRED' END;
      ended[i] := subject;
    END IF;
  END LOOP;

  -- movements that were taken back
  IF cardinality(moved_items) > moved THEN
    moved_items := moved_items[:moved];
    moved_commands := moved_commands[:moved];
    moved_versions := moved_versions[:moved];
    moved_stocks := moved_stocks[:moved];
    moved_deltas := moved_deltas[:moved];
    moved_prices := moved_prices[:moved];
  END IF;

  RETURN QUERY
  UPDATE products AS p
  SET version = f.version, stock = f.stock, reserved = f.reserved, updated_at = judged_at,
      deleted_at = CASE WHEN f.present IS NULL THEN judged_at END
  FROM unnest(ids, present, versions, stocks, reserveds)
    AS f (id, present, version, stock, reserved)
  WHERE p.id = f.id AND p.version <> f.version
  RETURNING p.id, p.sku, p.name, p.price, p.stock, p.reserved, p.version, p.created_at,
            p.updated_at, p.deleted_at, NULL::int, NULL::text, NULL::text, NULL::bigint,
            NULL::boolean;

  INSERT INTO stock_movements (product_id, version, delta, stock_after, kind, reason, created_at,
                               order_id, reservation_id, reserved_delta)
  SELECT item_products[m.item], m.version, m.delta, m.stock,
         CASE WHEN c.kind NOT IN ('change', 'changes_each', 'changes_all')
              THEN CASE c.kind WHEN 'edit' THEN 'edited' WHEN 'delete' THEN 'deleted'
                               ELSE c.kind END
              WHEN item_absolute[m.item] THEN 'set' ELSE 'adjust' END,
         item_reasons[m.item], judged_at,
         CASE c.kind WHEN 'cancel' THEN c.subject ELSE made_orders[m.command] END,
         CASE WHEN c.kind IN ('confirm', 'release', 'expire') THEN c.subject
              ELSE made_reservations[m.command] END,
         CASE c.kind WHEN 'reserve' THEN item_amounts[m.item]
                     WHEN 'confirm' THEN -item_amounts[m.item]
                     WHEN 'release' THEN -item_amounts[m.item]
                     WHEN 'expire' THEN -item_amounts[m.item] END
  FROM unnest(moved_items, moved_commands, moved_versions, moved_deltas, moved_stocks)
    AS m (item, command, version, delta, stock)
  CROSS JOIN LATERAL (SELECT kinds[m.command] AS kind, subjects[m.command] AS subject) AS c;

  IF made_orders IS NOT NULL THEN
    INSERT INTO orders (id, total, created_at, reservation_id) OVERRIDING SYSTEM VALUE
    SELECT o.id, o.total, judged_at, CASE o.kind WHEN 'confirm' THEN o.subject END
    FROM unnest(made_orders, order_totals, kinds, subjects) AS o (id, total, kind, subject)
    WHERE o.id IS NOT NULL;
    INSERT INTO order_items (order_id, product_id, qty, price)
    SELECT made_orders[m.command], item_products[m.item], item_amounts[m.item], m.price
    FROM unnest(moved_items, moved_commands, moved_prices) AS m (item, command, price)
    WHERE made_orders[m.command] IS NOT NULL;

    INSERT INTO reservations (id, created_at, expires_at) OVERRIDING SYSTEM VALUE
    SELECT r.id, judged_at, judged_at + make_interval(secs => r.seconds)
    FROM unnest(made_reservations, subjects) AS r (id, seconds)
    WHERE r.id IS NOT NULL;
    INSERT INTO reservation_items (reservation_id, product_id, qty)
    SELECT made_reservations[m.command], item_products[m.item], item_amounts[m.item]
    FROM unnest(moved_items, moved_commands) AS m (item, command)
    WHERE made_reservations[m.command] IS NOT NULL;

    UPDATE reservations AS r
    SET status = e.status, ended_at = judged_at, order_id = e.order_id
    FROM (SELECT e.id, e.order_id,
                 CASE e.kind WHEN 'confirm' THEN 'CONFIRMED' WHEN 'release' THEN 'RELEASED'
                             ELSE 'EXPIRED' END AS status
          FROM unnest(ended, made_orders, kinds) AS e (id, order_id, kind)) AS e
    WHERE r.id = e.id;
  END IF;

  IF array_remove(keys, NULL) <> '{}' THEN
    INSERT INTO idempotency_keys (key, fingerprint, outcome, result, version)
    SELECT k.key, k.fingerprint, k.outcome, coalesce(k.result, ''), k.version
    FROM unnest(keys, fingerprints, outcomes, results, etags, replayed)
      AS k (key, fingerprint, outcome, result, version, is_replayed)
    WHERE k.key IS NOT NULL AND NOT k.is_replayed
      AND k.outcome NOT IN ('locked', 'key_busy', 'key_reused', 'version_mismatch');
  END IF;

  IF lane IS NOT NULL THEN
    UPDATE write_lanes AS l
    SET batch = write_batch.batch, outcomes = judged.outcomes, results = judged.results,
        versions = etags, replayed = judged.replayed, changed = ids || made_products,
        updated_at = judged_at
    WHERE l.id = lane AND l.batch < write_batch.batch;
    IF NOT FOUND THEN
      RAISE EXCEPTION 'write_batch: lane % is not there, or not before batch %', lane, batch
        USING ERRCODE = 'FS001';
    END IF;
  END IF;

  -- A repeat is answered, so what its first request changed must be published before; that request
  -- may have died between its commit and its publication.
  IF true = ANY (replayed) THEN
    made_products := made_products || item_products || ARRAY(
      SELECT (r.result::json ->> 'id')::bigint
      FROM unnest(kinds, outcomes, results, replayed) AS r (kind, outcome, result, is_replayed)
      WHERE r.is_replayed AND r.kind = 'create' AND r.outcome = 'applied');
  END IF;
  IF made_products <> '{}' THEN
    RETURN QUERY
    SELECT p.id, p.sku, p.name, p.price, p.stock, p.reserved, p.version, p.created_at,
           p.updated_at, p.deleted_at, NULL::int, NULL::text, NULL::text, NULL::bigint,
           NULL::boolean
    FROM products AS p WHERE p.id = ANY (made_products);
  END IF;
  RETURN QUERY
  SELECT NULL::bigint, NULL::text, NULL::text, NULL::numeric, NULL::bigint, NULL::bigint,
         NULL::bigint, NULL::timestamptz, NULL::timestamptz, NULL::timestamptz,
         a.ord::int, a.outcome, a.result, a.etag, a.is_replayed
  FROM unnest(outcomes, results, etags, replayed) WITH ORDINALITY
    AS a (outcome, result, etag, is_replayed, ord);
END $$;

-- How a batch of a lane ended whose answer was lost, because the connection broke. It moves the
-- lane on to that batch, unless the batch has done so itself:
--
--   it can:     the batch was not made. Its transaction may still be running somewhere, on a server
--               that has lost its client or is about to end; but it moves the lane on as its last
--               step, finds that this was done, and is rolled back.
--   it cannot:  the batch was made, or an earlier call of this function has moved the lane on.
--
-- If the transaction is just committing, this waits for it, because both update one row. It gives
-- the rows that write_batch gives, of the products also those that did not change, after one with
-- ord 0: outcome `made`, or `not_made` and no other rows. No row at all: the lane is not there, or
-- ahead of the batch, so PostgreSQL has another history than this lane.
CREATE FUNCTION write_batch_end(lane bigint, batch bigint)
RETURNS TABLE (id bigint, sku text, name text, price numeric, stock bigint, reserved bigint,
               version bigint, created_at timestamptz, updated_at timestamptz,
               deleted_at timestamptz,
               ord int, outcome text, result text, etag bigint, is_replayed boolean)
LANGUAGE plpgsql
SET lock_timeout = '1000ms'
AS $$
#variable_conflict use_column
DECLARE
  kept write_lanes;
BEGIN
  UPDATE write_lanes AS l
  SET batch = write_batch_end.batch, outcomes = NULL, results = NULL, versions = NULL,
      replayed = NULL, changed = NULL, updated_at = clock_timestamp()
  WHERE l.id = lane AND l.batch < write_batch_end.batch;

  SELECT l.* INTO kept FROM write_lanes AS l WHERE l.id = lane AND l.batch = write_batch_end.batch;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  RETURN QUERY
  SELECT p.id, p.sku, p.name, p.price, p.stock, p.reserved, p.version, p.created_at, p.updated_at,
         p.deleted_at, a.ord::int, a.outcome, a.result, a.etag, a.is_replayed
  FROM (SELECT 0 AS ord, CASE WHEN kept.outcomes IS NULL THEN 'not_made' ELSE 'made' END AS outcome,
               NULL::text AS result, NULL::bigint AS etag, NULL::boolean AS is_replayed
        UNION ALL
        SELECT u.ord, u.outcome, u.result, u.etag, u.is_replayed
        FROM unnest(kept.outcomes, kept.results, kept.versions, kept.replayed) WITH ORDINALITY
          AS u (outcome, result, etag, is_replayed, ord)) AS a
  LEFT JOIN products AS p ON false;
  RETURN QUERY
  SELECT p.id, p.sku, p.name, p.price, p.stock, p.reserved, p.version, p.created_at, p.updated_at,
         p.deleted_at, NULL::int, NULL::text, NULL::text, NULL::bigint, NULL::boolean
  FROM products AS p WHERE p.id = ANY (kept.changed);
END $$;
