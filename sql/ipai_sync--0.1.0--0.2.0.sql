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
    add column filled_from      text,
    add column filled_company   timestamptz,
    add column settled_id       bigint,
    drop constraint mirrors_target_schema_target_table_key,
    add unique (target_schema, target_table, constants);

-- Runs ask for fewer by themselves.
update ipai.mirrors set page_size = 20000 where page_size = 5000;

alter table ipai.odoo_logins
    add column addon boolean,
    add column database_uuid text;
comment on column ipai.mirrors.page_size is 'Most records asked of Odoo in one call; large records come in smaller pages.';
comment on column ipai.mirrors.filled_from is 'Odoo''s database.uuid of the database whose records the mirror holds, where the addon tells it: runs refuse any other one.';
comment on column ipai.mirrors.filled_company is 'When company 1 of that database was made (its create_date), where the Odoo user can see it: where filled_from does not tell, runs refuse a database in which it is another.';
comment on column ipai.mirrors.settled_id is 'Id in Odoo of the record at the cursor, once runs have begun more than the overlap after it: from then on they read this record and newer ones, no overlap; null before.';
comment on column ipai.mirrors.constants is 'Columns that hold the same text in every row of this mirror, {"tenant": "acme"}: part of its key, so that several mirrors can share a table.';
comment on column ipai.mirrors.has_write_date is 'Whether Odoo''s model tells when a record was last written; without it every run is full.';
comment on column ipai.mirrors.drift is 'Mirrored fields that Odoo no longer has, or no longer with a fitting type, as the last look at them found: [{"field": ..., "problem": ...}, ...]. Runs leave them out.';
comment on column ipai.mirrors.schedule is 'Cron schedule in GMT that ipai.schedule_sync() or ipai.expect_sync() was called with; null for none.';
comment on column ipai.mirrors.scheduled_at is 'When it was.';
comment on column ipai.mirrors.scheduled_by is 'Who called ipai.schedule_sync(): the job runs as this role; null where another scheduler is expected.';
comment on column ipai.mirrors.late_after is 'How long after it was due a run may still be missing before ipai.sync_alerts says so.';
comment on column ipai.mirrors.max_failures is 'Failed runs in a row that raise no alert yet.';
comment on column ipai.mirrors.max_delta is 'Difference of the counts, either way, that raises no alert yet.';
comment on column ipai.mirrors.max_alert_ratio is 'Part of the rows (0 to 1) whose alert_field may be set before that is an alert itself.';
comment on column ipai.mirrors.alerts is 'Kinds of alerts that were last told by NOTIFY ipai_sync_alerts.';
comment on column ipai.run_log.odoo_clock is 'Odoo''s clock at its first answer; that of the unfinished run, where this one went on with one.';
comment on table ipai.odoo_logins is 'What Odoo has told those who log in: user ids, remembered because a login costs Odoo half a second, and whether it has the addon ipai_sync. No secret: every call carries the password.';
comment on column ipai.odoo_logins.addon is 'Whether Odoo has the addon ipai_sync, which makes reading many times faster; full runs and ipai.check_connection() find out. Null: not yet.';
comment on column ipai.odoo_logins.database_uuid is 'Odoo''s database.uuid, which only the addon tells.';

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
drop function ipai.check_connection(text);
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
create function ipai.check_connection(
	"server" TEXT DEFAULT NULL
) RETURNS TABLE (
	"server" TEXT,
	"url" TEXT,
	"dbname" TEXT,
	"odoo_version" TEXT,
	"addon" bool,
	"login" TEXT,
	"uid" bigint,
	"latency_ms" double precision,
	"model" TEXT,
	"readable" bool,
	"records" bigint,
	"problem" TEXT,
	"hint" TEXT
)
SET search_path TO pg_catalog, pg_temp
LANGUAGE c
AS 'MODULE_PATHNAME', 'check_connection_wrapper';

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
comment on function ipai.check_connection(text) is
    'Connects to Odoo, logs in, and tells for each mirrored model whether it can be read and how many records it has (archived ones included). latency_ms is one small call; addon tells whether Odoo has the addon ipai_sync, which makes reading many times faster. Errors say what is wrong and what to do.';
comment on function ipai.odoo_models(text) is
    'The models that the Odoo user may read, with the mirrors that they have. Without an argument: of the only server there is.';
comment on function ipai.odoo_fields(text, text) is
    'The fields of a model that the Odoo user may read: Odoo''s type, whether Odoo stores it, the type of the column that create_mirror gives it (null: it cannot be mirrored), whether create_mirror takes it unasked, and the columns (mirror.column) that hold it already. server null: the only one there is.';
