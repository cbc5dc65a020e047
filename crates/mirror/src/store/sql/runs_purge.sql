-- Deletes runs that ended more than $2 days ago, except for the last run of each kind that later
-- runs and views look at.
delete from ipai.run_log r
where r.mirror = $1
    and coalesce(r.finished_at, r.started_at)
        < pg_catalog.clock_timestamp() - pg_catalog.make_interval(days => $2)
    and r.run < (select max(l.run) from ipai.run_log l where l.mirror = $1)
    and r.run is distinct from
        (select max(l.run) from ipai.run_log l where l.mirror = $1 and l.odoo_count is not null)
    and r.run is distinct from (select max(l.run) from ipai.run_log l where l.mirror = $1 and l.complete)
    and r.run is distinct from
        (select max(l.run) from ipai.run_log l where l.mirror = $1 and l.mode = 'full' and l.complete)
