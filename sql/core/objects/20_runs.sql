-- Views of runs and of counts. They read stored rows only, so they answer while Odoo is down.

-- The owner of the schema may have created objects in it. None of them may be called here.
set local search_path = pg_catalog, pg_temp;

create or replace view ipai.sync_runs with (security_invoker = on) as
select r.run, r.mirror, r.mode,
       case
           -- Only its own run changes a row, so the row of a killed run keeps the state "running".
           -- The lock shows whether it is running. Only the newest run of a mirror can hold it.
           when r.state = 'running' and (exists (
               select from ipai.run_log n
               where n.mirror = r.mirror and n.run > r.run
                 and n.mode in ('full', 'incremental', 'reconcile'))
             -- A read replica does not have the locks of its primary.
             or not pg_is_in_recovery() and not exists (
               select from pg_catalog.pg_locks l
               where l.locktype = 'advisory' and l.granted and l.pid = r.pid
                 and l.database = (select d.oid from pg_catalog.pg_database d
                                   where d.datname = current_database())
                 and l.classid::bigint
                     = pg_catalog.hashtext('ipai_sync')::bigint & 4294967295
                 and l.objid::bigint = pg_catalog.hashtext(r.mirror)::bigint & 4294967295
                 and l.objsubid = 2))
               then 'dead'
           else r.state
       end as state,
       r.started_at, r.finished_at, r.pid, r.resumes, r.bound, r.position, r.odoo_clock, r.newest,
       r.cursor_before, r.cursor_after, r.pages, r.fetched, r.total, r.inserted, r.updated,
       r.unchanged, r.deleted, r.odoo_count, r.mirror_count, r.seconds_waiting, r.seconds_writing,
       r.sqlstate, r.message, r.detail, r.hint
from ipai.run_log r
where r.mode <> 'counts';
comment on view ipai.sync_runs is
    'One row for each run. A killed run has the state dead; the next run resumes it. A read replica '
    'shows it as running until the next run starts.';
comment on column ipai.sync_runs.run is 'Number of the run.';
comment on column ipai.sync_runs.mirror is 'Name of the mirror.';
comment on column ipai.sync_runs.mode is
    'full: all records; incremental: records written since the cursor; reconcile: incremental, and '
    'all ids compared; since: records written since a given time; live: records that Odoo reported '
    'to a follower as changed, the runs of a minute as one row.';
comment on column ipai.sync_runs.state is
    'running, succeeded, failed, cancelled, refused (the deletion guard stopped it), or dead (its '
    'session was killed).';
comment on column ipai.sync_runs.started_at is 'When the run started.';
comment on column ipai.sync_runs.finished_at is 'When the run ended.';
comment on column ipai.sync_runs.pid is 'Process id of the backend that runs it.';
comment on column ipai.sync_runs.resumes is 'Number of the interrupted run that this run resumed.';
comment on column ipai.sync_runs.bound is
    'Lower bound: only records written since then were read; null for all records, and if Odoo '
    'reported which records had changed.';
comment on column ipai.sync_runs.position is
    'All records up to this id were read and written when the last page was committed.';
comment on column ipai.sync_runs.odoo_clock is
    'Clock of Odoo at its first answer. A resumed run keeps the one of the interrupted run.';
comment on column ipai.sync_runs.newest is 'Greatest write_date that the run read.';
comment on column ipai.sync_runs.cursor_before is 'Cursor at the start of the run.';
comment on column ipai.sync_runs.cursor_after is 'Cursor at the end of a complete run.';
comment on column ipai.sync_runs.pages is 'Number of pages written.';
comment on column ipai.sync_runs.fetched is 'Number of records that Odoo sent.';
comment on column ipai.sync_runs.total is 'Number of records to expect, if known.';
comment on column ipai.sync_runs.inserted is 'Number of new rows.';
comment on column ipai.sync_runs.updated is 'Number of rows that differed.';
comment on column ipai.sync_runs.unchanged is
    'Number of rows that were equal. They were not written.';
comment on column ipai.sync_runs.deleted is 'Number of rows that no longer existed in Odoo.';
comment on column ipai.sync_runs.odoo_count is
    'Number of records in Odoo at the end, archived records included.';
