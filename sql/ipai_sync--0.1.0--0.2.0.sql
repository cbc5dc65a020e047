-- From 0.1.0 to 0.2.0. A test compares the result with a new installation.
\echo Use "alter extension ipai_sync update" to load this file. \quit

-- Nothing of the schema may be called meanwhile: its owner may have planted it.
set local search_path = pg_catalog, pg_temp;

-- Tables

alter table ipai.mirrors
    add column constants        jsonb not null default '{}' check (jsonb_typeof(constants) = 'object'),
    add column has_write_date   boolean not null default true,
    add column drift            jsonb not null default '[]' check (jsonb_typeof(drift) = 'array'),
    add column schedule         text,
    add column scheduled_at     timestamptz check ((scheduled_at is null) = (schedule is null)),
    add column scheduled_by     text,
    add column late_after       interval not null default '15 minutes' check (late_after >= interval '0'),
    add column max_failures     integer not null default 0 check (max_failures >= 0),
    add column max_delta        bigint not null default 0 check (max_delta >= 0),
    add column max_alert_ratio  double precision not null default 0.25 check (max_alert_ratio between 0 and 1),
    add column alerts           text[] not null default '{}',
    drop constraint mirrors_target_schema_target_table_key,
    add unique (target_schema, target_table, constants);
comment on column ipai.mirrors.constants is 'Columns that hold the same text in every row of this mirror, {"tenant": "acme"}: part of its key, so that several mirrors can share a table.';
comment on column ipai.mirrors.has_write_date is 'Whether Odoo''s model tells when a record was last written; without it every run is full.';
comment on column ipai.mirrors.drift is 'Mirrored fields that Odoo no longer has, or no longer with a fitting type, as the last look at them found: [{"field": ..., "problem": ...}, ...]. Runs leave them out.';
comment on column ipai.mirrors.schedule is 'Cron schedule in GMT that ipai.schedule_sync() was called with; null for none.';
comment on column ipai.mirrors.scheduled_at is 'When it was.';
comment on column ipai.mirrors.scheduled_by is 'Who called it: the job runs as this role.';
comment on column ipai.mirrors.late_after is 'How long after it was due a run may still be missing before ipai.sync_alerts says so.';
comment on column ipai.mirrors.max_failures is 'Failed runs in a row that raise no alert yet.';
comment on column ipai.mirrors.max_delta is 'Difference of the counts, either way, that raises no alert yet.';
comment on column ipai.mirrors.max_alert_ratio is 'Part of the rows (0 to 1) whose alert_field may be set before that is an alert itself.';
comment on column ipai.mirrors.alerts is 'Kinds of alerts that were last told by NOTIFY ipai_sync_alerts.';

alter table ipai.run_log
    drop constraint run_log_pkey,
    add primary key (mirror, run);
drop index ipai.run_log_mirror_idx;
create index run_log_run_idx on ipai.run_log using hash (run);
create index run_log_complete_idx on ipai.run_log (mirror, run desc) where complete and mode <> 'since';
create index run_log_failed_idx on ipai.run_log (mirror, run desc) where state in ('failed', 'refused');
create index run_log_open_idx on ipai.run_log (mirror, run desc) where finished_at is null;

-- Functions of the library

drop function ipai.alter_mirror(text, text);
create function ipai.alter_mirror(
	"mirror" TEXT,
	"server" TEXT DEFAULT NULL,
	"domain" jsonb DEFAULT NULL,
	"lang" TEXT DEFAULT NULL,
	"company_ids" bigint[] DEFAULT NULL,
	"page_size" INT DEFAULT NULL,
	"overlap" interval DEFAULT NULL,
	"reconcile_every" interval DEFAULT NULL,
	"max_delete_ratio" double precision DEFAULT NULL,
	"enabled" bool DEFAULT NULL,
	"alert_field" TEXT DEFAULT NULL,
	"late_after" interval DEFAULT NULL,
	"max_failures" INT DEFAULT NULL,
	"max_delta" bigint DEFAULT NULL,
	"max_alert_ratio" double precision DEFAULT NULL
) RETURNS void
SET search_path TO pg_catalog, pg_temp
LANGUAGE c
AS 'MODULE_PATHNAME', 'alter_mirror_options_wrapper';

