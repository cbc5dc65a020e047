-- Whether ipai.relate_mirrors() has made functions for the table $1.$2.
select exists (select 1 from ipai.related_functions(c.oid::regclass))
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where n.nspname = $1 and c.relname = $2
