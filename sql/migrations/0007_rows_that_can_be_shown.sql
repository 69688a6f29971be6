-- What the services cannot show must not get in, because a row that cannot be shown is one that
-- nobody can read. RFC 3339 has the years 1 to 9999 and no infinity; JSON readers are exact up to
-- 2^53 - 1; and the key of product 0 in Redis holds something else (common/products/cache.h).
-- (Names and prices need nothing new: text has no NUL, and 0001 bounds them both.)
--
-- Holds for each row that is written from now on; 0008 looks at those that are there. Adding the
-- constraints waits for every transaction that uses the tables, and whatever comes later waits
-- behind it: so for no longer than a request may last. Then run it again, e.g. after a dump.

SET LOCAL lock_timeout = '2s';

ALTER TABLE products
  ADD CONSTRAINT products_id_is_shown CHECK (id >= 1) NOT VALID,
  ADD CONSTRAINT products_version_is_shown CHECK (version <= 9007199254740991) NOT VALID,
  ADD CONSTRAINT products_times_are_shown CHECK (
    created_at >= '0001-01-01Z' AND created_at < '10000-01-01Z'
    AND updated_at >= '0001-01-01Z' AND updated_at < '10000-01-01Z'
    AND deleted_at >= '0001-01-01Z' AND deleted_at < '10000-01-01Z') NOT VALID;

ALTER TABLE stock_movements
  ADD CONSTRAINT stock_movements_ids_are_shown
    CHECK (product_id >= 1 AND version BETWEEN 1 AND 9007199254740991) NOT VALID,
  ADD CONSTRAINT stock_movements_stock_is_shown
    CHECK (stock_after BETWEEN 0 AND 9007199254740991
           AND delta BETWEEN -9007199254740991 AND 9007199254740991) NOT VALID,
  ADD CONSTRAINT stock_movements_time_is_shown
    CHECK (created_at >= '0001-01-01Z' AND created_at < '10000-01-01Z') NOT VALID;
