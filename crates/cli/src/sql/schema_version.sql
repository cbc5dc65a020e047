-- The version of what `ipai-sync init` created.

set local search_path = pg_catalog, pg_temp;

create or replace function ipai.schema_version() returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$ select '{version}'::text $$;
comment on function ipai.schema_version() is
    'The version of ipai_sync whose tables and views ipai-sync init created in this database.';
revoke all on function ipai.schema_version() from public;
