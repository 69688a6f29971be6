-- Nobody waits for a row that somebody else holds after whoever asked has given up (write-svc does within 2 s): a change that
-- is made after all would be one that nobody expects. And a backend whose client has gone ends its statement, instead of
-- keeping its connection from others. Long enough for a commit on a disk that stalls.

ALTER FUNCTION apply_stock_changes(bigint[], bigint[], boolean[], bigint[], text[]) SET lock_timeout = '1500ms';
ALTER FUNCTION edit_product(bigint, text, numeric) SET lock_timeout = '1500ms';
ALTER FUNCTION delete_product(bigint) SET lock_timeout = '1500ms';

DO $$
BEGIN
  EXECUTE format('ALTER DATABASE %I SET client_connection_check_interval = %L', current_database(), '500ms');
EXCEPTION
  WHEN insufficient_privilege THEN
    RAISE WARNING 'client_connection_check_interval is not set: % does not own the database', current_user;
  WHEN invalid_parameter_value THEN
    RAISE WARNING 'client_connection_check_interval is not set: this server cannot notice a client that is gone';
END $$;
