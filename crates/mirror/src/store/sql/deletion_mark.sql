-- The type of the column `deleted_at` of the table $1.$2, and the tables, it and its partitions,
-- whose policy $3 does not hide marked rows. A query may name a partition.
select (
        select pg_catalog.format_type(a.atttypid, a.atttypmod)
        from pg_catalog.pg_attribute a
        where a.attrelid = t.oid and a.attname = 'deleted_at' and not a.attisdropped),
    array(
        select pg_catalog.format('%I.%I', s.nspname, c.relname)
        from pg_catalog.pg_class c
        join pg_catalog.pg_namespace s on s.oid = c.relnamespace
        where (c.oid = t.oid or c.oid in (select r.relid from pg_catalog.pg_partition_tree(t.oid) r))
            and not exists (select 1 from pg_catalog.pg_policy p where p.polrelid = c.oid and p.polname = $3
                              and not p.polpermissive and p.polcmd = 'r' and p.polroles = '{0}'
                              and pg_catalog.pg_get_expr(p.polqual, p.polrelid) = '(deleted_at IS NULL)'))
from pg_catalog.pg_class t
join pg_catalog.pg_namespace n on n.oid = t.relnamespace
where n.nspname = $1 and t.relname = $2
