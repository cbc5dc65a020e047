-- The table of mirrors: which Odoo model goes into which table, and how. A person sets its columns.

-- The owner of the schema may have created objects in it. None of them may be called here.
set local search_path = pg_catalog, pg_temp;

-- New columns go to the end, where an upgrade adds them too.
create table ipai.mirrors (
    -- pg_cron's names of jobs, which contain it, have at most 63 bytes.
    name              text primary key
        check (name <> '' and octet_length(name) <= 40 and name !~ '^now '),
    server            text,
    model             text not null,
    target_schema     name not null,
    target_table      name not null,
    fields            jsonb not null check (jsonb_typeof(fields) = 'array'),
    constants         jsonb not null default '{}' check (jsonb_typeof(constants) = 'object'),
    domain            jsonb not null default '[]' check (jsonb_typeof(domain) = 'array'),
    lang              text,
    company_ids       bigint[] not null default '{}',
    page_size         integer not null default 20000 check (page_size between 1 and 50000),
    max_delete_ratio  double precision not null default 0.2
        check (max_delete_ratio between 0 and 1),
    overlap           interval not null default '10 minutes' check (overlap >= interval '0'),
    reconcile_every   interval not null default '1 day' check (reconcile_every > interval '0'),
    enabled           boolean not null default true,
    flag_field        text,
    late_after        interval not null default '15 minutes' check (late_after >= interval '0'),
    max_failures      integer not null default 0 check (max_failures >= 0),
    max_delta         bigint not null default 0 check (max_delta >= 0),
    max_flagged_ratio double precision not null default 0.25
        check (max_flagged_ratio between 0 and 1),
    keep_runs         interval not null default '30 days'
        check (keep_runs between interval '1 day' and interval '100 years'),
    schedule          text,
    scheduled_at      timestamptz check ((scheduled_at is null) = (schedule is null)),
    scheduled_by      text,
    -- The upper limit keeps the sum with any date of this century within what Postgres can store.
    max_age           interval check (max_age > interval '0' and max_age <= interval '100 years'),
    created_at        timestamptz not null default now(),
    relations         jsonb not null default '{}' check (jsonb_typeof(relations) = 'object'),
    max_rejects       integer not null default 100 check (max_rejects between 0 and 10000),
    masks             jsonb not null default '{}' check (jsonb_typeof(masks) = 'object'),
    on_delete         text not null default 'delete' check (on_delete in ('delete', 'mark')),
    unique (target_schema, target_table, constants)
);

-- pgrx writes its functions without a schema.
set local search_path = ipai, pg_temp;