create function ipai.create_mirror(
	"odoo_model" TEXT,
	"target" TEXT DEFAULT NULL,
	"fields" TEXT[] DEFAULT NULL,
	"domain" jsonb DEFAULT NULL,
	"server" TEXT DEFAULT NULL,
	"name" TEXT DEFAULT NULL,
	"columns" jsonb DEFAULT NULL,
	"constants" jsonb DEFAULT NULL,
	"lang" TEXT DEFAULT NULL,
	"company_ids" bigint[] DEFAULT NULL,
	"page_size" INT DEFAULT NULL,
	"max_delete_ratio" double precision DEFAULT NULL,
	"overlap" interval DEFAULT NULL,
	"reconcile_every" interval DEFAULT NULL,
	"enabled" bool DEFAULT NULL,
	"alert_field" TEXT DEFAULT NULL
) RETURNS TABLE (
	"mirror" TEXT,
	"target" TEXT,
	"field" TEXT,
	"column" TEXT,
	"column_type" TEXT,
	"label" TEXT
)
SET search_path TO pg_catalog, pg_temp
LANGUAGE c
AS 'MODULE_PATHNAME', 'create_mirror_wrapper';
create function ipai.drop_mirror(
	"mirror" TEXT,
	"drop_table" bool DEFAULT false
) RETURNS void
SET search_path TO pg_catalog, pg_temp
LANGUAGE c
AS 'MODULE_PATHNAME', 'drop_mirror_wrapper';
create function ipai.refresh_mirror(
	"mirror" TEXT,
	"add_fields" TEXT[] DEFAULT NULL,
	"drop_fields" TEXT[] DEFAULT NULL
) RETURNS TABLE (
	"field" TEXT,
	"column" TEXT,
	"column_type" TEXT,
	"status" TEXT,
	"note" TEXT
)
SET search_path TO pg_catalog, pg_temp
LANGUAGE c
AS 'MODULE_PATHNAME', 'refresh_mirror_wrapper';
create function ipai.odoo_models(
	"server" TEXT DEFAULT NULL
) RETURNS TABLE (
	"model" TEXT,
	"label" TEXT,
	"mirrored_as" TEXT[]
)
SET search_path TO pg_catalog, pg_temp
LANGUAGE c
AS 'MODULE_PATHNAME', 'odoo_models_wrapper';
create function ipai.odoo_fields(
	"server" TEXT DEFAULT NULL,
	"model" TEXT DEFAULT NULL
) RETURNS TABLE (
	"field" TEXT,
	"label" TEXT,
	"odoo_type" TEXT,
	"stored" bool,
	"required" bool,
	"relation" TEXT,
	"column_type" TEXT,
	"by_default" bool,
	"mirrored_as" TEXT[]
)
SET search_path TO pg_catalog, pg_temp
LANGUAGE c
AS 'MODULE_PATHNAME', 'odoo_fields_wrapper';
create function ipai.odoo_call(
	"server" TEXT,
	"model" TEXT,
	"method" TEXT,
	"args" jsonb DEFAULT '[]',
	"kwargs" jsonb DEFAULT '{}'
) RETURNS jsonb
SET search_path TO pg_catalog, pg_temp
LANGUAGE c
AS 'MODULE_PATHNAME', 'odoo_call_wrapper';
create function ipai.next_run(
	"schedule" TEXT,
	"after" timestamp
) RETURNS timestamp
IMMUTABLE STRICT PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
LANGUAGE c
AS 'MODULE_PATHNAME', 'next_run_wrapper';
create function ipai.cron_timezone() RETURNS TEXT
STRICT STABLE PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
LANGUAGE c
AS 'MODULE_PATHNAME', 'cron_timezone_wrapper';
comment on function ipai.odoo_models(text) is
    'The models that the Odoo user may read, with the mirrors that they have. Without an argument: of the only server there is.';
comment on function ipai.odoo_fields(text, text) is
    'The fields of a model that the Odoo user may read: Odoo''s type, whether Odoo stores it, the type of the column that create_mirror gives it (null: it cannot be mirrored), whether create_mirror takes it unasked, and the columns (mirror.column) that hold it already. server null: the only one there is.';
comment on function ipai.odoo_call(text, text, text, jsonb, jsonb) is
    'Calls a method of a model in Odoo: arguments by position (a JSON array) and by name (a JSON object), the result as JSON. It may change something, so it is never sent twice. A result with Python''s None in it cannot travel: null, with a warning; the method has done its work then.';
