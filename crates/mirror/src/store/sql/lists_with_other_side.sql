-- Lists of ids of the mirror $1 that other mirrors hold from the other side, if runs have changed
-- those since the last complete run of $1. The result has the column of the list, the other mirror,
-- the oid of its table, the column of its list, the time since when its rows have changed, and
-- whether rows that it no longer has are missing in Odoo. Tables that this role cannot read are
-- left out, and those with code that it does not trust: to plan a query, Postgres executes
-- functions of indexes.
select f.list, r.name, c.oid::bigint, g.list, l.since, l.deletes and r.domain = '[]'
from ipai.mirrors m
join ipai.mirror_objects n on n.mirror = m.name
cross join lateral (
    select l.run, l.started_at
    from ipai.run_log l
    where l.mirror = m.name and l.complete and l.state = 'succeeded' and l.mode <> 'since'
    order by l.run desc
    limit 1) p
cross join lateral (
    select x ->> 'field', x ->> 'column'
    from jsonb_array_elements(m.fields) x
    where x ->> 'type' = 'bigint[]' and not m.masks ? (x ->> 'field')) f (field, list)
join ipai.mirrors r on r.model = m.relations ->> f.field
join ipai.mirror_objects o on o.mirror = r.name and o.server is not distinct from n.server
cross join lateral (
    select x ->> 'column'
    from jsonb_array_elements(r.fields) x
    where x ->> 'type' = 'bigint[]' and not r.masks ? (x ->> 'field')
        and r.relations ->> (x ->> 'field') = m.model) g (list)
cross join lateral (
    -- Two runs of a mirror do not overlap, so only the last run before this number may have ended
    -- after that run of $1 began. A change becomes visible some time after its run has ended, and
    -- its transaction may begin before the row of its run.
    select min(l.started_at) - interval '1 minute', bool_or(l.deleted > 0)
    from ipai.run_log l
    where l.mirror = r.name
        and l.run >= coalesce((select max(b.run) from ipai.run_log b where b.mirror = r.name and b.run < p.run), 0)
        and greatest(l.inserted, l.updated, l.deleted) > 0
        and coalesce(l.finished_at, 'infinity') >= p.started_at - interval '1 minute') l (since, deletes)
join pg_catalog.pg_class c on c.oid = o.relation and c.relkind in ('r', 'p')
join pg_catalog.pg_namespace s on s.oid = c.relnamespace
where m.name = $1 and l.since is not null
    and (s.nspname, c.relname) = (r.target_schema, r.target_table)
    and o.owner = c.relowner
    and not exists (select 1 from ipai.untrusted_code(c.oid::regclass))
    and pg_catalog.has_table_privilege(c.oid, 'select')
    and not pg_catalog.row_security_active(c.oid)
    and exists (
        select 1
        from pg_catalog.pg_attribute a
        where a.attrelid = c.oid and a.attname = 'updated_at' and not a.attisdropped
            and a.atttypid = 'timestamptz'::regtype)
