-- Functions that need no Rust, and what pgrx cannot say about its own.

-- Nothing of the schema that the extension goes into may be called while it is created: its owner may have planted it.
set local search_path = pg_catalog, pg_temp;

create function ipai.sync_sample_metrics(since date default null, max_rows integer default null, dry_run boolean default false)
returns table (
    run bigint, mirror text, mode text, dry_run boolean, fetched bigint, inserted bigint, updated bigint, unchanged bigint,
    deleted bigint, odoo_count bigint, mirror_count bigint, delta bigint, seconds double precision)
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
    -- Odoo keeps write_date in UTC, so a date means its midnight there, whatever the session's time zone.
    select * from ipai.sync_mirror('sample_metrics'::text, $1::timestamp at time zone 'UTC', $2, $3, null::double precision)
$$;

-- Over PostgREST a call is cut after 8 seconds; it applies a function's own setting instead. Elsewhere the session's
-- statement_timeout has begun to run before the function is entered, and holds.
alter function ipai.sync_mirror(text, timestamptz, integer, boolean, double precision) set statement_timeout = '55s';
alter function ipai.sync_sample_metrics(date, integer, boolean) set statement_timeout = '55s';

comment on function ipai.ipai_odoo_validator(text[], oid) is
    'Checks the options of servers and user mappings of the wrapper ipai_odoo. Called by Postgres.';
comment on function ipai.odoo_version(text) is
    'Version of the Odoo server, such as 19.0. Without an argument: the only server there is.';
comment on function ipai.check_connection(text) is
    'Connects to Odoo, logs in, and tells for each mirrored model whether it can be read and how many records it has (archived ones included). latency_ms is one small call. Errors say what is wrong and what to do.';
comment on function ipai.alter_mirror(text, text) is
    'Binds a mirror to a foreign server. Another server clears the cursor.';
comment on function ipai.sync_mirror(text, timestamptz, integer, boolean, double precision) is
    'Brings a mirror into step with Odoo in the caller''s transaction. since: only records written since then; max_rows: at most so many, and nothing is deleted; dry_run: tells what would happen and writes nothing; max_delete_ratio: largest part of the rows (0 to 1) that may be deleted, 100 rows always. One row of figures; delta is Odoo''s count less the mirror''s.';
comment on function ipai.sync_sample_metrics(date, integer, boolean) is
    'Brings ipai.ipai_sample_metrics into step with ipai.sample.metric in Odoo: everything, or what was written since midnight UTC of a date. max_rows and dry_run as for sync_mirror.';

comment on function ipai.refresh_counts(text) is
    'Asks Odoo now how many records there are, and keeps the answer beside the mirror''s counts for ipai.sync_count_delta. Without an argument: all enabled mirrors.';
comment on procedure ipai.run_sync(text, text, double precision) is
    'Brings a mirror into step with Odoo, a commit a page; without a name all enabled mirrors. mode: auto (incremental; everything when that is due), incremental, reconcile (incremental, and all ids compared) or full. max_delete_ratio: largest part of the rows (0 to 1) that may be deleted, 100 rows always. Must be the only statement sent. An interrupted run is gone on with by the next one. Runs are recorded in ipai.sync_runs, failed ones too.';

-- pgrx writes its functions without a schema.
set local search_path = ipai, pg_temp;