comment on function ipai.create_mirror(text, text, text[], jsonb, text, text, jsonb, jsonb, text, bigint[], integer, double precision, interval, interval, boolean, text) is
    'Mirrors a model of Odoo: makes the table target (schema.table, by default ipai.<model with underscores>) as the caller and registers the mirror (name, by default the table''s). fields: by default all that Odoo stores but binary and one2many. columns: {"field": "column"} where they differ; with it an existing table can be the target. constants: {"column": value}, the same in every row of this mirror and part of its key, so that several mirrors can share a table. The other options as for alter_mirror. One row a mirrored field.';
comment on function ipai.alter_mirror(text, text, jsonb, text, bigint[], integer, interval, interval, double precision, boolean, text, interval, integer, bigint, double precision) is
    'Changes options of a mirror; null leaves one as it is, an empty text takes lang or alert_field away. server, domain, lang, company_ids: what changes rows or values makes the next run full. page_size: records a call; overlap: how far behind the cursor a run begins; reconcile_every: how often everything is read; max_delete_ratio: largest part of the rows (0 to 1) that one run may delete; enabled: whether run_sync without a name includes it; alert_field: boolean field that marks alerts. Thresholds of ipai.sync_alerts: late_after, max_failures, max_delta, max_alert_ratio.';
comment on function ipai.drop_mirror(text, boolean) is
    'Forgets a mirror, its runs and the current user''s schedule of it. The table stays, unless drop_table.';
comment on function ipai.refresh_mirror(text, text[], text[]) is
    'Compares the fields of a mirror with Odoo''s: ok, added, new (in Odoo, not mirrored), gone or changed (the column keeps what it has). add_fields: fields to mirror too; they get columns, and the next run fills them for all rows. drop_fields: fields to mirror no longer; their columns stay.';

-- Views
create or replace view ipai.sync_count_delta with (security_invoker = on) as
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
    select r.* from ipai.run_log r
    where r.mirror = m.name and r.odoo_count is not null
    order by r.run desc
    limit 1) c on true;
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
comment on column ipai.sync_status.schedule is 'Cron schedule of ipai.schedule_sync(); null for none.';
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
        format('What pg_cron says: select * from cron.job_run_details where command = %L order by runid desc limit 5; '
               'Its jobs after a restore: select * from ipai.restore_schedules(); At once: call ipai.run_sync(%L);',
               format('call ipai.run_sync(%L)', s.mirror), s.mirror)),
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
        for no key update of m skip locked) changed;
    if mirrors is null then
        return 0;
    end if;
    -- Looked at again, now that nobody else can tell the same.
    with kinds as (
        select a.severity, a.kind, a.mirror, a.message from ipai.sync_alerts a where a.mirror = any (mirrors)
    ), told as (
        select m.name as mirror, k.kind from ipai.mirrors m cross join unnest(m.alerts) k (kind) where m.name = any (mirrors)
    ), kept as (
        update ipai.mirrors m
        set alerts = coalesce((select array_agg(k.kind order by k.kind) from kinds k where k.mirror = m.name), '{}')
        where m.name = any (mirrors)
    )
    select coalesce((
               select jsonb_agg(jsonb_build_object('mirror', k.mirror, 'kind', k.kind, 'severity', k.severity, 'message', k.message)
                                order by k.severity, k.mirror)
               from kinds k where (k.mirror, k.kind) not in (select t.mirror, t.kind from told t)), '[]'),
           coalesce((
               select jsonb_agg(jsonb_build_object('mirror', t.mirror, 'kind', t.kind) order by t.mirror, t.kind)
               from told t where (t.mirror, t.kind) not in (select k.mirror, k.kind from kinds k)), '[]')
    into raised, cleared;
    if raised = '[]' and cleared = '[]' then
        return 0;
    end if;
    -- A payload has less than 8000 bytes.
    payload := jsonb_build_object('raised', raised, 'cleared', cleared);
    if octet_length(payload::text) >= 7900 then
        payload := jsonb_build_object(
            'raised', (select coalesce(jsonb_agg(r.alert - 'message' order by r.place), '[]')
                       from jsonb_array_elements(raised) with ordinality r (alert, place)),
            'cleared', cleared);
    end if;
    if octet_length(payload::text) >= 7900 then
        payload := jsonb_build_object(
            'truncated', true, 'counts', jsonb_build_object('raised', jsonb_array_length(raised), 'cleared', jsonb_array_length(cleared)));
    end if;
    perform pg_notify('ipai_sync_alerts', payload::text);
    return jsonb_array_length(raised) + jsonb_array_length(cleared);
