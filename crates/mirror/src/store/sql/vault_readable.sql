-- Whether the current role may read Vault; no row without Vault. Its view must belong to a
-- superuser or to the current role.
select pg_catalog.has_schema_privilege(n.oid, 'usage') and pg_catalog.has_table_privilege(c.oid, 'select')
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_roles o on o.oid = c.relowner
join pg_catalog.pg_roles s on s.oid = n.nspowner
where n.nspname = 'vault' and c.relname = 'decrypted_secrets'
    and (o.rolsuper or o.rolname = current_user)
    and (s.rolsuper or s.rolname = current_user)
