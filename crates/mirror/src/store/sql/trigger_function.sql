-- Whether the trigger function $1.$2() may be used: it belongs to the current role or a superuser,
-- and is harmless.
select (p.proowner = (select r.oid from pg_catalog.pg_roles r where r.rolname = current_user) or o.rolsuper)
    and p.prorettype = 'pg_catalog.trigger'::pg_catalog.regtype
    and not p.prosecdef
    and pg_catalog.has_function_privilege(p.oid, 'execute')
from pg_catalog.pg_proc p
join pg_catalog.pg_namespace n on n.oid = p.pronamespace
join pg_catalog.pg_roles o on o.oid = p.proowner
where n.nspname = $1 and p.proname = $2 and p.pronargs = 0
