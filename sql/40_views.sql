-- What people look at. All of it is read from stored rows: it answers at once, and also when Odoo is down.

-- Nothing of the schema that the extension goes into may be called while it is created: its owner may have planted it.
set local search_path = pg_catalog, pg_temp;

create view ipai.sync_runs with (security_invoker = on) as
select r.run, r.mirror, r.mode,
       case
           -- Only its own run changes a row, so a run that was killed says "running" for ever. The lock tells.
           -- Only the newest run of a mirror can hold it.
           when r.state = 'running' and (exists (
               select from ipai.run_log n where n.mirror = r.mirror and n.run > r.run and n.mode in ('full', 'incremental', 'reconcile'))
             or not exists (
               select from pg_catalog.pg_locks l
               where l.locktype = 'advisory' and l.granted and l.pid = r.pid
                 and l.database = (select d.oid from pg_catalog.pg_database d where d.datname = current_database())
                 and l.classid::bigint = pg_catalog.hashtext('ipai_sync')::bigint & 4294967295
                 and l.objid::bigint = pg_catalog.hashtext(r.mirror)::bigint & 4294967295
                 and l.objsubid = 2))
               then 'dead'
           else r.state
       end as state,
       r.started_at, r.finished_at, r.pid, r.resumes, r.bound, r.position, r.odoo_clock, r.newest, r.cursor_before, r.cursor_after,
       r.pages, r.fetched, r.total, r.inserted, r.updated, r.unchanged, r.deleted, r.odoo_count, r.mirror_count,
       r.seconds_waiting, r.seconds_writing, r.sqlstate, r.message, r.detail, r.hint
from ipai.run_log r
where r.mode <> 'counts';
comment on view ipai.sync_runs is 'One row a run. A run that was killed is shown as dead; the next one goes on from its position.';
comment on column ipai.sync_runs.run is 'Number of the run.';
comment on column ipai.sync_runs.mirror is 'Name of the mirror.';
comment on column ipai.sync_runs.mode is 'full: every record was read; incremental: those written since the cursor; reconcile: the same, and all ids compared; since: those written since a moment; counts: only counted.';
comment on column ipai.sync_runs.state is 'running, succeeded, failed, cancelled, refused (a deletion was over the limit), or dead (it was killed).';
comment on column ipai.sync_runs.started_at is 'When it began.';
comment on column ipai.sync_runs.finished_at is 'When it ended.';
comment on column ipai.sync_runs.pid is 'Process id of the backend that runs it.';
comment on column ipai.sync_runs.resumes is 'The unfinished run that this one went on with.';
comment on column ipai.sync_runs.bound is 'Only records written since then were read; null is all.';
comment on column ipai.sync_runs.position is 'Every record up to this id had been read and written when the last page was committed.';
comment on column ipai.sync_runs.odoo_clock is 'Odoo''s clock at its first answer; that of the unfinished run, where this one went on with one.';
comment on column ipai.sync_runs.newest is 'The greatest write_date seen.';
comment on column ipai.sync_runs.cursor_before is 'The cursor when it began.';
comment on column ipai.sync_runs.cursor_after is 'The cursor when it was complete.';
comment on column ipai.sync_runs.pages is 'Pages written.';
comment on column ipai.sync_runs.fetched is 'Records that Odoo sent.';
comment on column ipai.sync_runs.total is 'Records to expect, where that was known.';
comment on column ipai.sync_runs.inserted is 'Rows that were new.';
comment on column ipai.sync_runs.updated is 'Rows that differed.';
comment on column ipai.sync_runs.unchanged is 'Rows that were equal, and not touched.';
comment on column ipai.sync_runs.deleted is 'Rows that Odoo no longer had.';
comment on column ipai.sync_runs.odoo_count is 'Records in Odoo at the end, archived ones included.';
comment on column ipai.sync_runs.mirror_count is 'Rows in the mirror at the end.';
comment on column ipai.sync_runs.seconds_waiting is 'Seconds spent waiting for Odoo.';
comment on column ipai.sync_runs.seconds_writing is 'Seconds spent in this database.';
comment on column ipai.sync_runs.sqlstate is 'SQLSTATE of the error by which it ended.';
comment on column ipai.sync_runs.message is 'The error.';
comment on column ipai.sync_runs.detail is 'Its DETAIL.';
comment on column ipai.sync_runs.hint is 'Its HINT.';

