-- Deletes runs that ended longer than keep_runs ago, except for the last run of each kind that
-- later runs and views look at.
delete from ipai.run_log r
where r.mirror = $1
    and coalesce(r.finished_at, r.started_at)
        < pg_catalog.clock_timestamp() - (select m.keep_runs from ipai.mirrors m where m.name = $1)
    and r.run < (select max(l.run) from ipai.run_log l where l.mirror = $1)
    and r.run is distinct from
        (select max(l.run) from ipai.run_log l where l.mirror = $1 and l.odoo_count is not null)
    and r.run is distinct from
        (select max(l.run) from ipai.run_log l where l.mirror = $1 and l.flags is not null)
    and r.run is distinct from
        (select max(l.run) from ipai.run_log l where l.mirror = $1 and l.complete and l.state = 'succeeded')
    and r.run is distinct from
        (select max(l.run) from ipai.run_log l where l.mirror = $1 and l.mode = 'full' and l.complete)
