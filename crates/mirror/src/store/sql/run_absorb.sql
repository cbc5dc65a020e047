-- Merges the last runs of a follower that began within the same minute into its run $1 of mirror
-- $2: a mirror that changes each second would fill the log.
with earlier as (
    delete from ipai.run_log e
    using ipai.run_log r
    where r.run = $1 and r.mirror = $2
        and e.mirror = $2 and e.run < $1 and e.mode = 'live' and e.state = 'succeeded'
        and e.started_at >= pg_catalog.date_trunc('minute', r.started_at)
    returning e.*),
sums as (
    select sum(e.pages)::bigint as pages, sum(e.fetched)::bigint as fetched,
        sum(e.inserted)::bigint as inserted, sum(e.updated)::bigint as updated,
        sum(e.unchanged)::bigint as unchanged, sum(e.deleted)::bigint as deleted,
        sum(e.seconds_waiting) as waiting, sum(e.seconds_writing) as writing
    from earlier e
    having count(*) > 0)
update ipai.run_log r
set pages = r.pages + s.pages, fetched = r.fetched + s.fetched, inserted = r.inserted + s.inserted,
    updated = r.updated + s.updated, unchanged = r.unchanged + s.unchanged,
    deleted = r.deleted + s.deleted, seconds_waiting = r.seconds_waiting + s.waiting,
    seconds_writing = r.seconds_writing + s.writing
from sums s
where r.run = $1
