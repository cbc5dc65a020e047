-- Health of the mirrors: their status and their alerts. The views read stored rows only.

-- The owner of the schema may have created objects in it. None of them may be called here.
set local search_path = pg_catalog, pg_temp;

-- A few index lookups for each mirror, however many runs there are. Each "limit 1" keeps the
-- planner from joining all runs instead.
create or replace view ipai.sync_status with (security_invoker = on) as
select m.name as mirror, m.server, m.model,
       format('%I.%I', m.target_schema, m.target_table) as target, m.enabled,
       case
           when not m.enabled then 'disabled'
           when active.run is not null then 'running'
           when streak.failures > 0 then 'failing'
           when success.run is null then 'never'
           when due.late then 'late'
           else 'ok'
       end as state,
       success.finished_at as last_success, now() - success.finished_at as age,
       m.schedule, due.at as next_due, due.late,
       streak.failures, oldest.ended_at as failing_since,
       newest.run as last_failed_run, newest.error as last_error,
       newest.sqlstate as last_sqlstate, newest.ended_at as last_error_at,
       counted.mirror_total as rows, counted.delta,
       active.run, active.progress, rejected.rejects,
       case when follower.since is not null
           then greatest(follower.since, m.created_at, m.scheduled_at) end as followed_since,
       follower.polled_at as last_poll, changed.latency
from ipai.mirrors m
left join lateral (
    select r.run, r.started_at, r.finished_at from ipai.run_log r
    -- A run in mode since proves nothing about the records written before its lower bound.
    where r.mirror = m.name and r.complete and r.state = 'succeeded' and r.mode <> 'since'
    order by r.run desc
    limit 1) success on true
-- Runs without an end: one of them may be running, the others were killed.
cross join lateral (
    select max(r.run) filter (where r.state = 'running') as running,
           count(*) filter (where r.state = 'dead' and r.run > coalesce(success.run, 0)) as dead,
           min(r.run) filter (where r.state = 'dead' and r.run > coalesce(success.run, 0))
               as oldest,
           max(r.run) filter (where r.state = 'dead' and r.run > coalesce(success.run, 0))
               as newest
    from ipai.sync_runs r
    where r.mirror = m.name and r.finished_at is null) endless
cross join lateral (
    select count(*) as failed, min(r.run) as oldest, max(r.run) as newest
    from ipai.run_log r
    where r.mirror = m.name and r.state in ('failed', 'refused')
      and r.run > coalesce(success.run, 0)) failed
cross join lateral (
    select failed.failed + endless.dead as failures,
           least(failed.oldest, endless.oldest) as oldest,
           greatest(failed.newest, endless.newest) as newest) streak
left join lateral (
    select r.run,
           case
               when r.total > 0
                   then format('%s of %s records, %s %%', r.fetched, r.total,
                               div(100 * r.fetched::numeric, r.total))
               else format('%s records', r.fetched)
           end as progress
    from ipai.run_log r
    where r.run = endless.running
    limit 1) active on true
left join lateral (
    select coalesce(r.finished_at, r.started_at) as ended_at from ipai.run_log r
    where r.run = streak.oldest
    limit 1) oldest on true
left join lateral (
    select r.run, r.sqlstate, coalesce(r.finished_at, r.started_at) as ended_at,
           coalesce(r.message, 'the session of the run was killed') as error
    from ipai.run_log r
    where r.run = streak.newest
    limit 1) newest on true
left join ipai.sync_count_delta counted on counted.mirror = m.name
left join (
    select f.mirror, max(f.since) as since, max(f.polled_at) as polled_at
    from (select unnest(f.mirrors) as mirror, f.since, f.polled_at from ipai.followers f) f
    group by f.mirror) follower on follower.mirror = m.name
left join lateral (
    select r.latency from ipai.run_log r
    where r.mirror = m.name and r.latency is not null
    order by r.run desc
    limit 1) changed on follower.since is not null
cross join lateral (
    select count(*) as rejects from ipai.sync_rejects r where r.mirror = m.name) rejected
cross join lateral (
    select planned.at,
           coalesce(m.enabled and active.run is null and now() - planned.at > planned.patience,
                    false) as late
    from (select case
                     when m.schedule = 'live' or follower.since is not null
                         then coalesce(follower.polled_at, m.scheduled_at, follower.since)
                             + interval '1 minute'
                     else coalesce(greatest(success.started_at, m.scheduled_at), m.created_at)
                         + m.max_age
                 end,
                 case
                     when m.schedule = 'live' or follower.since is not null
                         then interval '1 minute'
                     else m.late_after
                 end) as planned (at, patience)) due;
