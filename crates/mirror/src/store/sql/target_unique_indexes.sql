-- The usable unique indexes on exactly the columns $2: the name of the constraint if it is
-- deferrable, else null.
select (
    select c.conname::text
    from pg_catalog.pg_constraint c
    where c.conindid = i.indexrelid and not i.indimmediate
    limit 1)
from pg_catalog.pg_index i
where i.indrelid = $1::oid and i.indisunique and i.indisvalid and i.indpred is null and i.indexprs is null
    and (
        select pg_catalog.array_agg(a.attname::text order by a.attname::text collate "C")
        from pg_catalog.pg_attribute a
        where a.attrelid = i.indrelid and a.attnum = any (i.indkey[0:i.indnkeyatts - 1]))
    = (select pg_catalog.array_agg(k order by k collate "C") from unnest($2::text[]) as k)