comment on function ipai.odoo_call(text, text, text, jsonb, jsonb) is
    'Calls a method of a model in Odoo: arguments by position (a JSON array) and by name (a JSON object), the result as JSON. It may change something, so it is never sent twice. A result with Python''s None in it cannot travel: null, with a warning; the method has done its work then.';
comment on function ipai.create_mirror(text, text, text[], jsonb, text, text, jsonb, jsonb, text, bigint[], integer, double precision, interval, interval, boolean, text) is
    'Mirrors a model of Odoo: makes the table target (schema.table, by default ipai.<model with underscores>) as the caller and registers the mirror (name, by default the table''s). fields: by default all that Odoo stores but binary and one2many. columns: {"field": "column"} where they differ; with it an existing table can be the target. constants: {"column": value}, the same in every row of this mirror and part of its key, so that several mirrors can share a table. The other options as for alter_mirror. One row a mirrored field.';
comment on function ipai.alter_mirror(text, text, jsonb, text, bigint[], integer, interval, interval, double precision, boolean, text, interval, integer, bigint, double precision) is
    'Changes options of a mirror; null leaves one as it is, an empty text takes lang or alert_field away. server, domain, lang, company_ids: what changes rows or values makes the next run full. page_size: most records a call; overlap: how far behind the cursor a run begins; reconcile_every: how often everything is read; max_delete_ratio: largest part of the rows (0 to 1) that one run may delete; enabled: whether run_sync without a name includes it; alert_field: boolean field that marks alerts. Thresholds of ipai.sync_alerts: late_after, max_failures, max_delta, max_alert_ratio.';
comment on function ipai.drop_mirror(text, boolean) is
    'Forgets a mirror, its runs and the current user''s schedule of it. The table stays, unless drop_table.';
comment on function ipai.refresh_mirror(text, text[], text[]) is
    'Compares the fields of a mirror with Odoo''s: ok, added, new (in Odoo, not mirrored), gone or changed (the column keeps what it has). add_fields: fields to mirror too; they get columns, and the next run fills them for all rows. drop_fields: fields to mirror no longer; their columns stay.';
comment on procedure ipai.run_sync(text, text, double precision) is
    'Brings a mirror into step with Odoo, a commit a page; without a name all enabled mirrors. mode: auto (incremental; everything when that is due), incremental, reconcile (incremental, and all ids compared) or full. max_delete_ratio: largest part of the rows (0 to 1) that may be deleted, 100 rows always. Must be the only statement sent. An interrupted run is gone on with by the next one, and an incremental one follows at once for what was written meanwhile. Runs are recorded in ipai.sync_runs, failed ones too.';

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
    select r.odoo_count, r.odoo_active, r.mirror_count, r.mirror_active, r.finished_at from ipai.run_log r
    where r.mirror = m.name and r.odoo_count is not null
    order by r.run desc
    limit 1) c on true;
comment on column ipai.sync_runs.odoo_clock is 'Odoo''s clock at its first answer; that of the unfinished run, where this one went on with one.';
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
create function ipai.expect_sync(mirror text, schedule text) returns timestamptz
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    next_due timestamptz;
begin
    perform ipai.require_mirror(mirror);
    next_due := ipai.next_run(schedule, now() at time zone ipai.cron_timezone()) at time zone ipai.cron_timezone();
    if schedule is not null and next_due is null then
        raise exception 'the schedule "%" is not understood, or never comes', schedule
            using errcode = 'invalid_parameter_value',
                  hint = 'Five fields: minute hour day month weekday, in GMT. */15 * * * * is every 15 minutes.';
    end if;
    if not exists (select from ipai.mirrors m where m.name = mirror) then
        -- It registers the built-in one.
        perform ipai.alter_mirror(mirror);
    end if;
    if exists (select from ipai.mirrors m where m.name = mirror and m.scheduled_by is not null) then
        raise exception 'mirror "%" has a schedule of pg_cron', mirror
            using errcode = 'object_in_use', hint = format('One scheduler is enough. As the role that made it: select ipai.unschedule_sync(%L);', mirror);
    end if;
    update ipai.mirrors m
    set schedule = expect_sync.schedule, scheduled_at = case when expect_sync.schedule is not null then now() end
    where m.name = mirror;
    return next_due;
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
comment on function ipai.expect_sync(text, text) is
    'Says when a scheduler other than pg_cron runs a mirror''s sync, so that sync_alerts tells when it is late: a cron schedule in GMT (or in cron.timezone), such as */15 * * * *; null for none. Runs nothing. Returns when it is due next.';
comment on function ipai.unschedule_sync(text) is
    'Takes the current user''s schedule of a mirror away, and what restore_schedules() would make again; false where there was neither.';