comment on column ipai.sync_runs.mirror_count is 'Number of rows in the mirror at the end.';
comment on column ipai.sync_runs.seconds_waiting is 'Seconds spent waiting for Odoo.';
comment on column ipai.sync_runs.seconds_writing is 'Seconds spent in this database.';
comment on column ipai.sync_runs.sqlstate is 'SQLSTATE of the error that ended the run.';
comment on column ipai.sync_runs.message is 'Message of the error that ended the run.';
comment on column ipai.sync_runs.detail is 'DETAIL of that error.';
comment on column ipai.sync_runs.hint is 'HINT of that error.';

create or replace view ipai.sync_count_delta with (security_invoker = on) as
select m.name as mirror,
       c.odoo_count as odoo_total, f.odoo_active, c.odoo_count - f.odoo_active as odoo_archived,
       c.mirror_count as mirror_total, f.mirror_active,
       c.mirror_count - f.mirror_active as mirror_archived,
       c.odoo_count - c.mirror_count as delta,
       c.finished_at as checked_at,
       case
           when c.finished_at is null then 'never'
           when c.odoo_count <> c.mirror_count or f.odoo_active <> f.mirror_active then 'drift'
           when now() - c.finished_at > m.reconcile_every then 'stale'
           else 'ok'
       end as verdict,
       follower.polled_at as last_poll,
       -- The clock of a browser may be wrong, so the view compares the times. A run that succeeds
       -- counts; a newer one that has ended without counts has failed.
       case
           when follower.polled_at is not null
               then follower.polled_at > now() - interval '30 seconds' and c.run is not null
                   and not exists (
                       select from ipai.run_log r
                       where r.mirror = m.name and r.run > c.run and r.odoo_count is null
                         and r.finished_at is not null)
       end as live
from ipai.mirrors m
left join lateral (
    select r.run, r.odoo_count, r.mirror_count, r.finished_at
    from ipai.run_log r
    where r.mirror = m.name and r.odoo_count is not null
    order by r.run desc
    limit 1) c on true
-- A run that changed nothing does not count the flags again.
left join lateral (
    select r.odoo_active, r.mirror_active
    from ipai.run_log r
    where r.mirror = m.name and r.flags is not null
    order by r.run desc
    limit 1) f on true
left join (
    select w.mirror, max(w.polled_at) as polled_at
    from (select unnest(w.mirrors) as mirror, w.polled_at from ipai.followers w) w
    group by w.mirror) follower on follower.mirror = m.name;
comment on view ipai.sync_count_delta is
    'Counts in Odoo and in the mirror, one row for each mirror, as the last run or '
    'ipai.refresh_counts() found them. verdict: ok; drift: the counts differ; stale: not counted '
    'for longer than reconcile_every; never: not counted yet.';
comment on column ipai.sync_count_delta.mirror is 'Name of the mirror.';
comment on column ipai.sync_count_delta.odoo_total is 'Number of records in Odoo.';
comment on column ipai.sync_count_delta.odoo_active is
    'Number of records in Odoo that are not archived; null if the mirror has no column active.';
comment on column ipai.sync_count_delta.odoo_archived is 'Number of archived records in Odoo.';
comment on column ipai.sync_count_delta.mirror_total is 'Number of rows in the mirror.';
comment on column ipai.sync_count_delta.mirror_active is
    'Number of rows in the mirror that are not archived.';
comment on column ipai.sync_count_delta.mirror_archived is
    'Number of archived rows in the mirror.';
comment on column ipai.sync_count_delta.delta is 'Odoo total minus mirror total.';
comment on column ipai.sync_count_delta.checked_at is 'When both sides were counted.';
comment on column ipai.sync_count_delta.verdict is 'ok, drift, stale or never.';
comment on column ipai.sync_count_delta.last_poll is
    'When Odoo last told the follower of the mirror what has changed, to within ten seconds; null if '
    'none follows it.';
comment on column ipai.sync_count_delta.live is
    'Whether the mirror shows changes as they happen: last_poll is at most 30 seconds ago, and the '
    'last run did not fail. Null if no follower has polled yet.';

-- pgrx writes its functions without a schema.
set local search_path = ipai, pg_temp;
