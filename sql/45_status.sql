-- Whether each mirror is well, and what somebody should act on. As in 40_views.sql, only stored rows are read.

-- Nothing of the schema that the extension goes into may be called while it is created: its owner may have planted it.
set local search_path = pg_catalog, pg_temp;

comment on function ipai.next_run(text, timestamp) is
    'When pg_cron begins a job of this schedule next, in its own time zone (see ipai.cron_timezone()); null where it never does, as with @reboot, and for what is no schedule.';
comment on function ipai.cron_timezone() is
    'The time zone of pg_cron''s schedules: GMT, unless cron.timezone says another.';

-- A few index lookups a mirror, whatever the number of runs. "limit 1" keeps the planner from joining everything instead.
create view ipai.sync_status with (security_invoker = on) as
select m.name as mirror, m.server, m.model, format('%I.%I', m.target_schema, m.target_table) as target, m.enabled,
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
       newest.run as last_failed_run, newest.error as last_error, newest.sqlstate as last_sqlstate, newest.ended_at as last_error_at,
       counted.mirror_total as rows, counted.delta,
       active.run, active.progress
from ipai.mirrors m
left join lateral (
    select r.run, r.started_at, r.finished_at from ipai.run_log r
    -- One that reads what was written since some day proves nothing of the rest.
    where r.mirror = m.name and r.complete and r.mode <> 'since'
    order by r.run desc
    limit 1) success on true
-- Those that have no end: one may be under way, the others were killed.
cross join lateral (
    select max(r.run) filter (where r.state = 'running') as running,
           count(*) filter (where r.state = 'dead' and r.run > coalesce(success.run, 0)) as dead,
           min(r.run) filter (where r.state = 'dead' and r.run > coalesce(success.run, 0)) as oldest,
           max(r.run) filter (where r.state = 'dead' and r.run > coalesce(success.run, 0)) as newest
    from ipai.sync_runs r
    where r.mirror = m.name and r.finished_at is null) endless
cross join lateral (
    select count(*) as failed, min(r.run) as oldest, max(r.run) as newest
    from ipai.run_log r
    where r.mirror = m.name and r.state in ('failed', 'refused') and r.run > coalesce(success.run, 0)) failed
cross join lateral (
    select failed.failed + endless.dead as failures,
           least(failed.oldest, endless.oldest) as oldest,
           greatest(failed.newest, endless.newest) as newest) streak
left join lateral (
    select r.run,
           case when r.total > 0 then format('%s of %s records, %s %%', r.fetched, r.total, 100 * r.fetched / r.total)
                else format('%s records', r.fetched) end as progress
    from ipai.run_log r
    where r.run = endless.running
    limit 1) active on true
left join lateral (
    select coalesce(r.finished_at, r.started_at) as ended_at from ipai.run_log r where r.run = streak.oldest limit 1) oldest on true
left join lateral (
    select r.run, r.sqlstate, coalesce(r.finished_at, r.started_at) as ended_at,
           coalesce(r.message, 'the session that ran it was killed') as error
    from ipai.run_log r
    where r.run = streak.newest
    limit 1) newest on true
left join ipai.sync_count_delta counted on counted.mirror = m.name
cross join lateral (select ipai.cron_timezone() as name) zone
cross join lateral (
    select planned.at, coalesce(m.enabled and active.run is null and now() - planned.at > m.late_after, false) as late
    from (
        select ipai.next_run(m.schedule, greatest(success.started_at, m.scheduled_at) at time zone zone.name) at time zone zone.name
        -- Worked out once.
        offset 0) planned (at)) due;
comment on view ipai.sync_status is 'Whether each mirror is well: one row a mirror.';
comment on column ipai.sync_status.mirror is 'Name of the mirror.';
comment on column ipai.sync_status.server is 'Foreign server of the Odoo database.';
comment on column ipai.sync_status.model is 'Technical name of the Odoo model.';
comment on column ipai.sync_status.target is 'The mirror table.';
comment on column ipai.sync_status.enabled is 'Whether run_sync without a name includes it. Others raise no alert.';
comment on column ipai.sync_status.state is 'disabled; running; failing: the last run failed; never: no run has brought it into step yet; late: it is due for longer than late_after; ok. The first of these that holds.';
comment on column ipai.sync_status.last_success is 'When the last run ended that brought everything it was to bring. Runs since a moment that the caller chose do not count.';
comment on column ipai.sync_status.age is 'How long ago that was.';
comment on column ipai.sync_status.schedule is 'Cron schedule of ipai.schedule_sync() or ipai.expect_sync(); null for none.';
comment on column ipai.sync_status.next_due is 'When its schedule comes next after the last success began (or after it was scheduled, if that is later); null without a schedule. In the past: no run has succeeded since.';
comment on column ipai.sync_status.late is 'Whether that is longer ago than late_after, the mirror is enabled and no run is under way.';
comment on column ipai.sync_status.failures is 'Runs that failed, were refused a deletion or were killed since the last success. Cancelled ones do not count.';
comment on column ipai.sync_status.failing_since is 'When the first of them ended; null where there is none.';
comment on column ipai.sync_status.last_failed_run is 'Number of the last of them: its row in ipai.sync_runs says more.';
comment on column ipai.sync_status.last_error is 'Its error.';
comment on column ipai.sync_status.last_sqlstate is 'SQLSTATE of its error; null where it was killed.';
comment on column ipai.sync_status.last_error_at is 'When it ended; where it was killed, when it began.';
comment on column ipai.sync_status.rows is 'Rows of the mirror as last counted.';
comment on column ipai.sync_status.delta is 'Odoo''s count less the mirror''s, as last counted.';
comment on column ipai.sync_status.run is 'Number of the run that is under way; null where none is.';
comment on column ipai.sync_status.progress is 'How far it is.';