comment on function ipai.restore_schedules() is
    'Makes the current user''s pg_cron jobs of all mirrors again: after a restore, whose dump holds the schedules of ipai.mirrors but not pg_cron''s jobs. A job that is still there stays. problem: why there is none.';
comment on function ipai.has_cron() is 'Whether pg_cron is in this database, and the current user may use it.';

create function ipai.has_vault() returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    -- What is only called like it may be anybody's, and would be run by whoever looks into it.
    select exists (
        select from pg_class c
        join pg_namespace n on n.oid = c.relnamespace
        join pg_roles o on o.oid = c.relowner
        join pg_roles s on s.oid = n.nspowner
        where n.nspname = 'vault' and c.relname = 'decrypted_secrets'
          and (o.rolsuper or o.rolname = current_user) and (s.rolsuper or s.rolname = current_user))
$$;
comment on function ipai.has_vault() is 'Whether Supabase Vault is in this database.';

create function ipai.set_odoo_password(server text, secret text) returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    mapping record;
    secret_name text;
    known uuid;
begin
    if secret is null or secret = '' then
        raise exception 'the secret must not be empty'
            using errcode = 'invalid_parameter_value', hint = 'It is the password or an API key of the Odoo user.';
    end if;
    if not exists (
        select from pg_foreign_server s join pg_foreign_data_wrapper w on w.oid = s.srvfdw
        where s.srvname = server and w.fdwname = 'ipai_odoo') then
        raise exception 'Odoo server "%" does not exist', server
            using errcode = 'undefined_object', hint = 'select srvname from pg_foreign_server shows the servers.';
    end if;
    if not ipai.has_vault() then
        raise exception 'Supabase Vault is not installed in this database'
            using errcode = 'undefined_object',
                  hint = 'create extension supabase_vault; or keep the password in a user mapping of your own: alter user mapping for current_user server ... options (set password ''...'').';
    end if;
    if not has_schema_privilege('vault', 'usage') or not has_table_privilege('vault.decrypted_secrets', 'select') then
        raise exception 'permission denied for Supabase Vault'
            using errcode = 'insufficient_privilege', hint = 'On Supabase, do this as postgres.';
    end if;
    -- The mapping that counts: one's own, else that of PUBLIC.
    select case when m.umuser = 0 then 'public' else 'current_user' end as whose, m.umoptions as options into mapping
    from pg_user_mappings m
    where m.srvname = server and (m.umuser = 0 or m.usename = current_user)
    order by m.umuser = 0
    limit 1;
    if not found then
        raise exception 'there is no user mapping for server "%"', server
            using errcode = 'undefined_object',
                  hint = format('create user mapping for current_user server %I options (user ''...'', password_secret %L); and this call again.',
                                server, 'odoo_' || server);
    end if;
    if mapping.options is null then
        raise exception 'permission denied for the user mapping of server "%"', server
            using errcode = 'insufficient_privilege', hint = 'Do this as the owner of the server.';
    end if;
    select substr(o, length('password_secret=') + 1) into secret_name
    from unnest(mapping.options) o where o like 'password_secret=%';
    if secret_name is null then
        raise exception 'the user mapping for server "%" does not say which secret it uses', server
            using errcode = 'invalid_parameter_value',
                  hint = format('alter user mapping for %s server %I options (drop password, add password_secret %L); and this call again.',
                                mapping.whose, server, 'odoo_' || server);
    end if;
    select s.id into known from vault.decrypted_secrets s where s.name = secret_name;
    if known is null then
        perform vault.create_secret(secret, secret_name);
    else
        perform vault.update_secret(known, secret);
    end if;
    return secret_name;
end
$$;
comment on function ipai.set_odoo_password(text, text) is
    'Keeps the password or API key of a server''s user mapping in Supabase Vault, under the name that its option password_secret says, which is returned. The next run uses it. A statement that is logged shows what it was called with: not for servers that log statements.';

create function ipai.protect_mirror(mirror text, claims jsonb, archived boolean default false) returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    target regclass;
    policy name;
    active text;
    column_name text;
    claim text;
    kind regtype;
    nothing text[] := '{}';
    something text[] := '{}';
    condition text;
    other name;
    helper record;