end
$$;
comment on function ipai.notify_alerts() is
    'Tells what has changed in ipai.sync_alerts since the last call, as NOTIFY ipai_sync_alerts: {"raised": [{"mirror", "kind", "severity", "message"}], "cleared": [{"mirror", "kind"}]}; where that is too long, without messages or as {"truncated": true, "counts": {"raised", "cleared"}}. Returns the number of changes. run_sync calls it when a run has ended, a sync in the caller''s transaction does not; what only time brings (late, never) is told by the next call, so let pg_cron call it too.';

-- Schedules
create or replace function ipai.schedule_sync(mirror text, schedule text) returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    job bigint;
begin
    perform ipai.require_cron();
    perform ipai.require_mirror(mirror);
    if schedule is null then
        raise exception 'schedule must not be null'
            using errcode = 'invalid_parameter_value', hint = 'Give a cron schedule such as */15 * * * *.';
    end if;
    if not exists (select from ipai.mirrors m where m.name = mirror) then
        -- It registers the built-in one.
        perform ipai.alter_mirror(mirror);
    end if;
    begin
        -- pg_cron takes whatever follows five fields for a command, and leaves it out.
        if schedule !~ '^\s*(\S+\s+){4}\S+\s*$' and schedule !~ '^\s*(@\w+|\d+\s+seconds?)\s*$' then
            raise exception 'There are not five fields.';
        end if;
        job := cron.schedule('ipai_sync ' || mirror, schedule, format('call ipai.run_sync(%L)', mirror));
    exception
        when insufficient_privilege or read_only_sql_transaction or lock_not_available or insufficient_resources then
            raise;
        when others then
            raise exception 'pg_cron does not understand the schedule "%"', schedule
                using errcode = 'invalid_parameter_value', detail = sqlerrm,
                      hint = 'Five fields: minute hour day month weekday, in GMT. */15 * * * * is every 15 minutes.';
    end;
    if schedule !~ '@re(boot|start)' and ipai.next_run(schedule, now() at time zone ipai.cron_timezone()) is null then
        raise exception 'the schedule "%" never comes', schedule
            using errcode = 'invalid_parameter_value',
                  hint = 'Five fields: minute hour day month weekday, in GMT. */15 * * * * is every 15 minutes.';
    end if;
    update ipai.mirrors m
    set schedule = schedule_sync.schedule, scheduled_at = now(), scheduled_by = current_user
    where m.name = mirror;
    return job;
end
$$;
create or replace function ipai.unschedule_sync(mirror text) returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    job bigint;
    found_one boolean := false;
begin
    perform ipai.require_cron();
    for job in
        select j.jobid from cron.job j
        where j.jobname in ('ipai_sync ' || mirror, 'ipai_sync now ' || mirror) and j.username = current_user
    loop
        found_one := cron.unschedule(job) or found_one;
    end loop;
    -- Another role's job goes on, and nobody but that role can see it.
    update ipai.mirrors m
    set schedule = null, scheduled_at = null, scheduled_by = null
    where m.name = mirror and m.scheduled_by = current_user;
    return found_one or found;
