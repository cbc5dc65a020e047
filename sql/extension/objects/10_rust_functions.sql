-- The functions written in Rust, generated from their declarations. A test writes this file:
--     UPDATE_GOLDEN=1 scripts/test generated_schema

create or replace function "alter_mirror"(
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
    "flag_field" TEXT DEFAULT NULL,
    "late_after" interval DEFAULT NULL,
    "max_failures" INT DEFAULT NULL,
    "max_delta" bigint DEFAULT NULL,
    "max_flagged_ratio" double precision DEFAULT NULL,
    "keep_runs" interval DEFAULT NULL,
    "max_rejects" INT DEFAULT NULL,
    "masks" jsonb DEFAULT NULL,
    "on_delete" TEXT DEFAULT NULL
) RETURNS void
SET search_path TO pg_catalog, pg_temp
LANGUAGE c
AS 'MODULE_PATHNAME', 'alter_mirror_wrapper';

create or replace function "check_connection"(
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
    "hint" TEXT,
    "addon_problem" TEXT,
    "protocol" TEXT,
    "secret" TEXT,
    "key_expires" timestamp with time zone
)
SET search_path TO pg_catalog, pg_temp
LANGUAGE c
AS 'MODULE_PATHNAME', 'check_connection_wrapper';

create or replace function "create_mirror"(
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
    "flag_field" TEXT DEFAULT NULL,
    "max_rejects" INT DEFAULT NULL,
    "masks" jsonb DEFAULT NULL,
    "on_delete" TEXT DEFAULT NULL
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

create or replace function "drop_mirror"(
    "mirror" TEXT,
    "drop_table" bool DEFAULT false
) RETURNS void
SET search_path TO pg_catalog, pg_temp
LANGUAGE c
AS 'MODULE_PATHNAME', 'drop_mirror_wrapper';

create or replace function "ipai_odoo_validator"(
    "options" TEXT[],
    "catalog" oid
) RETURNS void
STRICT PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
LANGUAGE c
AS 'MODULE_PATHNAME', 'ipai_odoo_validator_wrapper';

create or replace function "odoo_call"(
    "server" TEXT,
    "model" TEXT,
    "method" TEXT,
    "args" jsonb DEFAULT '[]',
    "kwargs" jsonb DEFAULT '{}'
) RETURNS jsonb
SET search_path TO pg_catalog, pg_temp
LANGUAGE c
AS 'MODULE_PATHNAME', 'odoo_call_wrapper';

create or replace function "odoo_fields"(
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
    "mirrored_as" TEXT[],
    "note" TEXT
)
SET search_path TO pg_catalog, pg_temp
LANGUAGE c
AS 'MODULE_PATHNAME', 'odoo_fields_wrapper';

create or replace function "odoo_models"(
    "server" TEXT DEFAULT NULL
) RETURNS TABLE (
    "model" TEXT,
    "label" TEXT,
    "mirrored_as" TEXT[]
)
SET search_path TO pg_catalog, pg_temp
LANGUAGE c
AS 'MODULE_PATHNAME', 'odoo_models_wrapper';

create or replace function "odoo_version"(
    "server" TEXT DEFAULT NULL
) RETURNS TEXT
SET search_path TO pg_catalog, pg_temp
LANGUAGE c
AS 'MODULE_PATHNAME', 'odoo_version_wrapper';

create or replace function "refresh_counts"(
    "mirror" TEXT DEFAULT NULL
) RETURNS TABLE (
    "mirror" TEXT,
    "odoo_total" bigint,
    "mirror_total" bigint,
    "delta" bigint
)
SET search_path TO pg_catalog, pg_temp
LANGUAGE c
AS 'MODULE_PATHNAME', 'refresh_counts_wrapper';

create or replace function "refresh_mirror"(
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

create or replace function "sync_mirror"(
    "mirror" TEXT,
    "since" timestamp with time zone DEFAULT NULL,
    "max_rows" INT DEFAULT NULL,
    "dry_run" bool DEFAULT false,
    "max_delete_ratio" double precision DEFAULT NULL
) RETURNS TABLE (
    "run" bigint,
    "mirror" TEXT,
    "mode" TEXT,
    "dry_run" bool,
    "fetched" bigint,
    "inserted" bigint,
    "updated" bigint,
    "unchanged" bigint,
    "deleted" bigint,
    "odoo_count" bigint,
    "mirror_count" bigint,
    "delta" bigint,
    "seconds" double precision
)
SET search_path TO pg_catalog, pg_temp
LANGUAGE c
AS 'MODULE_PATHNAME', 'sync_mirror_wrapper';

create or replace procedure ipai.follow_sync(mirrors text[] default null, every interval default '1 second', during interval default '55 seconds') language c as 'MODULE_PATHNAME', 'follow_sync_wrapper';

create or replace procedure ipai.rotate_odoo_key(server text default null, days integer default 90) language c as 'MODULE_PATHNAME', 'rotate_odoo_key_wrapper';

create or replace procedure ipai.run_sync(mirror text default null, mode text default 'auto', max_delete_ratio double precision default null) language c as 'MODULE_PATHNAME', 'run_sync_wrapper';