create view ipai.sync_alerts with (security_invoker = on) as
select alert.severity, alert.kind, s.mirror, alert.since, alert.message, alert.hint
from ipai.sync_status s
join ipai.mirrors m on m.name = s.mirror
left join lateral (
    select r.state, r.hint from ipai.run_log r where r.run = s.last_failed_run limit 1) newest on true
left join lateral (
    select r.finished_at, r.odoo_count, r.mirror_count, r.mirror_alerts, r.mirror_count as rows
    from ipai.run_log r
    where r.mirror = s.mirror and r.odoo_count is not null
    order by r.run desc
    limit 1) counted on true
left join lateral (
    select string_agg(
        case d.field ->> 'problem'
            when 'gone' then format('Odoo has no field "%s" any more', d.field ->> 'field')
            when 'changed' then format('field "%s" is of type %s now', d.field ->> 'field', d.field ->> 'type')
            else format('field "%s": %s', d.field ->> 'field', d.field ->> 'problem')
        end, '; ' order by d.place) as fields
    from jsonb_array_elements(m.drift) with ordinality d (field, place)) drifted on true
cross join lateral (values
    (1, 'failing', s.failures > m.max_failures and newest.state <> 'refused',
        s.failing_since,
        format(case s.failures when 1 then 'the last run failed: %2$s' else '%1$s runs in a row have failed, at last: %2$s' end,
               s.failures, s.last_error),
        concat_ws(' ', newest.hint, format('Every run: select * from ipai.sync_runs where mirror = %L order by run desc;', s.mirror))),
    (2, 'late', s.late,
        s.next_due,
        format('by its schedule "%s" it was due at %s, and no run has succeeded since', s.schedule, s.next_due),
        case when m.scheduled_by is null then format('Look at the scheduler outside. At once: call ipai.run_sync(%L);', s.mirror)
             else format('What pg_cron says: select * from cron.job_run_details where command = %L order by runid desc limit 5; '
                         'Its jobs after a restore: select * from ipai.restore_schedules(); At once: call ipai.run_sync(%L);',
                         format('call ipai.run_sync(%L)', s.mirror), s.mirror) end),
    (3, 'never', s.last_success is null and s.failures <= m.max_failures and newest.state is distinct from 'refused'
            and s.run is null and now() - m.created_at > m.late_after,
        m.created_at,
        format('it was registered at %s, and no run has brought it into step yet', date_trunc('second', m.created_at)),
        format('call ipai.run_sync(%1$L); or in the background: select ipai.sync_now(%1$L);', s.mirror)),
    (4, 'delta', abs(s.delta) > m.max_delta,
        counted.finished_at,
        format('Odoo has %s records, the mirror %s rows', counted.odoo_count, counted.mirror_count),
        format('call ipai.run_sync(%L, ''reconcile'');', s.mirror)),
    (5, 'drift', drifted.fields is not null,
        null,
        drifted.fields,
        format('Runs leave out what does not fit. To compare the fields: select * from ipai.refresh_mirror(%L);', s.mirror)),
    (6, 'refused', newest.state = 'refused',
        s.failing_since,
        s.last_error,
        newest.hint),
    (7, 'flagged', counted.mirror_alerts > m.max_alert_ratio * counted.rows and m.max_alert_ratio < 1 and counted.rows >= 10,
        counted.finished_at,
        format('%s of %s rows have %s set; up to %s %% are usual',
               counted.mirror_alerts, counted.rows, m.alert_field, round((100 * m.max_alert_ratio)::numeric, 1)),
        format('select * from %s where %s; If that is usual: select ipai.alter_mirror(%L, max_alert_ratio => %s);', s.target,
               quote_ident((select f.field ->> 'column' from jsonb_array_elements(m.fields) f (field)
                            where f.field ->> 'field' = m.alert_field limit 1)),
               s.mirror, least(ceil(10.0 * counted.mirror_alerts / nullif(counted.rows, 0)) / 10, 1)))
) as alert (severity, kind, raised, since, message, hint)
where m.enabled and alert.raised
order by alert.severity, alert.since, s.mirror;
comment on view ipai.sync_alerts is 'What somebody should act on, worst first; empty when all enabled mirrors are well. Thresholds are columns of ipai.mirrors, changed by ipai.alter_mirror().';
comment on column ipai.sync_alerts.severity is '1 is worst.';
comment on column ipai.sync_alerts.kind is 'failing: more than max_failures runs in a row; late: due for longer than late_after; never: no run has brought it into step; delta: the counts differ by more than max_delta; drift: Odoo''s fields have changed; refused: a deletion that needs a person; flagged: more than max_alert_ratio of the rows have alert_field set.';
comment on column ipai.sync_alerts.mirror is 'Name of the mirror.';
comment on column ipai.sync_alerts.since is 'failing, refused: the first such run; late: when it was due; never: when it was registered; delta, flagged: when it was counted; drift: unknown.';
comment on column ipai.sync_alerts.message is 'What is wrong.';
comment on column ipai.sync_alerts.hint is 'What to do.';