end
$$;
create function ipai.restore_schedules() returns table (mirror text, schedule text, job bigint, problem text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform ipai.require_cron();
    for mirror, schedule in
        select m.name, m.schedule from ipai.mirrors m where m.scheduled_by = current_user order by m.name
    loop
        job := null;
        problem := null;
        begin
            job := ipai.schedule_sync(mirror, schedule);
        exception
            when others then
                problem := sqlerrm;
        end;
        return next;
    end loop;
end
$$;
create function ipai.has_cron() returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    -- What is only called like pg_cron's table may be anybody's, and a run would call it.
    return coalesce((
        select has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select')
        from pg_depend d
        join pg_extension e on e.oid = d.refobjid and d.refclassid = 'pg_extension'::regclass and e.extname = 'pg_cron'
        join pg_class c on c.oid = d.objid and d.classid = 'pg_class'::regclass and c.relname = 'job'
        join pg_namespace n on n.oid = c.relnamespace and n.nspname = 'cron'
        where d.deptype = 'e'), false);
end
$$;
create or replace function ipai.require_cron() returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if ipai.has_cron() then
        return;
    end if;
    if exists (select from pg_extension e where e.extname = 'pg_cron') then
        raise exception 'permission denied for pg_cron'
            using errcode = 'insufficient_privilege',
                  hint = format('On Supabase, do this as postgres. Elsewhere: grant usage on schema cron to %I;', current_user);
    end if;
    raise exception 'pg_cron is not installed in this database'
        using errcode = 'undefined_object',
              hint = 'create extension pg_cron; (it must be in shared_preload_libraries, and lives in the database that cron.database_name names).';
end
$$;
comment on function ipai.schedule_sync(text, text) is
    'Lets pg_cron run a mirror''s sync, as the current user: a cron schedule in GMT (or in cron.timezone), such as */15 * * * *. Again changes the schedule. Returns the job''s id.';
comment on function ipai.unschedule_sync(text) is
    'Takes the current user''s schedule of a mirror away, and what restore_schedules() would make again; false where there was neither.';
comment on function ipai.restore_schedules() is
    'Makes the current user''s pg_cron jobs of all mirrors again: after a restore, whose dump holds the schedules of ipai.mirrors but not pg_cron''s jobs. A job that is still there stays. problem: why there is none.';
comment on function ipai.has_cron() is 'Whether pg_cron is in this database, and the current user may use it.';

do $$
declare
    has_postgres constant boolean := exists (select from pg_catalog.pg_roles where rolname = 'postgres');
    member regprocedure;
begin
    -- Only the extension's own functions: others in the schema belong to the user.
    for member in
        select d.objid::regprocedure
        from pg_catalog.pg_depend d
        join pg_catalog.pg_extension e on e.oid = d.refobjid
        where d.classid = 'pg_catalog.pg_proc'::regclass::oid
          and d.refclassid = 'pg_catalog.pg_extension'::regclass::oid
          and d.deptype = 'e'
          and e.extname = 'ipai_sync'
    loop
        execute pg_catalog.format('revoke all on routine %s from public', member);
        if has_postgres then
            execute pg_catalog.format('grant execute on routine %s to postgres with grant option', member);
        end if;
    end loop;

    if has_postgres then
        grant usage, create on schema ipai to postgres with grant option;
        grant usage on foreign data wrapper ipai_odoo to postgres with grant option;
        grant select, insert, update, delete on ipai.mirrors, ipai.run_log, ipai.odoo_logins to postgres with grant option;
        grant select on
            ipai.sync_runs, ipai.sync_count_delta, ipai.sample_metrics_count_delta, ipai.sync_status, ipai.sync_alerts
        to postgres with grant option;
        -- To dump and restore the numbers of runs.
        grant select, usage, update on sequence ipai.run_log_run_seq to postgres with grant option;
    end if;

    if exists (select from pg_catalog.pg_roles where rolname = 'service_role') then
        grant usage on schema ipai to service_role;
        -- It may move a cursor, but say neither what is mirrored nor where to: others' runs would carry that out.
        grant select, update (cursor, shape, filled_as, drift, alerts) on ipai.mirrors to service_role;
        grant select, insert, update on ipai.odoo_logins to service_role;
        grant select, insert, update, delete on ipai.run_log to service_role;
        grant select on
            ipai.sync_runs, ipai.sync_count_delta, ipai.sample_metrics_count_delta, ipai.sync_status, ipai.sync_alerts
        to service_role;
        grant execute on routine
            ipai.run_sync(text, text, double precision),
            ipai.refresh_counts(text),
            ipai.sync_sample_metrics(date, integer, boolean),
            ipai.sync_mirror(text, timestamptz, integer, boolean, double precision),
            ipai.check_connection(text),
            ipai.odoo_version(text),
            ipai.notify_alerts(),
            ipai.has_cron(),
            -- What the views call, they call as whoever reads them.
            ipai.next_run(text, timestamp),
            ipai.cron_timezone()
        to service_role;
    end if;
end
$$;
