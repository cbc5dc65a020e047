-- The log of runs: one row for each run of a mirror, and one for each count of both sides.

-- The owner of the schema may have created objects in it. None of them may be called here.
set local search_path = pg_catalog, pg_temp;

-- The views show what service_role writes here, so the checks admit only what they can show and
-- clients can read. The years are those of Odoo.
create table ipai.run_log (
    run              bigint generated always as identity,
    mirror           text not null check (octet_length(mirror) <= 40),
    mode             text not null
        check (mode in ('full', 'incremental', 'reconcile', 'since', 'live', 'counts')),
    state            text not null
        check (state in ('running', 'succeeded', 'failed', 'cancelled', 'refused')),
    started_at       timestamptz not null default clock_timestamp(),
    finished_at      timestamptz check ((finished_at is null) = (state = 'running')),
    pid              integer not null default pg_catalog.pg_backend_pid(),
    resumes          bigint,
    fingerprint      text check (length(fingerprint) <= 64),
    token            text check (length(token) <= 100000),
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
    flags            text[]
        check (cardinality(flags) <= 2 and array_position(flags, null) is null),
    latency          interval check (latency >= interval '0'),
    seconds_waiting  double precision not null default 0
        check (seconds_waiting >= 0 and seconds_waiting < 'infinity'),
    seconds_writing  double precision not null default 0
        check (seconds_writing >= 0 and seconds_writing < 'infinity'),
    sqlstate         text check (sqlstate ~ '^[0-9A-Z]{5}$'),
    message          text check (length(message) <= 100000),
    detail           text check (length(detail) <= 100000),
    hint             text check (length(hint) <= 100000),
    primary key (mirror, run),
    -- greatest() and least() ignore nulls.
    check (least(started_at, finished_at, bound, odoo_clock, newest, cursor_before, cursor_after)
           >= '0001-01-01 00:00:00+00'
       and greatest(started_at, finished_at, bound, odoo_clock, newest, cursor_before, cursor_after)
           < '10000-01-01 00:00:00+00'),
    check (least(position, pages, fetched, total, inserted, updated, unchanged, deleted,
                 odoo_count, odoo_active, odoo_flagged, mirror_count, mirror_active, mirror_flagged)
           >= 0)
);

-- A hash index has no order. With an ordered one the planner would search the runs of all mirrors
-- for the last run of one mirror.
create index run_log_run_idx on ipai.run_log using hash (run);
create index run_log_full_idx on ipai.run_log (mirror, run desc) where mode = 'full' and complete;
create index run_log_counts_idx on ipai.run_log (mirror, run desc) where odoo_count is not null;
create index run_log_flags_idx on ipai.run_log (mirror, run desc)
    where flags is not null;
create index run_log_complete_idx on ipai.run_log (mirror, run desc)
    where complete and state = 'succeeded' and mode <> 'since';
create index run_log_failed_idx on ipai.run_log (mirror, run desc)
    where state in ('failed', 'refused');
create index run_log_deleted_idx on ipai.run_log (mirror, started_at) where deleted > 0;
create index run_log_latency_idx on ipai.run_log (mirror, run desc) where latency is not null;
create index run_log_uncounted_idx on ipai.run_log (mirror, run desc)
    where odoo_count is null and finished_at is not null;
create index run_log_open_idx on ipai.run_log (mirror, run desc) where finished_at is null;

-- pgrx writes its functions without a schema.
set local search_path = ipai, pg_temp;
