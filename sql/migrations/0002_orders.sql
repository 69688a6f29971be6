-- Orders over several products, and the answers kept for repeated requests.

CREATE TABLE orders (
  id           bigint        GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  status       text          NOT NULL DEFAULT 'CREATED' CHECK (status IN ('CREATED', 'CANCELLED')),
  total        numeric(20,2) NOT NULL CHECK (total >= 0),
  created_at   timestamptz   NOT NULL DEFAULT clock_timestamp(),
  cancelled_at timestamptz,
  CHECK ((status = 'CANCELLED') = (cancelled_at IS NOT NULL))
);

CREATE TABLE order_items (
  order_id   bigint        NOT NULL REFERENCES orders,
  product_id bigint        NOT NULL REFERENCES products,
  qty        bigint        NOT NULL CHECK (qty > 0),
  price      numeric(12,2) NOT NULL CHECK (price >= 0),  -- of one unit, at the time of the order
  PRIMARY KEY (order_id, product_id)
);

CREATE TABLE idempotency_keys (
  key         text        PRIMARY KEY CHECK (char_length(key) BETWEEN 1 AND 255),
  fingerprint bytea       NOT NULL,  -- of the request: another one under the same key is refused
  status      int         NOT NULL,
  response    text        NOT NULL,
  created_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX idempotency_keys_created_at ON idempotency_keys (created_at);  -- to clear out old ones
