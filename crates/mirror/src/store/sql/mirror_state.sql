-- The state of a mirror before a run. The cursor holds only for the definition ($2) that it was
-- reached with.
select case when m.shape = $2 then m.cursor end,
    extract(epoch from m.overlap)::float8,
    extract(epoch from m.reconcile_every)::float8,
    (select r.finished_at
     from ipai.run_log r
     where r.mirror = m.name and r.mode = 'full' and r.complete
     order by r.run desc
     limit 1),
    m.settled_id
from ipai.mirrors m
where m.name = $1
