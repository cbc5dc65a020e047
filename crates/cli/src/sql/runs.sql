select r.run, r.mirror, r.mode, r.state, date_trunc('second', r.started_at) as started_at,
    date_trunc('second', r.finished_at) as finished_at, r.fetched, r.inserted, r.updated,
    r.deleted, r.odoo_count - r.mirror_count as delta, r.sqlstate, r.message as error
from ipai.sync_runs r
where $1::text is null or r.mirror = $1
order by r.run desc
limit $2
