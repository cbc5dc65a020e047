-- Whether a row of the table $1 can be deleted and inserted again without an effect of its own, and
-- the columns that it has beside the key and $2: they keep their values, except for generated ones
-- and `updated_at`, which gets its default.
select not exists (
        select 1
        from pg_catalog.pg_constraint k
        where k.confrelid = t.oid and k.contype = 'f' and k.confdeltype <> 'a')
    and not exists (
        select 1
        from pg_catalog.pg_trigger g
        where g.tgrelid = t.oid and not g.tgisinternal and g.tgenabled <> 'D' and g.tgtype & 8 <> 0),
    array(
        select a.attname::text
        from pg_catalog.pg_attribute a
        where a.attrelid = t.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
            and a.attname <> 'updated_at' and a.attname <> all ($2::text[])
        order by a.attnum)
from pg_catalog.pg_class t
where t.oid = $1::oid
