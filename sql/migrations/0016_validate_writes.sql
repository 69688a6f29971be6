-- The rows that were there before 0010 hold to its constraints too, because the columns are new, or
-- allowed less before. Reading them all keeps no request waiting.

ALTER TABLE products VALIDATE CONSTRAINT products_sku_is_shown;
ALTER TABLE products VALIDATE CONSTRAINT products_reserved_is_shown;
ALTER TABLE products VALIDATE CONSTRAINT products_deleted_has_none_reserved;
ALTER TABLE stock_movements VALIDATE CONSTRAINT stock_movements_kind_check;
