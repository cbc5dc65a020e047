-- A column of the table $1.$2 that is not among $4, and for whose nulls a policy shows a row: rows
-- without an owner are visible to all users. Mirrors into the table define it, or it is one of $3
-- and the table does not fill it by a default or a trigger.
select a.attname::text
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where n.nspname = $1 and c.relname = $2
    and a.attname <> all ($4::text[])
    and exists (
        select 1
        from pg_catalog.pg_policy p
        where p.polrelid = c.oid and p.polpermissive and p.polcmd in ('r', '*')
            and pg_catalog.strpos(
                pg_catalog.pg_get_expr(p.polqual, p.polrelid),
                pg_catalog.format('(%I IS NULL)', a.attname)) > 0)
    and (a.attname = any ($3::text[]) and not a.atthasdef
            and not exists (
                select 1
                from pg_catalog.pg_trigger g
                -- Before an insert of a row.
                where g.tgrelid = c.oid and g.tgenabled <> 'D' and g.tgtype & 7 = 7)
        or exists (
            select 1
            from ipai.mirrors m
            where m.target_schema = $1 and m.target_table = $2
                and (m.constants ? a.attname::text
                     or m.fields @> pg_catalog.jsonb_build_array(
                         pg_catalog.jsonb_build_object('column', a.attname)))))
order by a.attnum
limit 1
