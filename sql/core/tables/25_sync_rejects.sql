-- The rejects of each mirror: the records that runs set aside. Runs write it.

-- The owner of the schema may have created objects in it. None of them may be called here.
set local search_path = pg_catalog, pg_temp;

-- Operators see what service_role writes here, so the checks admit only what clients can read.
create table ipai.sync_rejects (
    mirror     text not null
        references ipai.mirrors (name) on update cascade on delete cascade,
    odoo_id    bigint not null,
    refused    text not null check (refused in ('insert', 'update', 'delete')),
    field      text check (length(field) <= 1000),
    sqlstate   text not null check (sqlstate ~ '^[0-9A-Z]{5}$'),
    message    text not null check (length(message) <= 10000),
    since      timestamptz not null default clock_timestamp()
        check (since >= '0001-01-01 00:00:00+00' and since < '10000-01-01 00:00:00+00'),
    last_tried timestamptz not null default clock_timestamp()
        check (last_tried >= '0001-01-01 00:00:00+00' and last_tried < '10000-01-01 00:00:00+00'),
    primary key (mirror, odoo_id)
);

-- pgrx writes its functions without a schema.
set local search_path = ipai, pg_temp;
