-- The columns of the table $1.$2 that mirrors into it define, or $3, that are not among $4, and for
-- whose nulls a policy shows a row: rows without an owner are visible to all users.
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
    and (a.attname = any ($3::text[])
        or exists (
            select 1
            from ipai.mirrors m
            where m.target_schema = $1 and m.target_table = $2
                and (m.constants ? a.attname::text
                     or m.fields @> pg_catalog.jsonb_build_array(
                         pg_catalog.jsonb_build_object('column', a.attname)))))
order by a.attnum
limit 1