comment on view ipai.sync_status is 'Health of the mirrors: one row for each mirror.';
comment on column ipai.sync_status.mirror is 'Name of the mirror.';
comment on column ipai.sync_status.server is 'Foreign server of the Odoo database.';
comment on column ipai.sync_status.model is 'Technical name of the Odoo model.';
comment on column ipai.sync_status.target is 'Name of the mirror table.';
comment on column ipai.sync_status.enabled is
    'Whether run_sync without a name includes the mirror. Disabled mirrors raise no alert.';
comment on column ipai.sync_status.state is
    'The first of these that applies: disabled; running; failing: the last run failed; never: no '
    'run has succeeded yet; late: a run has been due for longer than late_after; ok.';
comment on column ipai.sync_status.last_success is
    'When the last complete run that succeeded ended. Runs in mode since do not count.';
comment on column ipai.sync_status.age is 'Time since last_success.';
comment on column ipai.sync_status.schedule is
    'Cron schedule, set by ipai.schedule_sync() or ipai.expect_sync(); null for none.';
comment on column ipai.sync_status.next_due is
    'When the next run is due: max_age after the start of the last successful run, or after the '
    'schedule was set, whichever is later; of a followed mirror, when the next poll is due: a minute '
    'after the last one. Null without max_age. In the past if no run or poll has succeeded since.';
comment on column ipai.sync_status.late is
    'Whether next_due is longer ago than late_after, or than a minute if the mirror is followed. False while a run is in progress and for '
    'disabled mirrors.';
comment on column ipai.sync_status.failures is
    'Number of runs since the last success that failed, were refused a deletion or were killed. '
    'Cancelled runs do not count.';
comment on column ipai.sync_status.failing_since is
    'When the first of these runs ended; null if there is none.';
comment on column ipai.sync_status.last_failed_run is
    'Number of the last of these runs; see ipai.sync_runs.';
comment on column ipai.sync_status.last_error is 'Error of that run.';
comment on column ipai.sync_status.last_sqlstate is
    'SQLSTATE of that error; null if the run was killed.';
comment on column ipai.sync_status.last_error_at is
    'When that run ended; its start if it was killed.';
comment on column ipai.sync_status.rows is 'Number of rows in the mirror as last counted.';
comment on column ipai.sync_status.delta is 'Odoo total minus mirror total as last counted.';
comment on column ipai.sync_status.run is 'Number of the run in progress; null if there is none.';
comment on column ipai.sync_status.progress is 'Progress of that run.';
comment on column ipai.sync_status.followed_since is
    'Since when a follower keeps the mirror up to date; null if none does.';
comment on column ipai.sync_status.last_poll is
    'When Odoo last told the follower what has changed, to within ten seconds.';
comment on column ipai.sync_status.latency is
    'Time from the last change in Odoo to its commit in the mirror, to within a second.';
comment on column ipai.sync_status.rejects is
    'Number of records that the table refuses or Odoo cannot send; see ipai.sync_rejects.';

create or replace view ipai.sync_alerts with (security_invoker = on) as
select alert.severity, alert.kind, s.mirror, alert.since, alert.message,
       ipai.command_hint(alert.hint) as hint
from ipai.sync_status s
join ipai.mirrors m on m.name = s.mirror
left join ipai.mirror_state t on t.mirror = s.mirror
left join (
    select f.mirror, max(f.server) as server, max(f.problem) as problem
    from (select unnest(f.mirrors) as mirror, f.server, f.problem from ipai.followers f) f
    group by f.mirror) f on f.mirror = s.mirror
left join lateral (
    select r.state, r.hint from ipai.run_log r where r.run = s.last_failed_run limit 1) newest
    on true
left join lateral (
    select r.finished_at, r.odoo_count, r.mirror_count
    from ipai.run_log r
    where r.mirror = s.mirror and r.odoo_count is not null
    order by r.run desc
    limit 1) counted on true
left join lateral (
    select r.flags as fields, r.finished_at, r.mirror_flagged, r.mirror_count as rows
    from ipai.run_log r
    where r.mirror = s.mirror and r.flags is not null
    order by r.run desc
    limit 1) flags on true