create view ipai.sync_count_delta with (security_invoker = on) as
select m.name as mirror,
       c.odoo_count as odoo_total, c.odoo_active, c.odoo_count - c.odoo_active as odoo_archived,
       c.mirror_count as mirror_total, c.mirror_active, c.mirror_count - c.mirror_active as mirror_archived,
       c.odoo_count - c.mirror_count as delta,
       c.finished_at as checked_at,
       case
           when c.finished_at is null then 'never'
           when c.odoo_count <> c.mirror_count or c.odoo_active <> c.mirror_active then 'drift'
           when now() - c.finished_at > m.reconcile_every then 'stale'
           else 'ok'
       end as verdict
from ipai.mirrors m
left join lateral (
    select r.odoo_count, r.odoo_active, r.mirror_count, r.mirror_active, r.finished_at from ipai.run_log r
    where r.mirror = m.name and r.odoo_count is not null
    order by r.run desc
    limit 1) c on true;
comment on view ipai.sync_count_delta is 'Odoo''s counts against the mirror''s, a row a mirror, as the last run or ipai.refresh_counts() found them. verdict: ok; drift: they differ; stale: not counted for longer than reconcile_every; never: not counted yet.';
comment on column ipai.sync_count_delta.mirror is 'Name of the mirror.';
comment on column ipai.sync_count_delta.odoo_total is 'Records in Odoo.';
comment on column ipai.sync_count_delta.odoo_active is 'Those that are not archived; null where the mirror has no column active.';
comment on column ipai.sync_count_delta.odoo_archived is 'Those that are archived.';
comment on column ipai.sync_count_delta.mirror_total is 'Rows in the mirror.';
comment on column ipai.sync_count_delta.mirror_active is 'Those that are not archived.';
comment on column ipai.sync_count_delta.mirror_archived is 'Those that are archived.';
comment on column ipai.sync_count_delta.delta is 'Odoo''s total less the mirror''s.';
comment on column ipai.sync_count_delta.checked_at is 'When both were counted.';
comment on column ipai.sync_count_delta.verdict is 'ok, drift, stale or never.';

create view ipai.sample_metrics_count_delta with (security_invoker = on) as
select d.odoo_total, d.odoo_active, d.odoo_archived, c.odoo_alerts,
       d.mirror_total, d.mirror_active, d.mirror_archived, c.mirror_alerts,
       d.delta, c.odoo_alerts - c.mirror_alerts as alerts_delta,
       d.checked_at,
       case when d.verdict in ('ok', 'stale') and c.odoo_alerts <> c.mirror_alerts then 'drift' else coalesce(d.verdict, 'never') end as verdict
from (values ('sample_metrics')) as name (mirror)
left join ipai.sync_count_delta d on d.mirror = name.mirror
left join lateral (
    select r.odoo_alerts, r.mirror_alerts from ipai.run_log r
    where r.mirror = name.mirror and r.odoo_count is not null
    order by r.run desc
    limit 1) c on true;
comment on view ipai.sample_metrics_count_delta is 'The same for ipai.ipai_sample_metrics, with alerts: one row, also before the first run.';
comment on column ipai.sample_metrics_count_delta.odoo_total is 'Records in Odoo.';
comment on column ipai.sample_metrics_count_delta.odoo_active is 'Those that are not archived; null where the mirror has no column active.';
comment on column ipai.sample_metrics_count_delta.odoo_archived is 'Those that are archived.';
comment on column ipai.sample_metrics_count_delta.odoo_alerts is 'Those that are alerts.';
comment on column ipai.sample_metrics_count_delta.mirror_total is 'Rows in the mirror.';
comment on column ipai.sample_metrics_count_delta.mirror_active is 'Those that are not archived.';
comment on column ipai.sample_metrics_count_delta.mirror_archived is 'Those that are archived.';
comment on column ipai.sample_metrics_count_delta.mirror_alerts is 'Those that are alerts.';
comment on column ipai.sample_metrics_count_delta.delta is 'Odoo''s total less the mirror''s.';
comment on column ipai.sample_metrics_count_delta.alerts_delta is 'Odoo''s alerts less the mirror''s.';
comment on column ipai.sample_metrics_count_delta.checked_at is 'When both were counted.';
comment on column ipai.sample_metrics_count_delta.verdict is 'ok, drift, stale or never.';

-- pgrx writes its functions without a schema.
set local search_path = ipai, pg_temp;
