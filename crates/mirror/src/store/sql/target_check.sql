-- What a run needs of the table $1.$2: the columns of $3 and the privileges of $4 that it lacks,
-- whether row-level security hides rows, the deferrable constraint on the key columns $5, whether a
-- usable unique index is on exactly these, the type of odoo_id, the encoding of the database, and
-- whether the table has partitions.
with keys as materialized (
    select i.indrelid, c.conname::text as deferrable
    from pg_catalog.pg_index i
    left join pg_catalog.pg_constraint c on c.conindid = i.indexrelid and not i.indimmediate
    where i.indisunique and i.indisvalid and i.indpred is null and i.indexprs is null
        and i.indrelid = (
            select t.oid
            from pg_catalog.pg_class t
            join pg_catalog.pg_namespace n on n.oid = t.relnamespace
            where n.nspname = $1 and t.relname = $2)
        and (
            select pg_catalog.array_agg(a.attname::text order by a.attname::text collate "C")
            from pg_catalog.pg_attribute a
            where a.attrelid = i.indrelid and a.attnum = any (i.indkey[0:i.indnkeyatts - 1]))
        = (select pg_catalog.array_agg(k order by k collate "C") from unnest($5::text[]) as k))
select
    array(
        select w.name
        from unnest($3::text[]) with ordinality as w (name, place)
        where not exists (
            select 1
            from pg_catalog.pg_attribute a
            where a.attrelid = t.oid and a.attname = w.name and a.attnum > 0 and not a.attisdropped)
        order by w.place),
    array(
        select p.privilege
        from pg_catalog.string_to_table($4, ', ') as p (privilege)
        where not pg_catalog.has_table_privilege(t.oid, p.privilege)),
    pg_catalog.row_security_active(t.oid),
    (select min(k.deferrable) from keys k),
    exists (select 1 from keys k),
    (select pg_catalog.format_type(a.atttypid, a.atttypmod)
     from pg_catalog.pg_attribute a
     where a.attrelid = t.oid and a.attname = 'odoo_id' and not a.attisdropped),
    pg_catalog.getdatabaseencoding()::text,
    t.relkind = 'p'
from pg_catalog.pg_class t
join pg_catalog.pg_namespace n on n.oid = t.relnamespace
where n.nspname = $1 and t.relname = $2 and t.relkind in ('r', 'p')
