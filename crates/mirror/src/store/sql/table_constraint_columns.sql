-- The columns of the constraint or index $2 of the table $1, also those in its expressions.
select distinct a.attname::text
from pg_catalog.pg_depend d
join pg_catalog.pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
where d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.refobjid = $1::oid and d.refobjsubid > 0
    and (d.classid, d.objid) in (
        select k.tableoid, k.oid
        from pg_catalog.pg_constraint k
        where k.conrelid = $1::oid and k.conname = $2
        union all
        select c.tableoid, c.oid
        from pg_catalog.pg_index i
        join pg_catalog.pg_class c on c.oid = i.indexrelid
        where i.indrelid = $1::oid and c.relname = $2)