left join lateral (
    select string_agg(
        case d.field ->> 'problem'
            when 'gone' then format('Odoo no longer has field "%s"', d.field ->> 'field')
            when 'changed'
                then format('field "%s" now has type %s', d.field ->> 'field', d.field ->> 'type')
            when 'uncarried'
                then format('XML-RPC cannot carry values of field "%s"', d.field ->> 'field')
            when 'altered'
                then format('the table changes the values of field "%s" as they are written',
                            d.field ->> 'field')
            else format('field "%s": %s', d.field ->> 'field', d.field ->> 'problem')
        end, '; ' order by d.place) as fields
    from jsonb_array_elements(t.drift) with ordinality d (field, place)) drifted on true
left join lateral (
    select count(*) filter (where r.refused = 'insert')
               - count(*) filter (where r.refused = 'delete') as delta,
           min(r.since) as since,
           (array_agg(format('record %s: %s (%s)', r.odoo_id, left(r.message, 300), r.sqlstate)
                      order by r.since desc, r.odoo_id))[1] as newest
    from ipai.sync_rejects r
    where r.mirror = s.mirror and s.rejects > 0) rejected on true
-- The deletion guard limits a single run. These are the deletions of several.
cross join lateral (
    select sum(r.deleted) as rows, min(r.started_at) as since
    from ipai.run_log r
    where r.mirror = s.mirror and r.deleted > 0 and r.started_at > now() - interval '24 hours'
      -- A run that deleted more than the guard allows had a higher limit from its caller.
      and (r.mirror_count is null
           or r.deleted <= greatest(100, m.max_delete_ratio::numeric
                                         * (r.mirror_count::numeric + r.deleted)))) deleted
cross join lateral (
    select coalesce(counted.mirror_count, 0) + deleted.rows) before (rows)
cross join lateral (
    select floor(greatest(100, m.max_delete_ratio::numeric * before.rows))) allowed (rows)
