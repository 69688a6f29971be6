-- Do the rows that were there before 0007 hold to its constraints too? Reading them all keeps
-- nobody waiting. A row that does not is named and left as it is, because only its owner knows what
-- it should hold. Until it is mended, the services answer an error for that one product.

DO $$
DECLARE
  found     record;
  offenders text;
BEGIN
  FOR found IN
    SELECT conrelid::regclass AS tbl, conname AS name, pg_get_expr(conbin, conrelid) AS rule,
           CASE conrelid WHEN 'products'::regclass THEN 'id::text'
                         ELSE $key$ product_id || ' version ' || version $key$ END AS key
    FROM pg_constraint
    WHERE conrelid IN ('products'::regclass, 'stock_movements'::regclass) AND NOT convalidated
  LOOP
    BEGIN
      EXECUTE format('ALTER TABLE %s VALIDATE CONSTRAINT %I', found.tbl, found.name);
    EXCEPTION WHEN check_violation THEN
      EXECUTE format('SELECT string_agg(key, %L)'
                     ' FROM (SELECT %s AS key FROM %s WHERE NOT (%s) LIMIT 20) AS o',
                     ', ', found.key, found.tbl, found.rule) INTO offenders;
      RAISE WARNING USING MESSAGE = format(
        '%s has rows that cannot be shown (at most 20 are listed): %s; mend them, then run '
        'ALTER TABLE %s VALIDATE CONSTRAINT %I', found.tbl, offenders, found.tbl, found.name);
    END;
  END LOOP;
END $$;
