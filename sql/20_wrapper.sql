-- Postgres's own catalog of remote servers: create server, create user mapping.

-- Nothing of the schema that the extension goes into may be called while it is created: its owner may have planted it.
set local search_path = pg_catalog, pg_temp;

create foreign data wrapper ipai_odoo validator ipai.ipai_odoo_validator;
comment on foreign data wrapper ipai_odoo is 'Odoo databases, for ipai_sync. Servers hold url and dbname, user mappings user and password_secret (or password).';

-- pgrx writes its functions without a schema.
set local search_path = ipai, pg_temp;
