-- What a dump of the database contains besides `create extension`.

-- The owner of the schema may have created objects in it. None of them may be called here.
set local search_path = pg_catalog, pg_temp;

-- Mirrors and runs belong to the user, so a dump includes them. The next runs restore the logins
-- and the rejects.
select pg_catalog.pg_extension_config_dump('ipai.mirrors', '');
select pg_catalog.pg_extension_config_dump('ipai.mirror_state', '');
select pg_catalog.pg_extension_config_dump('ipai.run_log', '');
select pg_catalog.pg_extension_config_dump('ipai.run_log_run_seq', '');

-- pgrx writes its functions without a schema.
set local search_path = ipai, pg_temp;