cross join lateral (values
    (1, 'failing', s.failures > m.max_failures and newest.state <> 'refused',
        s.failing_since,
        format(case s.failures
                   when 1 then 'the last run failed: %2$s'
                   else 'the last %1$s runs failed; last error: %2$s'
               end, s.failures, s.last_error),
        concat_ws(' ', newest.hint,
                  format('All runs: select * from ipai.sync_runs where mirror = %L '
                         'order by run desc;', s.mirror))),
    (2, 'late', s.late,
        s.next_due,
        case
            when s.schedule = 'live' or s.followed_since is not null
                then concat('no follower has polled Odoo since ', s.last_poll, ': ' || f.problem)
            else concat('a run was due at ', s.next_due,
                        case when s.schedule is not null
                            then format(' (schedule "%s")', s.schedule) end,
                        ', and no run has succeeded since')
        end,
        case
            when s.schedule = 'live'
                then format('Check the job: select * from cron.job_run_details where command = %L '
                            'order by runid desc limit 5; To create a lost job again after a '
                            'restore: select * from ipai.restore_schedules();',
                            'call ipai.follow_sync()')
            when s.followed_since is not null
                then format('Start the follower again: ipai-sync follow. '
                            'If the mirrors need no follower any more: '
                            'delete from ipai.followers where server = %L;', f.server)
            when m.scheduled_by is null
                then format('Check the scheduler outside the database. '
                            'To run it now: call ipai.run_sync(%L);', s.mirror)
            else format('Check the job: select * from cron.job_run_details where command = %L '
                        'order by runid desc limit 5; To create lost jobs again after a restore: '
                        'select * from ipai.restore_schedules(); '
                        'To run it now: call ipai.run_sync(%L);',
                        format('call ipai.run_sync(%L)', s.mirror), s.mirror)
        end),
    (3, 'never', s.last_success is null and s.failures <= m.max_failures
            and newest.state is distinct from 'refused'
            and s.run is null and now() - m.created_at > m.late_after,
        m.created_at,
        format('the mirror was registered at %s, and no run has succeeded yet',
               date_trunc('second', m.created_at)),
        format('To run it now: call ipai.run_sync(%1$L); '
               'To run it in the background: select ipai.sync_now(%1$L);', s.mirror)),
    -- The alert rejects explains the difference that rejects make.
    (4, 'delta', abs(s.delta::numeric - coalesce(rejected.delta, 0)) > m.max_delta,
        counted.finished_at,
        format('Odoo has %s records, the mirror has %s rows', counted.odoo_count,
               counted.mirror_count),
        format('call ipai.run_sync(%L, ''reconcile'');', s.mirror)),
    (5, 'drift', drifted.fields is not null,
        null,
        drifted.fields,
        format('Runs leave these fields out. To compare all fields: '
               'select * from ipai.refresh_mirror(%L);', s.mirror)),
    (6, 'refused', newest.state = 'refused',
        s.failing_since,
        s.last_error,
        newest.hint),
    (7, 'flagged', flags.mirror_flagged > m.max_flagged_ratio * flags.rows
            and m.max_flagged_ratio < 1 and flags.rows >= 10
            and m.flag_field = any (flags.fields),
        flags.finished_at,
        format('%s is true in %s of %s rows; the threshold is %s %%', m.flag_field,
               flags.mirror_flagged, flags.rows,
               round((100 * m.max_flagged_ratio)::numeric, 1)),
        format('Look at the rows: select * from %s where %s; '
               'To raise the threshold: select ipai.alter_mirror(%L, max_flagged_ratio => %s);',
               s.target,
               quote_ident((select f.field ->> 'column'
                            from jsonb_array_elements(m.fields) f (field)
                            where f.field ->> 'field' = m.flag_field limit 1)),
               s.mirror,
               least(ceil(10.0 * flags.mirror_flagged / nullif(flags.rows, 0)) / 10, 1))),
    -- A new kind also goes into the check of ipai.mirror_state.alerts.
    (8, 'deletions', deleted.rows > allowed.rows,
        deleted.since,
        format('runs deleted %s of %s rows within 24 hours; the threshold is %s', deleted.rows,
               before.rows, allowed.rows),
        format('Look at the runs: select * from ipai.sync_runs where mirror = %1$L '
               'and deleted > 0 order by run desc; '
               'If the deletions are right, wait: the alert looks back 24 hours. '
               'To stop the runs of the mirror: select ipai.alter_mirror(%1$L, enabled => false);',
               s.mirror)),
    (9, 'rejects', s.rejects > 0,
        rejected.since,
        format('runs set aside %s; the newest is %s',
               case s.rejects when 1 then '1 record' else format('%s records', s.rejects) end,
               rejected.newest),
        format('Correct them in Odoo, or change the table; every run tries them again. All rejects: '
               'select * from ipai.sync_rejects where mirror = %L order by since desc;', s.mirror)),
    (10, 'degraded', t.degraded is not null,
        t.degraded_since,
        format('bulk export is installed but not used, because it failed: %s', t.degraded),
        format('Runs read the same rows without it, more slowly, and try it again each day. Update '
               'the addon ipai_sync in Odoo, and look into Odoo''s log. To try it now: '
               'select * from ipai.check_connection(%s); call ipai.run_sync(%L);',
               quote_literal(s.server), s.mirror)),
    (11, 'key', t.key_expires < now() + interval '14 days',
        t.key_expires - interval '14 days',
        format(case
                   when t.key_expires > now() then 'an API key of the Odoo user expires at %s'
                   else 'an API key of the Odoo user expired at %s'
               end, t.key_expires),
        format('If the mirror uses this key, replace it: call ipai.rotate_odoo_key(%1$L); '
               'If this Odoo cannot create keys on request, create one in Odoo and store it: '
               'select ipai.set_odoo_password(%1$L, ''...'');', coalesce(m.server, '...')))
) as alert (severity, kind, raised, since, message, hint)
where m.enabled and alert.raised
order by alert.severity, alert.since, s.mirror;
comment on view ipai.sync_alerts is
    'Mirrors that need attention, the most severe alert first; empty if all enabled mirrors are '
    'healthy. The thresholds are columns of ipai.mirrors; ipai.alter_mirror() changes them.';
comment on column ipai.sync_alerts.severity is '1 is the most severe.';
comment on column ipai.sync_alerts.kind is
    'failing: more than max_failures consecutive runs failed; late: a run has been due for longer '
    'than late_after; never: no run has succeeded yet; delta: the counts differ by more than '
    'max_delta; drift: fields in Odoo have changed; refused: the deletion guard stopped a run; '
    'flagged: flag_field is true in more than max_flagged_ratio of the rows; deletions: the runs '
    'of the last 24 hours together deleted more rows than max_delete_ratio allows one run; '
    'rejects: the table refuses records, or Odoo cannot send them (see ipai.sync_rejects); '
    'degraded: Odoo has the addon ipai_sync, and the last run did not use it; '
    'key: an API key of the Odoo user expires within two weeks.';
