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
comment on function ipai.sync_mirror(text, timestamptz, integer, boolean, double precision) is
    'Brings a mirror into step with Odoo in the caller''s transaction. since: only records written since then; max_rows: at most so many, and nothing is deleted; dry_run: tells what would happen and writes nothing; max_delete_ratio: largest part of the rows (0 to 1) that may be deleted, 100 rows always. One row of figures; delta is Odoo''s count less the mirror''s.';
comment on function ipai.sync_sample_metrics(date, integer, boolean) is
    'Brings ipai.ipai_sample_metrics into step with ipai.sample.metric in Odoo: everything, or what was written since midnight UTC of a date. max_rows and dry_run as for sync_mirror.';

comment on function ipai.refresh_counts(text) is
    'Asks Odoo now how many records there are, and keeps the answer beside the mirror''s counts for ipai.sync_count_delta. Without an argument: all enabled mirrors.';
comment on procedure ipai.run_sync(text, text, double precision) is
    'Brings a mirror into step with Odoo, a commit a page; without a name all enabled mirrors. mode: auto (incremental; everything when that is due), incremental, reconcile (incremental, and all ids compared) or full. max_delete_ratio: largest part of the rows (0 to 1) that may be deleted, 100 rows always. Must be the only statement sent. An interrupted run is gone on with by the next one, and an incremental one follows at once for what was written meanwhile. Runs are recorded in ipai.sync_runs, failed ones too.';

-- pgrx writes its functions without a schema.
set local search_path = ipai, pg_temp;
