-- The figures of the mirrors for Prometheus: name, help, labels and their values, value. They are
-- those of monitoring/sql_exporter.yml, after prometheus.yml has renamed them.
with last_runs as (
    select s.mirror, r.*
    from ipai.sync_status s
    cross join lateral (
        select r.run as number, extract(epoch from r.finished_at - r.started_at)::float8 as seconds,
            r.seconds_waiting, r.seconds_writing, r.fetched, r.inserted, r.updated, r.unchanged, r.deleted
        from ipai.sync_runs r
        where r.mirror = s.mirror and r.finished_at is not null
        order by r.run desc
        limit 1) r),
figures as (
    select 'ipai_alert' as name, '1 for each health alert: a row of ipai.sync_alerts.' as help,
        array['mirror', a.mirror, 'kind', a.kind, 'severity', a.severity::text] as labels, 1::float8 as value
    from ipai.sync_alerts a
    union all
    select 'ipai_mirror_state', '1 for each mirror, with its state.',
        array['mirror', s.mirror, 'server', coalesce(s.server, ''), 'model', s.model, 'state', s.state], 1
    from ipai.sync_status s
    union all
    select 'ipai_mirror_' || f.figure, 'Figure of a mirror; see docs/how-to/monitoring.md.',
        array['mirror', s.mirror], f.value
    from ipai.sync_status s
    join ipai.sync_count_delta c on c.mirror = s.mirror
    cross join lateral (values
        ('last_success_timestamp_seconds', extract(epoch from s.last_success)::float8),
        ('next_due_timestamp_seconds', extract(epoch from s.next_due)::float8),
        ('last_poll_timestamp_seconds', extract(epoch from s.last_poll)::float8),
        ('latency_seconds', extract(epoch from s.latency)::float8),
        ('counted_timestamp_seconds', extract(epoch from c.checked_at)::float8),
        ('failures', s.failures),
        ('rejects', s.rejects),
        ('rows', s.rows),
        ('odoo_records', c.odoo_total),
        ('delta', s.delta)) f (figure, value)
    where f.value is not null
    union all
    select 'ipai_last_run_' || f.figure, 'Figure of the last run of a mirror that has ended.',
        array['mirror', r.mirror], f.value
    from last_runs r
    cross join lateral (values
        ('number', r.number),
        ('seconds', r.seconds),
        ('odoo_seconds', r.seconds_waiting),
        ('database_seconds', r.seconds_writing),
        ('fetched', r.fetched),
        ('inserted', r.inserted),
        ('updated', r.updated),
        ('unchanged', r.unchanged),
        ('deleted', r.deleted)) f (figure, value)
    where f.value is not null)
select f.name, f.help, f.labels, f.value
from figures f
order by f.name, f.labels