comment on column ipai.sync_alerts.mirror is 'Name of the mirror.';
comment on column ipai.sync_alerts.since is
    'failing, refused: end of the first such run; late: when the run was due; never: when the '
    'mirror was registered; delta, flagged: when both sides were counted; drift: null; '
    'deletions: start of the first of these runs; rejects: when the first of them was set aside; '
    'degraded: when the first run in succession ended that did not use the addon; '
    'key: two weeks before it expires.';
comment on column ipai.sync_alerts.message is 'What is wrong.';
comment on column ipai.sync_alerts.hint is 'What to do about it.';

create or replace function ipai.notify_alerts() returns integer
language plpgsql volatile
set search_path = pg_catalog, pg_temp
-- Compiling takes longer than the query.
set jit = off
as $$
declare
    mirrors text[];
    raised jsonb;
    cleared jsonb;
    payload jsonb;
begin
    -- Skip rows that another session has locked. The next call reports them; nothing waits here.
    select array_agg(changed.mirror) into mirrors
    from (
        select m.mirror
        from ipai.mirror_state m
        left join (
            select a.mirror, array_agg(a.kind order by a.kind) as kinds
            from ipai.sync_alerts a group by a.mirror) a on a.mirror = m.mirror
        where m.alerts <> coalesce(a.kinds, '{}')
          -- During a run the alerts late and never look cleared. The end of the run reports them.
          and not exists (
              select from ipai.sync_runs r
              where r.mirror = m.mirror and r.finished_at is null and r.state = 'running')
        for no key update of m skip locked) changed;
    if mirrors is null then
        return 0;
    end if;
    -- Read the alerts again: with the rows locked, no other session can report the same change.
    with kinds as (
        select a.severity, a.kind, a.mirror from ipai.sync_alerts a where a.mirror = any (mirrors)
    ), reported as (
        select m.mirror, k.kind from ipai.mirror_state m cross join unnest(m.alerts) k (kind)
        where m.mirror = any (mirrors)
    ), stored as (
        update ipai.mirror_state m
        set alerts = coalesce((
            select array_agg(k.kind order by k.kind) from kinds k where k.mirror = m.mirror), '{}')
        where m.mirror = any (mirrors)
    )
    select coalesce((
               select jsonb_agg(
                   jsonb_build_object('mirror', k.mirror, 'kind', k.kind, 'severity', k.severity)
                   order by k.severity, k.mirror)
               from kinds k
               where (k.mirror, k.kind) not in (select r.mirror, r.kind from reported r)), '[]'),
           coalesce((
               select jsonb_agg(jsonb_build_object('mirror', r.mirror, 'kind', r.kind)
                                order by r.mirror, r.kind)
               from reported r
               where (r.mirror, r.kind) not in (select k.mirror, k.kind from kinds k)), '[]')
    into raised, cleared;
    if raised = '[]' and cleared = '[]' then
        return 0;
    end if;
    -- Any role may listen, so the payload has no error text. It must be shorter than 8000 bytes.
    payload := jsonb_build_object('raised', raised, 'cleared', cleared);
    if octet_length(payload::text) >= 7900 then
        payload := jsonb_build_object(
            'truncated', true,
            'counts', jsonb_build_object('raised', jsonb_array_length(raised),
                                         'cleared', jsonb_array_length(cleared)));
    end if;
    perform pg_notify('ipai_sync_alerts', payload::text);
    return jsonb_array_length(raised) + jsonb_array_length(cleared);
end
$$;
comment on function ipai.notify_alerts() is
    'Sends what has changed in ipai.sync_alerts since the last call as NOTIFY ipai_sync_alerts: '
    '{"raised": [{"mirror", "kind", "severity"}], "cleared": [{"mirror", "kind"}]}. A longer '
    'payload is replaced by {"truncated": true, "counts": {"raised", "cleared"}}. Returns the '
    'number of changes. Changes of a running mirror are sent when its run ends. run_sync calls the '
    'function once, when it ends; a sync in the caller''s transaction does not. '
    'Time alone raises the alerts late and never and clears the alert deletions, so schedule this '
    'call with pg_cron too.';

-- pgrx writes its functions without a schema.
set local search_path = ipai, pg_temp;
