-- The state of each mirror: what its runs have reached and found. Runs write it.

-- The owner of the schema may have created objects in it. None of them may be called here.
set local search_path = pg_catalog, pg_temp;

create table ipai.mirror_state (
    mirror         text primary key
        references ipai.mirrors (name) on update cascade on delete cascade,
    fingerprint    text,
    cursor         timestamptz,
    settled_id     bigint,
    has_write_date boolean not null default true,
    drift          jsonb not null default '[]' check (jsonb_typeof(drift) = 'array'),
    alerts         text[] not null default '{}',
    filled_as      text,
    filled_from    text,
    filled_company timestamptz
);

-- pgrx writes its functions without a schema.
set local search_path = ipai, pg_temp;
