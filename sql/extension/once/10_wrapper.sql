-- The foreign data wrapper: the catalog of Postgres for remote servers, for `create server` and
-- `create user mapping`.

-- The owner of the schema may have created objects in it. None of them may be called here.
set local search_path = pg_catalog, pg_temp;

create foreign data wrapper ipai_odoo;

-- pgrx writes its functions without a schema.
set local search_path = ipai, pg_temp;
