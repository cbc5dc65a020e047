-- The SQL functions and the comments of the Rust functions.

-- The owner of the schema may have created objects in it. None of them may be called here.
set local search_path = pg_catalog, pg_temp;

create or replace function ipai.sync_sample_metrics(
    since date default null, max_rows integer default null, dry_run boolean default false)
returns table (
    run bigint, mirror text, mode text, dry_run boolean, fetched bigint, inserted bigint,
    updated bigint, unchanged bigint, deleted bigint, odoo_count bigint, mirror_count bigint,
    delta bigint, seconds double precision)
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
    -- Odoo stores write_date in UTC, so a date means midnight UTC in every session.
    select * from ipai.sync_mirror(
        'sample_metrics'::text, $1::timestamp at time zone 'UTC', $2, $3, null::double precision)
$$;

-- PostgREST cancels a call after 8 seconds, unless the function has a setting of its own. In other
-- sessions the session's statement_timeout has started before the function, and applies.
alter function ipai.sync_mirror(text, timestamptz, integer, boolean, double precision)
    set statement_timeout = '55s';
alter function ipai.sync_sample_metrics(date, integer, boolean) set statement_timeout = '55s';

comment on function ipai.ipai_odoo_validator(text[], oid) is
    'Validates the options of servers and user mappings of ipai_odoo. Postgres calls it.';
comment on function ipai.odoo_version(text) is
    'Version of the Odoo server, such as 19.0. Without an argument: of the only server.';
comment on function ipai.check_connection(text) is
    'Connects and logs in to Odoo. Reports for each mirrored model whether it can be read and how '
    'many records it has, archived records included; one row without a model if there is no mirror. '
    'latency_ms is the time of one small request; '
    'addon is true if Odoo has the addon ipai_sync, which makes reading many times faster; '
    'addon_problem says why it is not used, although Odoo has it. '
    'protocol is xmlrpc or json2; secret is "API key" or "password"; key_expires is when the first '
    'of the user''s API keys expires, null if none does or Odoo does not tell. '
    'Errors say what is wrong and what to do.';
comment on function ipai.odoo_models(text) is
    'Models that the Odoo user may read, with their mirrors. '
    'Without an argument: of the only server.';
comment on function ipai.odoo_fields(text, text) is
    'Fields of a model that the Odoo user may read: the type in Odoo, whether Odoo stores the '
    'field, the type of the column that create_mirror creates for it (null: it cannot be '
    'mirrored), whether create_mirror includes it by default, the columns (mirror.column) that '
    'hold it already, and in note why it is left out by default. server null: the only server.';
comment on function ipai.odoo_call(text, text, text, jsonb, jsonb) is
    'Calls a method of a model in Odoo with positional arguments (a JSON array) and named '
    'arguments (a JSON object), and returns its result as JSON. The method may change records, so '
    'the request is never sent twice. Odoo cannot send a result that contains None: the function '
    'then returns null with a warning, after the method has run.';
comment on function ipai.create_mirror(
    text, text, text[], jsonb, text, text, jsonb, jsonb, text, bigint[], integer, double precision,
    interval, interval, boolean, text, integer, jsonb, text) is
    'Mirrors a model of Odoo: creates the table target (schema.table, by default ipai.<model with '
    'underscores>) as the caller and registers the mirror (name, by default that of the table). '
    'fields: by default all stored fields except binary and one2many, and except those that look '
    'like secrets or private data (ipai.odoo_fields says why). columns: '
    '{"field": "column"} where the names differ; with it the target can be an existing table. '
    'constants: {"column": value}, the same in every row of this mirror and part of its key, so '
    'several mirrors can share a table. Other options as for alter_mirror. '
    'Returns one row for each mirrored field.';
