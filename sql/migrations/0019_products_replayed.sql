-- Products of a standby, and whether it had replayed the WAL up to a position before they were
-- read. One statement cannot tell both: it takes its snapshot first and looks at the position
-- later, so a row could lack a commit that the position is behind. A volatile function takes a new
-- snapshot for each of its statements, so here the position is looked at first.
--
-- At least one row, of which only `has_replayed` is set when there is no product.
CREATE FUNCTION products_replayed(ids bigint[], until pg_lsn)
RETURNS TABLE (id bigint, sku text, name text, price numeric, stock bigint, reserved bigint,
               version bigint, created_at timestamptz, updated_at timestamptz,
               deleted_at timestamptz, has_replayed boolean)
LANGUAGE plpgsql VOLATILE
AS $$
#variable_conflict use_column
DECLARE
  is_there boolean := NOT pg_is_in_recovery() OR pg_last_wal_replay_lsn() >= until;
BEGIN
  RETURN QUERY
  SELECT p.id, p.sku, p.name, p.price, p.stock, p.reserved, p.version, p.created_at, p.updated_at,
         p.deleted_at, is_there
  FROM (SELECT 1) AS mark LEFT JOIN products AS p ON p.id = ANY (ids) ORDER BY p.id;
END $$;
