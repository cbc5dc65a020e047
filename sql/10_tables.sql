-- The extension's own tables. Mirrored data never lives here: mirror tables belong to the user's database.

-- Nothing of the schema that the extension goes into may be called while it is created: its owner may have planted it.
set local search_path = pg_catalog, pg_temp;

create table ipai.mirrors (
    -- pg_cron's names of jobs, which hold it, have 63 bytes at most.
    name             text primary key check (name <> '' and octet_length(name) <= 40 and name !~ '^now '),
    server           text not null,
    model            text not null,
    target_schema    name not null,
    target_table     name not null,
    fields           jsonb not null check (jsonb_typeof(fields) = 'array'),
    domain           jsonb not null default '[]' check (jsonb_typeof(domain) = 'array'),
    lang             text,
    company_ids      bigint[] not null default '{}',
    page_size        integer not null check (page_size between 1 and 50000),
    max_delete_ratio double precision not null check (max_delete_ratio between 0 and 1),
    overlap          interval not null default '10 minutes' check (overlap >= interval '0'),
    reconcile_every  interval not null default '1 day' check (reconcile_every > interval '0'),
    enabled          boolean not null default true,
    alert_field      text,
    shape            text,
    filled_as        text,
    cursor           timestamptz,
    created_at       timestamptz not null default now(),
    constants        jsonb not null default '{}' check (jsonb_typeof(constants) = 'object'),
    has_write_date   boolean not null default true,
    drift            jsonb not null default '[]' check (jsonb_typeof(drift) = 'array'),
    schedule         text,
    scheduled_at     timestamptz check ((scheduled_at is null) = (schedule is null)),
    scheduled_by     text,
    late_after       interval not null default '15 minutes' check (late_after >= interval '0'),
    max_failures     integer not null default 0 check (max_failures >= 0),
    max_delta        bigint not null default 0 check (max_delta >= 0),
    max_alert_ratio  double precision not null default 0.25 check (max_alert_ratio between 0 and 1),
    alerts           text[] not null default '{}',
    filled_from      text,
    filled_company   timestamptz,
    settled_id       bigint,
    unique (target_schema, target_table, constants)
);
comment on table ipai.mirrors is 'One row a mirror: which Odoo model goes into which table, and how.';
comment on column ipai.mirrors.name is 'Name of the mirror, as the sync functions take it.';
comment on column ipai.mirrors.server is 'Foreign server of the Odoo database.';
comment on column ipai.mirrors.model is 'Technical name of the Odoo model.';
comment on column ipai.mirrors.target_schema is 'Schema of the mirror table.';
comment on column ipai.mirrors.target_table is 'Name of the mirror table.';
comment on column ipai.mirrors.fields is 'What is mirrored: [{"field": Odoo''s name, "column": the table''s, "type": SQL type}, ...].';
comment on column ipai.mirrors.domain is 'Odoo domain that records must match, as JSON; [] is all records.';
comment on column ipai.mirrors.lang is 'Language of translated values, such as fr_FR; null is the source language.';
comment on column ipai.mirrors.company_ids is 'Odoo companies whose records are read; empty is the user''s default company.';
comment on column ipai.mirrors.page_size is 'Most records asked of Odoo in one call; large records come in smaller pages.';
comment on column ipai.mirrors.max_delete_ratio is 'Largest part of the rows (0 to 1) that one run may delete; 100 rows are always allowed.';
comment on column ipai.mirrors.overlap is 'How far behind the cursor an incremental run begins: longer than any transaction of Odoo lasts.';
comment on column ipai.mirrors.reconcile_every is 'How often run_sync in mode auto reads everything, which finds what bumps no write_date.';
comment on column ipai.mirrors.enabled is 'Whether run_sync without a name includes it.';
comment on column ipai.mirrors.alert_field is 'Boolean field of Odoo that marks alerts, to be counted; null for none.';
comment on column ipai.mirrors.shape is 'What the cursor was reached with (server, model, fields, domain, language, companies), as a hash: another shape makes the next run full.';
comment on column ipai.mirrors.filled_as is 'Login of the Odoo user whose records the mirror holds: another one may see fewer, so that a run as another deletes nothing by itself.';
comment on column ipai.mirrors.filled_from is 'Odoo''s database.uuid of the database whose records the mirror holds, where the addon tells it: runs refuse any other one.';
comment on column ipai.mirrors.filled_company is 'When company 1 of that database was made (its create_date), where the Odoo user can see it: where filled_from does not tell, runs refuse a database in which it is another.';
comment on column ipai.mirrors.cursor is 'Where the next incremental run begins (a write_date of Odoo); null before the first complete run.';
comment on column ipai.mirrors.settled_id is 'Id in Odoo of the record at the cursor, once runs have begun more than the overlap after it: from then on they read this record and newer ones, no overlap; null before.';
comment on column ipai.mirrors.created_at is 'When the mirror was registered.';
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