comment on function ipai.alter_mirror(
    text, text, jsonb, text, bigint[], integer, interval, interval, double precision, boolean,
    text, interval, integer, bigint, double precision, interval, integer, jsonb, text) is
    'Changes options of a mirror. Null keeps an option, an empty text removes lang or flag_field. '
    'A new server, domain, lang or company_ids makes the next run full if it can change rows or '
    'values. page_size: largest number of records in one request; overlap: how far before the '
    'cursor a run starts; reconcile_every: how often all records are read; max_delete_ratio: '
    'largest share of the rows (0 to 1) that one run may delete; enabled: whether run_sync without '
    'a name includes the mirror; flag_field: boolean field whose true values are counted; '
    'keep_runs: how long the log keeps runs; max_rejects: the most records that one run '
    'may set aside before it fails; '
    'masks: {"field": "hmac"} stores the HMAC-SHA-256 of a '
    'text, with the secret ipai_mask_key of Vault as the key, and {"field": "redact"} stores null. '
    'on_delete: what a run does with rows whose records no longer exist. mark keeps them and sets '
    'deleted_at, a column that this function adds, as the owner of the table, with a policy that '
    'hides marked rows; delete deletes them, and this function deletes those that are marked. '
    'Thresholds of ipai.sync_alerts: late_after, max_failures, max_delta, max_flagged_ratio.';
comment on function ipai.drop_mirror(text, boolean) is
    'Removes a mirror, its runs and the current user''s schedule of it. '
    'The table stays unless drop_table is true.';
comment on function ipai.refresh_mirror(text, text[], text[]) is
    'Compares the fields of a mirror with those of Odoo: ok, added, new (in Odoo, not mirrored), '
    'gone or changed (the column keeps its values). add_fields: more fields to mirror; their '
    'columns are added, and the next run fills them in all rows. drop_fields: fields that are no '
    'longer mirrored; their columns stay.';
comment on function ipai.sync_mirror(text, timestamptz, integer, boolean, double precision) is
    'Syncs a mirror with Odoo in the caller''s transaction. since: only records written since '
    'then; max_rows: at most so many records, and no deletions; dry_run: reports what would '
    'change and writes nothing; max_delete_ratio: largest share of the rows (0 to 1) that may be '
    'deleted, 100 rows always. Returns one row; delta is Odoo total minus mirror total.';
comment on function ipai.sync_sample_metrics(date, integer, boolean) is
    'Syncs ipai.ipai_sample_metrics with ipai.sample.metric in Odoo: all records, or those written '
    'since midnight UTC of a date. max_rows and dry_run as for sync_mirror.';
comment on function ipai.refresh_counts(text) is
    'Counts records in Odoo and rows in the mirror for ipai.sync_count_delta. '
    'Without an argument: for all enabled mirrors.';
comment on procedure ipai.run_sync(text, text, double precision) is
    'Syncs a mirror with Odoo and commits after each page; without a name all enabled mirrors. '
    'mode: auto (incremental, and full when that is due), incremental, reconcile (incremental, and '
    'all ids compared) or full. max_delete_ratio: largest share of the rows (0 to 1) that may be '
    'deleted, 100 rows always. The call must be a statement of its own, outside a transaction. The '
    'next call resumes an interrupted run, and an incremental run follows it for what was written '
    'in the meantime. ipai.sync_runs lists all runs, failed ones included.';
comment on procedure ipai.follow_sync(text[], interval, interval) is
    'Follows mirrors: asks Odoo every second what has changed, applies it, and ends after 55 seconds, '
    'so that pg_cron can start it each minute; during => null follows until the call is cancelled. '
    'Without names: the mirrors that the current user has scheduled as live, or else all enabled '
    'mirrors. Needs the addon ipai_sync in Odoo; mirrors of which Odoo cannot tell what has changed '
    'run every 15 seconds. One follower a server: another call waits for its turn. The call must be '
    'a statement of its own, outside a transaction. ipai.sync_status shows the last poll.';
comment on procedure ipai.rotate_odoo_key(text, integer) is
    'Replaces the API key of a server in Supabase Vault: creates a key in Odoo that is valid for a '
    'number of days, logs in with it, stores it, commits, and revokes the old key. After a failure '
    'Vault has a valid key. Odoo limits the days by the groups of the user, 90 for employees, and '
    'needs a version of Odoo 19 with res.users.apikeys.generate() and, unless the user is an '
    'administrator, the system parameter base.enable_programmatic_api_keys. The call must be a '
    'statement of its own, outside a transaction. Without a server: the only one.';

-- pgrx writes its functions without a schema.
set local search_path = ipai, pg_temp;