begin
    perform ipai.require_mirror(mirror);
    select to_regclass(format('%I.%I', m.target_schema, m.target_table)),
           (select f.field ->> 'column' from jsonb_array_elements(m.fields) f (field)
            where f.field ->> 'field' = 'active' and f.field ->> 'type' = 'boolean')
    into target, active
    from ipai.mirrors m where m.name = mirror;
    if target is null then
        raise exception 'mirror "%" has no table yet', mirror
            using errcode = 'undefined_table', hint = format('select ipai.alter_mirror(%L); registers it.', mirror);
    end if;
    if claims is null or jsonb_typeof(claims) <> 'object' or claims = '{}'
        or exists (select from jsonb_each(claims) c where jsonb_typeof(c.value) <> 'string') then
        raise exception 'claims is not a map of columns and claims'
            using errcode = 'invalid_parameter_value',
                  hint = 'It is a JSON object, ''{"brand_id": "ipai_brand_ids"}'': a row is for those whose token lists the column''s value under that name in app_metadata.';
    end if;
    if to_regrole('authenticated') is null then
        raise exception 'role "authenticated" does not exist'
            using errcode = 'undefined_object', hint = 'Policies are for Supabase''s API roles. Elsewhere, write one for your own roles.';
    end if;

    -- What policies call must stay when the extension goes, so it belongs to whoever protects. The migration has the same.
    for helper in
        select * from (values
            ('app_claim', 'jsonb', $f$
begin
  -- Once a transaction has set it locally, the setting is '' and not null for the rest of the session.
  return nullif(current_setting('request.jwt.claims', true), '')::jsonb -> 'app_metadata' -> claim;
exception when others then
  -- What cannot be read grants nothing, and is no reason for a query to fail.
  return null;
end
$f$, 'A claim of the app_metadata in the request''s token; null where there is none, or it cannot be read'),
            ('claims_all', 'boolean', $f$
declare
  claimed jsonb := ipai.app_claim(claim);
begin
  -- The type is looked at first: an object with a key "*" is no list.
  return coalesce(claimed = '"*"' or jsonb_typeof(claimed) = 'array' and claimed ? '*', false);
end
$f$, 'Whether the claim is "*", or a list with "*" in it: all'),
            ('claimed_id_ranges', 'int8multirange', $f$
declare
  claimed jsonb := ipai.app_claim(claim);
begin
  -- The type is looked at first: an object with a key "*" is no list.
  if claimed = '"*"' or jsonb_typeof(claimed) = 'array' and claimed ? '*' then
    return '{(,)}';
  elsif jsonb_typeof(claimed) is distinct from 'array' then
    return '{}';
  end if;
  -- `case` keeps the order of test and cast: whatever is not a whole number in range is left out. The end of a range is one more.
  return coalesce((
    select range_agg(int8range(id::bigint, id::bigint, '[]')) filter (where id = trunc(id) and id between 1 and 9223372036854775806)
      from jsonb_array_elements(claimed) as element,
           lateral (select case jsonb_typeof(element) when 'number' then element::numeric end) as number (id)), '{}');
end
$f$, 'The ids that the claim lists, as ranges; all for "*", or a list with "*" in it; empty where it is no list'),
            ('claimed_texts', 'text[]', $f$
declare
  claimed jsonb := ipai.app_claim(claim);
begin
  if jsonb_typeof(claimed) is distinct from 'array' then
    return '{}';
  end if;
  return array(select element #>> '{}' from jsonb_array_elements(claimed) as element where jsonb_typeof(element) = 'string');
end
$f$, 'The texts that the claim lists; empty where it is no list')
        ) as helpers (name, result, body, comment)
    loop
        if not exists (
            select from pg_proc p join pg_namespace n on n.oid = p.pronamespace
            where n.nspname = 'ipai' and p.proname = helper.name and p.proargtypes = '25'::oidvector) then
            execute format('create function ipai.%I(claim text) returns %s language plpgsql stable set search_path = pg_catalog, pg_temp as %L',
                           helper.name, helper.result, helper.body);
            execute format('comment on function ipai.%I(text) is %L', helper.name, helper.comment);
            execute format('revoke all on function ipai.%I(text) from public', helper.name);
        elsif not exists (
            select from pg_proc p join pg_namespace n on n.oid = p.pronamespace join pg_roles o on o.oid = p.proowner
            where n.nspname = 'ipai' and p.proname = helper.name and p.proargtypes = '25'::oidvector and not p.prosecdef
              and (o.rolsuper or o.rolname = current_user)) then
            raise exception 'function ipai.%(text) belongs to another role', helper.name
                using errcode = 'insufficient_privilege', hint = 'Do this as the role that ran the migrations.';
        end if;
        execute format('grant execute on function ipai.%I(text) to authenticated', helper.name);
    end loop;

    for column_name, claim in select c.key, c.value from jsonb_each_text(claims) c order by c.key loop
        select a.atttypid into kind
        from pg_attribute a where a.attrelid = target and a.attname = column_name and a.attnum > 0 and not a.attisdropped;
        if kind is null then
            raise exception 'table "%" has no column "%"', target, column_name
                using errcode = 'undefined_column', hint = 'claims names columns of the mirror''s table.';
        elsif kind not in ('bigint'::regtype, 'integer'::regtype, 'smallint'::regtype, 'text'::regtype, 'varchar'::regtype) then
            raise exception 'column "%" of type % cannot be compared with a claim', column_name, kind
                using errcode = 'invalid_parameter_value', hint = 'It is a whole number or a text.';
        end if;
        nothing := nothing || format('%I is null', column_name);
        -- The sub-selects are evaluated once a statement (InitPlan), not once a row. A list of ids is searched by halving, one of texts is hashed:
        -- an array that is no constant would be compared one by one for each row.
        if kind in ('text'::regtype, 'varchar'::regtype) then
            something := something || array[
                format('%I in (select unnest((select ipai.claimed_texts(%L))))', column_name, claim),
                format('%I is not null and (select ipai.claims_all(%L))', column_name, claim)];
        else
            something := something
                || format('%I%s <@ (select ipai.claimed_id_ranges(%L))', column_name, case when kind <> 'bigint'::regtype then '::bigint' end, claim);
        end if;
        if not exists (
            select from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
            where i.indrelid = target and a.attname = column_name and i.indisvalid and i.indexprs is null
              -- One of some rows only is no help for the others.
              and (i.indpred is null or pg_get_expr(i.indpred, i.indrelid) = format('(%I IS NOT NULL)', column_name))) then
            execute format('create index on %s (%I) where %I is not null', target, column_name, column_name);
        end if;
    end loop;
    condition := format('%s or %s', array_to_string(nothing, ' and '), array_to_string(something, ' or '));
    if active is not null and not archived then
        condition := format('%I and (%s)', active, condition);
    end if;
    select left(c.relname, 56) || '_tenant' into policy from pg_class c where c.oid = target;
    execute format('alter table %s enable row level security', target);
    if exists (select from pg_policy p where p.polrelid = target and p.polname = policy) then
        execute format('drop policy %I on %s', policy, target);
    end if;
    execute format('create policy %I on %s for select to authenticated using (%s)', policy, target, condition);
    execute format('comment on policy %I on %s is %L', policy, target, 'Rows of nobody, and those whose owner the token lists');
    execute format('grant usage on schema %s to authenticated', (select c.relnamespace::regnamespace from pg_class c where c.oid = target));
    execute format('grant select on table %s to authenticated', target);
    -- Policies add up: what one shows, another cannot hide.
    for other in
        select p.polname from pg_policy p
        where p.polrelid = target and p.polname <> policy and p.polpermissive and p.polcmd in ('r', '*')
          and exists (select from unnest(p.polroles) r where r = 0 or pg_has_role('authenticated', r, 'usage'))
        order by 1
    loop
        raise warning 'policy "%" of table "%" shows users of the API what it did before', other, target
            using hint = format('If it is to show no more than this one: drop policy %I on %s;', other, target);
    end loop;
    return condition;
end
$$;
comment on function ipai.protect_mirror(text, jsonb, boolean) is
    'Lets users of the API read a mirror''s table, each the rows that are theirs: claims maps columns to the names of claims in the token''s app_metadata, {"brand_id": "ipai_brand_ids"}. A row is visible to those whose claim lists the value of one of the columns (or is "*"), and to everybody signed in where all of them are null; archived ones only if archived. Writes policy, grants and indexes, as the table''s owner. Returns the policy''s condition.';

create function ipai.mirror_tables() returns table (target text, relrowsecurity boolean, policies bigint, readable boolean, published boolean)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select format('%I.%I', n.nspname, c.relname), c.relrowsecurity,
           (select count(*) from pg_policy p
            where p.polrelid = c.oid and p.polpermissive and p.polcmd in ('r', '*')
              and exists (select from unnest(p.polroles) r where r = 0 or pg_has_role(to_regrole('authenticated'), r, 'usage'))),
           coalesce((select has_any_column_privilege(r.oid, c.oid, 'select') from pg_roles r where r.rolname = 'authenticated'), false),
           exists (select from pg_publication_tables t
                   where t.pubname = 'supabase_realtime' and t.schemaname = n.nspname and t.tablename = c.relname)
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    where exists (select from ipai.mirrors m where m.target_schema = n.nspname and m.target_table = c.relname)
$$;
comment on function ipai.mirror_tables() is 'The mirrors'' tables, as ipai.doctor() looks at them.';

create function ipai.password_state(server text) returns table (state text, finding text, remedy text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    mapping record;
    secret_name text;
    plain_for_all boolean;
begin
    select exists (
        select from pg_user_mappings m, unnest(m.umoptions) o where m.srvname = server and m.umuser = 0 and o like 'password=%')
    into plain_for_all;
    select m.umuser = 0 as for_all, m.umoptions as options into mapping
    from pg_user_mappings m
    where m.srvname = server and (m.umuser = 0 or m.usename = current_user)
    order by m.umuser = 0
    limit 1;
    if not found then
        state := 'problem';
        finding := 'this role has no user mapping';
        remedy := format('create user mapping for current_user server %I options (user ''...'', password_secret %L);', server, 'odoo_' || server);
        return next;
        return;
    elsif plain_for_all then
        state := 'problem';
        finding := 'a plain password for PUBLIC: every user of the server could use it, and dumps show it. No run uses it';
        remedy := case
            when not mapping.for_all then format('drop user mapping for public server %I;', server)
            when ipai.has_vault()
                then format('alter user mapping for public server %1$I options (drop password, add password_secret %2$L); select ipai.set_odoo_password(%3$L, ''...'');',
                            server, 'odoo_' || server, server)
            else format('drop user mapping for public server %1$I; create user mapping for current_user server %1$I options (user ''...'', password ''...'');',
                        server)
        end;
        return next;
        return;
    elsif mapping.options is null then
        state := 'unknown';
        finding := 'this role may not see the options of the user mapping';
        return next;
        return;
    end if;
    select substr(o, length('password_secret=') + 1) into secret_name
    from unnest(mapping.options) o where o like 'password_secret=%';
    if secret_name is null then
        state := 'ok';
        finding := 'a plain password, in the mapping of this role only; dumps show it';
    elsif not ipai.has_vault() then
        state := 'problem';
        finding := 'the password is to be in Supabase Vault, which is not installed';
        remedy := 'create extension supabase_vault;';
    elsif not has_schema_privilege('vault', 'usage') or not has_table_privilege('vault.decrypted_secrets', 'select') then
        state := 'problem';
        finding := 'this role may not read Supabase Vault: sync as postgres or service_role';
        remedy := format('grant usage on schema vault to %1$I; grant select on vault.decrypted_secrets to %1$I;', current_user);
    elsif not exists (select from vault.decrypted_secrets s where s.name = secret_name) then
        state := 'problem';
        finding := format('Vault has no secret named "%s"', secret_name);
        remedy := format('select ipai.set_odoo_password(%L, ''...'');', server);
    else
        state := 'ok';
        finding := format('in Vault, as "%s"', secret_name);
    end if;
    return next;
end
$$;
comment on function ipai.password_state(text) is 'Where the current user''s password for a server is, as ipai.doctor() looks at it.';

create function ipai.doctor() returns table ("check" text, object text, state text, finding text, remedy text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    lacking text;
    jobless text[] := '{}';
begin
    -- Whoever was granted this need not have been granted what it looks at.
    select string_agg(format('grant %s to %I;', p.privilege, current_user), ' ') into lacking
    from (values ('select on ipai.mirrors', has_table_privilege('ipai.mirrors', 'select')),
                 ('select on ipai.run_log', has_table_privilege('ipai.run_log', 'select')),
                 ('execute on function ipai.has_cron()', has_function_privilege('ipai.has_cron()', 'execute')),
                 ('execute on function ipai.has_vault()', has_function_privilege('ipai.has_vault()', 'execute')),
                 ('execute on function ipai.password_state(text)', has_function_privilege('ipai.password_state(text)', 'execute')),
                 ('execute on function ipai.mirror_tables()', has_function_privilege('ipai.mirror_tables()', 'execute')))
        as p (privilege, granted)
    where not p.granted;

    -- The API shows the schemas that it is told to. It may be told elsewhere, which the database cannot know.
    return query
    select 'exposed schema', 'ipai'::text,
           case when r.oid is null or setting.schemas is null then 'unknown' when 'ipai' = any (setting.list) then 'ok' else 'problem' end,
           case when r.oid is null then 'there is no role authenticator: PostgREST connects as another, or not at all'
                when setting.schemas is null then 'the exposed schemas are not set in the database, but in PostgREST''s own settings (on Supabase: API settings)'
                when 'ipai' = any (setting.list) then 'the API shows schema ipai'
                else format('the API shows only %s', setting.schemas) end,
           case when r.oid is null or 'ipai' = any (setting.list) then null
                -- A list in the database would take the place of that one, with whatever else is in it.
                when setting.schemas is null then 'Add ipai to the list there (on Supabase: API settings; elsewhere db-schemas or PGRST_DB_SCHEMAS).'
                else format('alter role authenticator%s set pgrst.db_schemas = %L; notify pgrst, ''reload config'';',
                            case when setting.here then format(' in database %I', current_database()) end, setting.schemas || ', ipai') end
    from (select) one
    left join pg_roles r on r.rolname = 'authenticator'
    left join lateral (
        select s.schemas, s.here, string_to_array(replace(s.schemas, ' ', ''), ',') as list
        from (
            select nullif(substr(c, length('pgrst.db_schemas=') + 1), '') as schemas, d.setdatabase <> 0 as here
            from pg_db_role_setting d, unnest(d.setconfig) c
            where d.setrole = r.oid and c like 'pgrst.db_schemas=%'
              and d.setdatabase in (0, (select oid from pg_database where datname = current_database()))
            order by d.setdatabase desc limit 1) s) setting on true;

    -- Servers
    return query
    select 'address', s.srvname::text,
           case when o.https or o.here then 'ok' else 'problem' end,
           case when o.https then 'https'
                when o.here then 'plain http to this machine'
                else 'plain http sends the password in clear over the network' end,
           case when not o.https and not o.here
                then format('alter server %I options (set url %L%s);', s.srvname, regexp_replace(o.url, '^http:', 'https:', 'i'),
                            case when o.insecure then ', drop allow_insecure' end) end
    from pg_foreign_server s
    join pg_foreign_data_wrapper w on w.oid = s.srvfdw and w.fdwname = 'ipai_odoo'
    cross join lateral (
        select t.url, t.insecure, t.url ~* '^https:' as https,
               -- Through a proxy even localhost is somewhere else.
               not t.proxy and t.url ~* '^http://(([^/?#]+\.)?localhost|127\.[0-9.]+|\[::1\])(:|/|$)' as here
        from (
            select max(x.option_value) filter (where x.option_name = 'url') as url,
                   bool_or(x.option_name = 'proxy') as proxy, bool_or(x.option_name = 'allow_insecure') as insecure
            from pg_options_to_table(s.srvoptions) x) t) o
    order by 2;

    if lacking is not null then
        return query select 'privileges', current_user::text, 'unknown', 'this role may not look at everything: there are more checks', lacking;
        return;
    end if;

    return query
    select 'password', s.srvname::text, p.state, p.finding, p.remedy
    from pg_foreign_server s
    join pg_foreign_data_wrapper w on w.oid = s.srvfdw and w.fdwname = 'ipai_odoo'
    cross join lateral ipai.password_state(s.srvname::text) p
    order by 2;

    -- pg_cron
    return query
    select 'pg_cron', null::text,
           case when ipai.has_cron() then 'ok' else 'problem' end,
           case when ipai.has_cron() then 'pg_cron is there'
                when e.oid is not null then 'this role may not use pg_cron'
                else 'pg_cron is not installed in this database, so nothing syncs by itself' end,
           case when ipai.has_cron() then null
                when e.oid is not null then format('grant usage on schema cron to %I;', current_user)
                else 'create extension pg_cron;' end
    from (select) one left join pg_extension e on e.extname = 'pg_cron';

    -- Mirrors
    return query
    select 'row-level security', t.target,
           case when t.relrowsecurity then 'ok' else 'problem' end,
           case when t.relrowsecurity then 'on' else 'off: whoever may select sees every row' end,
           case when t.relrowsecurity then null else format('alter table %s enable row level security;', t.target) end
    from ipai.mirror_tables() t
    order by t.target;

    return query
    select 'policies', t.target,
           case when not t.readable or t.policies > 0 then 'ok' else 'problem' end,
           case when not t.readable then 'users of the API may not read it'
                when t.policies > 0 then format('%s for users of the API', t.policies)
                else 'users of the API may read it, and no policy shows them a row' end,
           -- Where there are tenants, each is to see its own.
           case when not t.readable or t.policies > 0 then null
                when m.name = 'sample_metrics'
                then 'select ipai.protect_mirror(''sample_metrics'', ''{"brand_id": "ipai_brand_ids", "store_id": "ipai_store_ids"}'');'
                when m.claims is not null then format('select ipai.protect_mirror(%L, %L);', m.name, m.claims)
                else format('create policy everybody on %s for select to authenticated using (true);', t.target) end
    from ipai.mirror_tables() t
    cross join lateral (
        select m.name, (select jsonb_object_agg(c.key, 'ipai_' || c.key) from jsonb_each(m.constants) c where jsonb_typeof(c.value) <> 'boolean') as claims
        from ipai.mirrors m
        where format('%I.%I', m.target_schema, m.target_table) = t.target
        order by m.name limit 1) m
    where to_regrole('authenticated') is not null
    order by t.target;

    return query
    select 'publication', t.target,
           case when t.published or not t.readable then 'ok' else 'problem' end,
           case when t.published then 'Realtime sends its changes'
                when not t.readable then 'users of the API may not read it'
                else 'it is not in publication supabase_realtime, so pages hear of no change' end,
           case when t.published or not t.readable then null
                else format('alter publication supabase_realtime add table %s;', t.target) end
    from ipai.mirror_tables() t
    where exists (select from pg_publication p where p.pubname = 'supabase_realtime')
    order by t.target;

    -- Newer minor versions of Postgres let a slot use listed plugins only, and by default not Realtime's.
    return query
    select 'output plugin', 'wal2json'::text,
           case when not o.visible then 'unknown' when o.list is null or 'wal2json' = any (o.list) then 'ok' else 'problem' end,
           case when not o.visible then 'this role may not see which output plugins Postgres allows'
                when o.list is null then 'this version of Postgres restricts no output plugins'
                when 'wal2json' = any (o.list) then 'Realtime''s replication slot may use it'
                else 'output_plugin_libraries does not list it, so Realtime gets no replication slot' end,
           case when not o.visible then format('grant pg_read_all_settings to %I;', current_user)
                when 'wal2json' <> all (o.list)
                then format('alter database %I set output_plugin_libraries = %s;', current_database(),
                            (select string_agg(quote_ident(p), ', ') from unnest(o.list || 'wal2json'::text) p)) end
    from (
        select s.visible,
               array_remove(string_to_array(translate(
                   case when s.visible then current_setting('output_plugin_libraries', true) end, ' "', ''), ','), '') as list
        from (select pg_has_role('pg_read_all_settings', 'usage') as visible) s) o
    where exists (select from pg_publication p where p.pubname = 'supabase_realtime');

    -- Only one's own jobs can be seen.
    if ipai.has_cron() then
        jobless := array(
            select m.name from ipai.mirrors m
            where m.scheduled_by = current_user
              and not exists (select from cron.job j where j.jobname = 'ipai_sync ' || m.name and j.username = current_user));
    end if;
    return query
    select 'schedule', m.name,
           case when not m.enabled or m.schedule is not null and m.name <> all (jobless) then 'ok' else 'problem' end,
           case when not m.enabled then 'the mirror is disabled'
                when m.name = any (jobless) then format('pg_cron has no job for its schedule %s: a restore leaves the jobs behind', m.schedule)
                else coalesce(m.schedule, 'nothing syncs it by itself') end,
           case when not m.enabled then null
                when m.schedule is null then format('select ipai.schedule_sync(%L, ''*/15 * * * *'');', m.name)
                when m.name = any (jobless) then 'select * from ipai.restore_schedules();' end
    from ipai.mirrors m
    order by m.name;

    -- As the last runs saw it: nothing is asked now. A request takes its time, so that seconds mean nothing.
    return query
    select 'clock', m.name,
           case when r.seconds is null then 'unknown' when abs(r.seconds) > 120 then 'problem' else 'ok' end,
           case when r.seconds is null then 'no run has seen Odoo''s clock yet'
                when abs(r.seconds) > 120 then format('Odoo''s clock is %s %s this database''s', justify_interval(make_interval(secs => abs(r.seconds))),
                                                      case when r.seconds > 0 then 'ahead of' else 'behind' end)
                else 'Odoo''s clock and this database''s agree' end,
           case when abs(r.seconds) > 120 then 'Let both machines keep the time by NTP. Runs go by Odoo''s clock, so nothing is lost; schedules and ages go by this one.' end
    from ipai.mirrors m
    left join lateral (
        select round(extract(epoch from r.odoo_clock - r.started_at))::float8 as seconds
        from ipai.run_log r
        where r.mirror = m.name and r.odoo_clock is not null and r.resumes is null
        order by r.run desc
        limit 1) r on true
    order by m.name;
end
$$;
comment on function ipai.doctor() is
    'What is often wrong: a row a check and object, with state ok, problem or unknown (the database cannot know), what was found, and the statement that mends it. Asks Odoo nothing; ipai.check_connection() does.';

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

    if exists (select from pg_catalog.pg_roles where rolname = 'authenticated') then
        -- How many records there are on both sides; nothing of errors, servers or schedules.
        grant usage on schema ipai to authenticated;
        grant select on ipai.sync_count_delta, ipai.sample_metrics_count_delta to authenticated;
        grant select (name, reconcile_every) on ipai.mirrors to authenticated;
        grant select (run, mirror, odoo_count, odoo_active, odoo_alerts, mirror_count, mirror_active, mirror_alerts, finished_at)
            on ipai.run_log to authenticated;
    end if;

    if exists (select from pg_catalog.pg_roles where rolname = 'service_role') then
        grant usage on schema ipai to service_role;
        -- It may move a cursor, but say neither what is mirrored nor where to: others' runs would carry that out.
        grant select, update (cursor, settled_id, shape, filled_as, filled_from, filled_company, drift, alerts) on ipai.mirrors to service_role;
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
