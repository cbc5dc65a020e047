-- What earlier runs left about a mirror with the definition $2. The cursor holds only for the
-- definition that it was reached with. The last scheduled run may be resumed if it had this
-- definition, and has not read everything, as a refused run has.
select f.fingerprint,
    s.filled_as, s.filled_from, s.filled_company,
    case when s.fingerprint = f.fingerprint then s.cursor end,
    s.settled_id,
    extract(epoch from m.overlap)::float8,
    extract(epoch from m.reconcile_every)::float8,
    (select r.finished_at
     from ipai.run_log r
     where r.mirror = m.name and r.mode = 'full' and r.complete
     order by r.run desc
     limit 1),
    u.run, u.mode, u.bound, u.position, u.odoo_clock, u.newest,
    -- Whether these flags ($3) were counted after the last change of a row. A run that was in
    -- progress then may have changed rows afterwards.
    c.run is not null and not exists (
        select 1
        from ipai.run_log r
        where r.mirror = m.name
            and greatest(r.inserted, r.updated, r.deleted) > 0
            and (r.run > c.run
                 or r.run <> c.run and coalesce(r.finished_at, 'infinity') > c.finished_at)),
    coalesce(s.safe_page_size, 0),
    coalesce(s.fingerprint = f.fingerprint, false),
    case when s.fingerprint = f.fingerprint then s.token end,
    u.token
from ipai.mirrors m
left join ipai.mirror_state s on s.mirror = m.name
left join lateral (
    select r.run, r.finished_at, r.flags
    from ipai.run_log r
    where r.mirror = m.name and r.flags is not null
    order by r.run desc
    limit 1) c on c.flags = $3::text[]
cross join (
    select pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to($2, 'UTF8')), 'hex') as fingerprint) f
left join lateral (
    select *
    from ipai.run_log r
    where r.mirror = m.name
        and r.mode in ('full', 'incremental', 'reconcile')
        and (r.state <> 'succeeded' or r.complete)
    order by r.run desc
    limit 1) u on not u.complete and u.state <> 'refused' and u.fingerprint = f.fingerprint
where m.name = $1
