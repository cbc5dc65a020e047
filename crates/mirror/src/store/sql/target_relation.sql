-- The relation $1.$2, and whether it is a table that can hold a mirror.
select c.oid::bigint, c.relkind in ('r', 'p') and not c.relispartition
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where n.nspname = $1 and c.relname = $2
