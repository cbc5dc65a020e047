-- Postgres's own catalog of remote servers: create server, create user mapping.

create foreign data wrapper ipai_odoo validator ipai.ipai_odoo_validator;
comment on foreign data wrapper ipai_odoo is 'Odoo databases, for ipai_sync. Servers hold url and dbname, user mappings user and password_secret (or password).';