create table ipai.run_log (
    run              bigint generated always as identity,
    mirror           text not null,
    mode             text not null check (mode in ('full', 'incremental', 'reconcile', 'since', 'counts')),
    state            text not null check (state in ('running', 'succeeded', 'failed', 'cancelled', 'refused')),
    started_at       timestamptz not null default clock_timestamp(),
    finished_at      timestamptz check ((finished_at is null) = (state = 'running')),
    pid              integer not null default pg_catalog.pg_backend_pid(),
    resumes          bigint,
    shape            text,
    bound            timestamptz,
    position         bigint not null default 0,
    odoo_clock       timestamptz,
    newest           timestamptz,
    cursor_before    timestamptz,
    cursor_after     timestamptz,
    complete         boolean not null default false,
    pages            bigint not null default 0,
    fetched          bigint not null default 0,
    total            bigint,
    inserted         bigint not null default 0,
    updated          bigint not null default 0,
    unchanged        bigint not null default 0,
    deleted          bigint not null default 0,
    odoo_count       bigint,
    odoo_active      bigint,
    odoo_alerts      bigint,
    mirror_count     bigint,
    mirror_active    bigint,
    mirror_alerts    bigint,
    seconds_waiting  double precision not null default 0,
    seconds_writing  double precision not null default 0,
    sqlstate         text,
    message          text,
    detail           text,
    hint             text,
    primary key (mirror, run)
);
-- A hash has no order: through one, the planner would look for a mirror's last run among the runs of all mirrors.
create index run_log_run_idx on ipai.run_log using hash (run);
create index run_log_full_idx on ipai.run_log (mirror, run desc) where mode = 'full' and complete;
create index run_log_counts_idx on ipai.run_log (mirror, run desc) where odoo_count is not null;
create index run_log_complete_idx on ipai.run_log (mirror, run desc) where complete and mode <> 'since';
create index run_log_failed_idx on ipai.run_log (mirror, run desc) where state in ('failed', 'refused');
create index run_log_open_idx on ipai.run_log (mirror, run desc) where finished_at is null;
comment on table ipai.run_log is 'What view ipai.sync_runs shows. Each row is changed only by its own run. A run inside a transaction that is rolled back leaves none.';
comment on column ipai.run_log.run is 'Number of the run.';
comment on column ipai.run_log.mirror is 'Name of the mirror.';
comment on column ipai.run_log.mode is 'full: every record was read; incremental: those written since the cursor; reconcile: the same, and all ids compared; since: those written since a moment; counts: only counted.';
comment on column ipai.run_log.state is 'running, succeeded, failed, cancelled or refused (a deletion was over the limit).';
comment on column ipai.run_log.started_at is 'When it began.';
comment on column ipai.run_log.finished_at is 'When it ended.';
comment on column ipai.run_log.pid is 'Process id of the backend that runs it.';
comment on column ipai.run_log.resumes is 'The unfinished run that this one went on with.';
comment on column ipai.run_log.shape is 'The shape of the mirror (see ipai.mirrors.shape) that it ran with.';
comment on column ipai.run_log.bound is 'Only records written since then were read; null is all.';
comment on column ipai.run_log.position is 'Every record up to this id had been read and written when the last page was committed.';
comment on column ipai.run_log.odoo_clock is 'Odoo''s clock at its first answer; that of the unfinished run, where this one went on with one.';
comment on column ipai.run_log.newest is 'The greatest write_date seen.';
comment on column ipai.run_log.cursor_before is 'The cursor when it began.';
comment on column ipai.run_log.cursor_after is 'The cursor when it was complete.';
comment on column ipai.run_log.complete is 'Whether it saw everything that it was to see: not so with max_rows.';
comment on column ipai.run_log.pages is 'Pages written.';
comment on column ipai.run_log.fetched is 'Records that Odoo sent.';
comment on column ipai.run_log.total is 'Records to expect, where that was known.';
comment on column ipai.run_log.inserted is 'Rows that were new.';
comment on column ipai.run_log.updated is 'Rows that differed.';
comment on column ipai.run_log.unchanged is 'Rows that were equal, and not touched.';
comment on column ipai.run_log.deleted is 'Rows that Odoo no longer had.';
comment on column ipai.run_log.odoo_count is 'Records in Odoo at the end, archived ones included.';
comment on column ipai.run_log.odoo_active is 'Those that are not archived.';
comment on column ipai.run_log.odoo_alerts is 'Those that are alerts.';
comment on column ipai.run_log.mirror_count is 'Rows in the mirror at the end.';
comment on column ipai.run_log.mirror_active is 'Those that are not archived.';
comment on column ipai.run_log.mirror_alerts is 'Those that are alerts.';
comment on column ipai.run_log.seconds_waiting is 'Seconds spent waiting for Odoo.';
comment on column ipai.run_log.seconds_writing is 'Seconds spent in this database.';
comment on column ipai.run_log.sqlstate is 'SQLSTATE of the error by which it ended.';
comment on column ipai.run_log.message is 'The error.';
comment on column ipai.run_log.detail is 'Its DETAIL.';
comment on column ipai.run_log.hint is 'Its HINT.';

create table ipai.odoo_logins (
    url    text not null,
    dbname text not null,
    login  text not null,
    uid    bigint not null check (uid between 1 and 2147483647),
    addon  boolean,
    database_uuid text,
    primary key (url, dbname, login)
);
comment on table ipai.odoo_logins is 'What Odoo has told those who log in: user ids, remembered because a login costs Odoo half a second, and whether it has the addon ipai_sync. No secret: every call carries the password.';
comment on column ipai.odoo_logins.url is 'Address of the Odoo server.';
comment on column ipai.odoo_logins.dbname is 'Name of the Odoo database.';
comment on column ipai.odoo_logins.login is 'Login of the Odoo user.';
comment on column ipai.odoo_logins.uid is 'Id of the Odoo user.';
comment on column ipai.odoo_logins.addon is 'Whether Odoo has the addon ipai_sync, which makes reading many times faster; full runs and ipai.check_connection() find out. Null: not yet.';
comment on column ipai.odoo_logins.database_uuid is 'Odoo''s database.uuid, which only the addon tells.';

-- Mirrors and runs are the user's: a dump keeps them. Logins are made again by the next run.
select pg_catalog.pg_extension_config_dump('ipai.mirrors', '');
select pg_catalog.pg_extension_config_dump('ipai.run_log', '');
select pg_catalog.pg_extension_config_dump('ipai.run_log_run_seq', '');

-- pgrx writes its functions without a schema.
set local search_path = ipai, pg_temp;
