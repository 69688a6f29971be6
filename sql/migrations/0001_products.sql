-- The catalogue and its ledger: the only truth about stock.

CREATE TABLE products (
  id         bigint        GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name       text          NOT NULL CHECK (char_length(name) BETWEEN 1 AND 200),
  price      numeric(12,2) NOT NULL CHECK (price BETWEEN 0 AND 9999999999.99),  -- numeric 'NaN' is above every number
  stock      bigint        NOT NULL CHECK (stock BETWEEN 0 AND 9007199254740991),  -- 2^53 - 1: exact in every JSON reader
  version    bigint        NOT NULL DEFAULT 1 CHECK (version >= 1),
  created_at timestamptz   NOT NULL DEFAULT clock_timestamp(),
  updated_at timestamptz   NOT NULL DEFAULT clock_timestamp(),
  deleted_at timestamptz
) WITH (fillfactor = 70);  -- room for the next row version on the same page: updates stay HOT

COMMENT ON TABLE products IS 'Deleting is soft (deleted_at), so that a version is never used twice.';
COMMENT ON COLUMN products.version IS 'Change counter: +1 with every change; each has its row in stock_movements.';

CREATE TABLE stock_movements (
  product_id  bigint      NOT NULL,
  version     bigint      NOT NULL,
  delta       bigint      NOT NULL,
  stock_after bigint      NOT NULL,
  kind        text        NOT NULL CHECK (kind IN ('created', 'edited', 'deleted', 'set', 'adjust', 'order', 'cancel')),
  reason      text,
  order_id    bigint,
  xid         xid8        NOT NULL DEFAULT pg_current_xact_id(),
  created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (product_id, version)
);

COMMENT ON TABLE stock_movements IS
  'The ledger, append-only: every change of a product, written in the transaction that makes it. Movements of stock have '
  'a delta, edits of the catalogue have delta 0. (No foreign key: its check would cost every movement a lookup, and '
  'products are never removed.)';
COMMENT ON COLUMN stock_movements.xid IS 'The writing transaction: who follows the ledger reads it in order of commit by this.';

CREATE INDEX stock_movements_xid ON stock_movements (xid);
CREATE INDEX stock_movements_catalog_xid ON stock_movements (xid) WHERE kind IN ('created', 'deleted');

CREATE FUNCTION refuse_statement() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% on % is not allowed: %', TG_OP, TG_TABLE_NAME, TG_ARGV[0] USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON stock_movements
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_statement('the ledger is append-only');
CREATE TRIGGER keep_rows BEFORE DELETE OR TRUNCATE ON products
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_statement('delete softly with delete_product(id)');
