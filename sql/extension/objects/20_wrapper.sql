-- The validator of the foreign data wrapper.

-- The owner of the schema may have created objects in it. None of them may be called here.
set local search_path = pg_catalog, pg_temp;

alter foreign data wrapper ipai_odoo validator ipai.ipai_odoo_validator;
comment on foreign data wrapper ipai_odoo is
    'Odoo databases of ipai_sync. Servers have the options url and dbname, user mappings have user '
    'and password_secret (or password).';

-- pgrx writes its functions without a schema.
set local search_path = ipai, pg_temp;