create function ipai.notify_alerts() returns integer
language plpgsql volatile
set search_path = pg_catalog, pg_temp
-- Compiling would take longer than running.
set jit = off
as $$
declare
    mirrors text[];
    raised jsonb;
    cleared jsonb;
    payload jsonb;
begin
    -- What somebody else has locked is left to the next call: nothing waits here.
    select array_agg(changed.name) into mirrors
    from (
        select m.name
        from ipai.mirrors m
        left join (select a.mirror, array_agg(a.kind order by a.kind) as kinds from ipai.sync_alerts a group by a.mirror) a on a.mirror = m.name
        where m.alerts <> coalesce(a.kinds, '{}')
          -- While it runs, it looks neither late nor as if it had never run. Its end tells.
          and not exists (select from ipai.sync_runs r where r.mirror = m.name and r.finished_at is null and r.state = 'running')
        for no key update of m skip locked) changed;
    if mirrors is null then
        return 0;
    end if;
    -- Looked at again, now that nobody else can tell the same.
    with kinds as (
        select a.severity, a.kind, a.mirror from ipai.sync_alerts a where a.mirror = any (mirrors)
    ), told as (
        select m.name as mirror, k.kind from ipai.mirrors m cross join unnest(m.alerts) k (kind) where m.name = any (mirrors)
    ), kept as (
        update ipai.mirrors m
        set alerts = coalesce((select array_agg(k.kind order by k.kind) from kinds k where k.mirror = m.name), '{}')
        where m.name = any (mirrors)
    )
    select coalesce((
               select jsonb_agg(jsonb_build_object('mirror', k.mirror, 'kind', k.kind, 'severity', k.severity)
                                order by k.severity, k.mirror)
               from kinds k where (k.mirror, k.kind) not in (select t.mirror, t.kind from told t)), '[]'),
           coalesce((
               select jsonb_agg(jsonb_build_object('mirror', t.mirror, 'kind', t.kind) order by t.mirror, t.kind)
               from told t where (t.mirror, t.kind) not in (select k.mirror, k.kind from kinds k)), '[]')
    into raised, cleared;
    if raised = '[]' and cleared = '[]' then
        return 0;
    end if;
    -- Any role may listen, and errors are for those who may read the view. A payload has less than 8000 bytes.
    payload := jsonb_build_object('raised', raised, 'cleared', cleared);
    if octet_length(payload::text) >= 7900 then
        payload := jsonb_build_object(
            'truncated', true, 'counts', jsonb_build_object('raised', jsonb_array_length(raised), 'cleared', jsonb_array_length(cleared)));
    end if;
    perform pg_notify('ipai_sync_alerts', payload::text);
    return jsonb_array_length(raised) + jsonb_array_length(cleared);
end
$$;
comment on function ipai.notify_alerts() is
    'Tells what has changed in ipai.sync_alerts since the last call, as NOTIFY ipai_sync_alerts: {"raised": [{"mirror", "kind", "severity"}], "cleared": [{"mirror", "kind"}]}; where that is too long, as {"truncated": true, "counts": {"raised", "cleared"}}. Returns the number of changes. What concerns a mirror that is running is told when it has ended. run_sync calls it when a run begins and when it has ended, a sync in the caller''s transaction does not; what only time brings (late, never) is told by the next call, so let pg_cron call it too.';

-- pgrx writes its functions without a schema.
set local search_path = ipai, pg_temp;
