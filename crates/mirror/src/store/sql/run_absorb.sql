-- Completes the run $1 of a follower for mirror $2, and merges its last run into it if that is of
-- the same minute: a mirror that changes each second would fill the log. The deletions of one row
-- in the log must not look like those of a run with a higher limit, which raise no alert, so
-- together they are at most as many as any run may delete. Odoo stamps a change when its
-- transaction begins, and shows whole seconds.
with earlier as (
    delete from ipai.run_log e
    using ipai.run_log r
    where r.run = $1 and r.mirror = $2 and r.mode = 'live'
        and e.run = (
            select l.run
            from ipai.run_log l
            where l.mirror = $2 and l.run < $1 and l.mode = 'live' and l.state = 'succeeded'
            order by l.run desc
            limit 1)
        and e.deleted + r.deleted <= 100
        and e.started_at >= pg_catalog.date_trunc('minute', r.started_at)
    returning e.*),
sums as (
    select coalesce(sum(e.pages), 0)::bigint as pages, coalesce(sum(e.fetched), 0)::bigint as fetched,
        coalesce(sum(e.inserted), 0)::bigint as inserted, coalesce(sum(e.updated), 0)::bigint as updated,
        coalesce(sum(e.unchanged), 0)::bigint as unchanged, coalesce(sum(e.deleted), 0)::bigint as deleted,
        coalesce(sum(e.seconds_waiting), 0) as waiting, coalesce(sum(e.seconds_writing), 0) as writing,
        (array_agg(e.latency order by e.run desc) filter (where e.latency is not null))[1] as latency
    from earlier e)
update ipai.run_log r
set pages = r.pages + s.pages, fetched = r.fetched + s.fetched, inserted = r.inserted + s.inserted,
    updated = r.updated + s.updated, unchanged = r.unchanged + s.unchanged,
    deleted = r.deleted + s.deleted, seconds_waiting = r.seconds_waiting + s.waiting,
    seconds_writing = r.seconds_writing + s.writing,
    latency = case
        when r.newest > coalesce(r.cursor_before, '-infinity')
            then greatest(r.odoo_clock - r.newest, interval '0') + greatest(r.finished_at - r.started_at, interval '0')
        else s.latency
    end
from sums s
where r.run = $1
