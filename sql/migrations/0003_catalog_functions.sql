-- Changes of the catalogue, each with its movement in the same statement's transaction.

-- Microseconds since 1970, as the services keep times.
CREATE FUNCTION epoch_us(at timestamptz) RETURNS bigint LANGUAGE sql STABLE AS $$
  SELECT (extract(epoch FROM at) * 1000000)::bigint
$$;

CREATE FUNCTION create_product(name text, price numeric, stock bigint, reason text DEFAULT NULL)
RETURNS products LANGUAGE plpgsql AS $$
DECLARE
  product products;
BEGIN
  INSERT INTO products (name, price, stock)
  VALUES (create_product.name, create_product.price, create_product.stock)
  RETURNING * INTO product;

  INSERT INTO stock_movements (product_id, version, delta, stock_after, kind, reason, created_at)
  VALUES (product.id, product.version, product.stock, product.stock, 'created', create_product.reason, product.updated_at);
  RETURN product;
END $$;

-- NULL leaves a field as it is. No row when the product is missing or deleted.
CREATE FUNCTION edit_product(id bigint, name text DEFAULT NULL, price numeric DEFAULT NULL)
RETURNS SETOF products LANGUAGE plpgsql AS $$
DECLARE
  product products;
BEGIN
  UPDATE products p
  SET name = coalesce(edit_product.name, p.name), price = coalesce(edit_product.price, p.price),
      version = p.version + 1, updated_at = clock_timestamp()
  WHERE p.id = edit_product.id AND p.deleted_at IS NULL
  RETURNING * INTO product;
  IF NOT FOUND THEN
    RETURN;
  END IF;

  INSERT INTO stock_movements (product_id, version, delta, stock_after, kind, created_at)
  VALUES (product.id, product.version, 0, product.stock, 'edited', product.updated_at);
  RETURN NEXT product;
END $$;

-- Deletes softly: the row stays, with its last stock. No row when the product is missing or deleted already.
CREATE FUNCTION delete_product(id bigint)
RETURNS SETOF products LANGUAGE plpgsql AS $$
DECLARE
  product products;
BEGIN
  UPDATE products p
  SET version = p.version + 1, updated_at = clock_timestamp(), deleted_at = clock_timestamp()
  WHERE p.id = delete_product.id AND p.deleted_at IS NULL
  RETURNING * INTO product;
  IF NOT FOUND THEN
    RETURN;
  END IF;

  INSERT INTO stock_movements (product_id, version, delta, stock_after, kind, created_at)
  VALUES (product.id, product.version, 0, product.stock, 'deleted', product.updated_at);
  RETURN NEXT product;
END $$;
