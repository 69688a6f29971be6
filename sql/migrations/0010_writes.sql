-- What orders, reservations, a catalogue with SKUs and repeated requests need. The services of the
-- version before know none of it, and go on: they neither see the new columns nor write such rows.
-- The new constraints hold for each row that is written from now on; 0016 looks at the others.

SET LOCAL lock_timeout = '2s';

-- A product's external name, and what of it is held by reservations. `stock` is what can be had, so
-- `reserved` is no part of it.
ALTER TABLE products
  ADD COLUMN sku text,
  ADD COLUMN reserved bigint NOT NULL DEFAULT 0,
  ADD CONSTRAINT products_sku_is_shown
    CHECK (sku ~ '^[!-+\--~]([ -+\--~]{0,62}[!-+\--~])?$') NOT VALID,
  ADD CONSTRAINT products_reserved_is_shown
    CHECK (reserved BETWEEN 0 AND 9007199254740991) NOT VALID,
  ADD CONSTRAINT products_deleted_has_none_reserved
    CHECK (deleted_at IS NULL OR reserved = 0) NOT VALID;

COMMENT ON COLUMN products.sku IS
  '1 to 64 printable ASCII characters, none of them a comma, because a comma stands between SKUs '
  'in lists.';

-- A deleted product sets its SKU free.
CREATE UNIQUE INDEX products_sku ON products (sku) WHERE sku IS NOT NULL AND deleted_at IS NULL;

ALTER TABLE stock_movements
  ADD COLUMN reserved_delta bigint,  -- NULL: 0, as in most rows
  ADD COLUMN reservation_id bigint,
  DROP CONSTRAINT stock_movements_kind_check,
  ADD CONSTRAINT stock_movements_kind_check
    CHECK (kind IN ('created', 'edited', 'deleted', 'set', 'adjust', 'order', 'cancel',
                    'reserve', 'confirm', 'release', 'expire')) NOT VALID;

CREATE TABLE reservations (
  id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  status     text        NOT NULL DEFAULT 'HELD'
             CHECK (status IN ('HELD', 'CONFIRMED', 'RELEASED', 'EXPIRED')),
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  expires_at timestamptz NOT NULL,
  ended_at   timestamptz,
  order_id   bigint,
  CHECK ((status = 'HELD') = (ended_at IS NULL)),
  CHECK ((status = 'CONFIRMED') = (order_id IS NOT NULL))
);
CREATE INDEX reservations_due ON reservations (expires_at) WHERE status = 'HELD';

CREATE TABLE reservation_items (
  reservation_id bigint NOT NULL,
  product_id     bigint NOT NULL,
  qty            bigint NOT NULL CHECK (qty > 0),
  PRIMARY KEY (reservation_id, product_id)
);
COMMENT ON TABLE reservation_items IS
  'No foreign keys, as in stock_movements: write_batch holds the locks on the products anyway, and '
  'nothing removes a reservation or a product.';

ALTER TABLE orders ADD COLUMN reservation_id bigint UNIQUE;

-- For the same reason as above.
ALTER TABLE order_items
  DROP CONSTRAINT order_items_order_id_fkey,
  DROP CONSTRAINT order_items_product_id_fkey;

-- The answers that are kept for repeated requests. (No version of the services has used the table
-- of 0002.)
DROP TABLE idempotency_keys;
CREATE TABLE idempotency_keys (
  key         text        PRIMARY KEY CHECK (char_length(key) BETWEEN 1 AND 255),
  fingerprint text        NOT NULL,  -- of the request: another one under the same key is refused
  outcome     text        NOT NULL,
  result      text        NOT NULL,
  version     bigint,                -- of the product, for the ETag; NULL: none
  created_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX idempotency_keys_created_at ON idempotency_keys (created_at);  -- to clear out old ones

-- One row for each lane of each write-svc: which batch was its last, and what came of that. A batch
-- moves its lane on in its own transaction, so a lane whose connection broke can find out how its
-- batch ended (write_batch tells how). The row is updated with each batch, in place: there is room
-- for it on a page of its own, and nothing is indexed that changes.
CREATE TABLE write_lanes (
  id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  batch      bigint      NOT NULL DEFAULT 0,
  outcomes   text[],
  results    text[],
  versions   bigint[],
  replayed   boolean[],
  changed    bigint[],  -- its products
  updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 10, toast_tuple_target = 8160);
ALTER TABLE write_lanes
  ALTER COLUMN outcomes SET STORAGE EXTERNAL,
  ALTER COLUMN results SET STORAGE EXTERNAL,
  ALTER COLUMN versions SET STORAGE EXTERNAL,
  ALTER COLUMN replayed SET STORAGE EXTERNAL,
  ALTER COLUMN changed SET STORAGE EXTERNAL;
