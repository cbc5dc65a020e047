-- The columns in $2 that the table lacks, in the order of $2.
select w.name
from unnest($2::text[]) with ordinality as w (name, place)
where not exists (
    select 1
    from pg_catalog.pg_attribute a
    where a.attrelid = $1::oid and a.attname = w.name and a.attnum > 0 and not a.attisdropped)
order by w.place
