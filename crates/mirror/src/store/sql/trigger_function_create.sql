create function {name} returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as 'begin new.updated_at := now(); return new; end'
