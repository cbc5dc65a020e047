-- The state of each mirror: what its runs have reached and found. Runs write it.

-- The owner of the schema may have created objects in it. None of them may be called here.
set local search_path = pg_catalog, pg_temp;

-- The views show what service_role writes here, so the checks admit only what they can show and
-- clients can read. The years are those of Odoo.
create table ipai.mirror_state (
    mirror         text primary key
        references ipai.mirrors (name) on update cascade on delete cascade,
    fingerprint    text check (length(fingerprint) <= 64),
    cursor         timestamptz
        check (cursor >= '0001-01-01 00:00:00+00' and cursor < '10000-01-01 00:00:00+00'),
    settled_id     bigint check (settled_id >= 0),
    has_write_date boolean not null default true,
    drift          jsonb not null default '[]' check (jsonb_typeof(drift) = 'array'),
    -- All kinds of ipai.sync_alerts. A null is none of them.
    alerts         text[] not null default '{}'
        check (cardinality(alerts) <= 11
               and alerts <@ '{failing,late,never,delta,drift,refused,flagged,deletions,rejects,
                               degraded,key}'),
    filled_as      text,
    filled_from    text,
    filled_company timestamptz
        check (filled_company >= '0001-01-01 00:00:00+00'
               and filled_company < '10000-01-01 00:00:00+00'),
    key_expires    timestamptz
        check (key_expires >= '0001-01-01 00:00:00+00' and key_expires < '10000-01-01 00:00:00+00'),
    active_field   text check (active_field in ('', 'active', 'x_active')),
    token          text check (length(token) <= 100000),
    degraded       text check (length(degraded) <= 1000),
    degraded_since timestamptz
        check (degraded_since >= '0001-01-01 00:00:00+00'
               and degraded_since < '10000-01-01 00:00:00+00'),
    safe_page_size integer check (safe_page_size > 0)
);

-- pgrx writes its functions without a schema.
set local search_path = ipai, pg_temp;
