-- Drops the functions for the table $1.$2 that relate mirrors or fields that no longer exist.
select ipai.drop_relations(c.oid::regclass)
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where n.nspname = $1 and c.relname = $2
