-- The log of runs: one row for each run of a mirror, and one for each count of both sides.

-- The owner of the schema may have created objects in it. None of them may be called here.
set local search_path = pg_catalog, pg_temp;

create table ipai.run_log (
    run              bigint generated always as identity,
    mirror           text not null,
    mode             text not null
        check (mode in ('full', 'incremental', 'reconcile', 'since', 'counts')),
    state            text not null
        check (state in ('running', 'succeeded', 'failed', 'cancelled', 'refused')),
    started_at       timestamptz not null default clock_timestamp(),
    finished_at      timestamptz check ((finished_at is null) = (state = 'running')),
    pid              integer not null default pg_catalog.pg_backend_pid(),
    resumes          bigint,
    fingerprint      text,
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
    odoo_flagged     bigint,
    mirror_count     bigint,
    mirror_active    bigint,
    mirror_flagged   bigint,
    flags            text[],
    seconds_waiting  double precision not null default 0,
    seconds_writing  double precision not null default 0,
    sqlstate         text,
    message          text,
    detail           text,
    hint             text,
    primary key (mirror, run)
);

-- A hash index has no order. With an ordered one the planner would search the runs of all mirrors
-- for the last run of one mirror.
create index run_log_run_idx on ipai.run_log using hash (run);
create index run_log_full_idx on ipai.run_log (mirror, run desc) where mode = 'full' and complete;
create index run_log_counts_idx on ipai.run_log (mirror, run desc) where odoo_count is not null;
create index run_log_flags_idx on ipai.run_log (mirror, run desc)
    where flags is not null;
create index run_log_complete_idx on ipai.run_log (mirror, run desc)
    where complete and mode <> 'since';
create index run_log_failed_idx on ipai.run_log (mirror, run desc)
    where state in ('failed', 'refused');
create index run_log_open_idx on ipai.run_log (mirror, run desc) where finished_at is null;

-- pgrx writes its functions without a schema.
set local search_path = ipai, pg_temp;
