-- Nobody waits long for a row that somebody else holds: whoever asked gives up (write-svc within 2 s, half of which may pass
-- before there is a connection), and a change that is made after all would be one that nobody expects. And a backend whose
-- client has gone ends its statement, instead of keeping its connection from others.

ALTER FUNCTION apply_stock_changes(bigint[], bigint[], boolean[], bigint[], text[]) SET lock_timeout = '500ms';
ALTER FUNCTION edit_product(bigint, text, numeric) SET lock_timeout = '500ms';
ALTER FUNCTION delete_product(bigint) SET lock_timeout = '500ms';

DO $$
BEGIN
  EXECUTE format('ALTER DATABASE %I SET client_connection_check_interval = %L', current_database(), '500ms');
EXCEPTION
  WHEN insufficient_privilege THEN
    RAISE WARNING 'client_connection_check_interval is not set: % does not own the database', current_user;
  WHEN invalid_parameter_value THEN
    RAISE WARNING 'client_connection_check_interval is not set: this server cannot notice a client that is gone';
END $$;
