-- The extension's own tables. Mirrored data never lives here: mirror tables belong to the user's database.

create table ipai.mirrors (
    name             text primary key check (name <> ''),
    server           text not null,
    model            text not null,
    target_schema    name not null,
    target_table     name not null,
    fields           jsonb not null check (jsonb_typeof(fields) = 'array'),
    domain           jsonb not null default '[]' check (jsonb_typeof(domain) = 'array'),
    lang             text,
    company_ids      bigint[] not null default '{}',
    page_size        integer not null check (page_size between 1 and 50000),
    max_delete_ratio double precision not null check (max_delete_ratio between 0 and 1),
    cursor           timestamptz,
    created_at       timestamptz not null default now(),
    unique (target_schema, target_table)
);
comment on table ipai.mirrors is 'One row a mirror: which Odoo model goes into which table, and how.';
comment on column ipai.mirrors.name is 'Name of the mirror, as the sync functions take it.';
comment on column ipai.mirrors.server is 'Foreign server of the Odoo database.';
comment on column ipai.mirrors.model is 'Technical name of the Odoo model.';
comment on column ipai.mirrors.target_schema is 'Schema of the mirror table.';
comment on column ipai.mirrors.target_table is 'Name of the mirror table.';
comment on column ipai.mirrors.fields is 'What is mirrored: [{"field": Odoo''s name, "column": the table''s, "type": SQL type}, ...].';
comment on column ipai.mirrors.domain is 'Odoo domain that records must match, as JSON; [] is all records.';
comment on column ipai.mirrors.lang is 'Language of translated values, such as fr_FR; null is the source language.';
comment on column ipai.mirrors.company_ids is 'Odoo companies whose records are read; empty is the user''s default company.';
comment on column ipai.mirrors.page_size is 'Records asked of Odoo in one call.';
comment on column ipai.mirrors.max_delete_ratio is 'Largest part of the rows (0 to 1) that one run may delete; 100 rows are always allowed.';
comment on column ipai.mirrors.cursor is 'Where the next incremental run begins (a write_date of Odoo); null before the first complete run.';
comment on column ipai.mirrors.created_at is 'When the mirror was registered.';

create table ipai.sync_runs (
    run             bigint generated always as identity primary key,
    mirror          text not null,
    mode            text not null check (mode in ('full', 'since')),
    state           text not null check (state in ('succeeded')),
    started_at      timestamptz not null,
    finished_at     timestamptz not null,
    since           timestamptz,
    fetched         bigint not null,
    inserted        bigint not null,
    updated         bigint not null,
    unchanged       bigint not null,
    deleted         bigint not null,
    odoo_count      bigint not null,
    mirror_count    bigint not null,
    seconds_waiting double precision not null,
    seconds_writing double precision not null
);
create index sync_runs_mirror_idx on ipai.sync_runs (mirror, run desc);
comment on table ipai.sync_runs is 'One row a run. A run inside a transaction that is rolled back leaves none.';
comment on column ipai.sync_runs.run is 'Number of the run.';
comment on column ipai.sync_runs.mirror is 'Name of the mirror.';
comment on column ipai.sync_runs.mode is 'full: every record was read; since: those written since a moment.';
comment on column ipai.sync_runs.state is 'How it ended.';
comment on column ipai.sync_runs.started_at is 'When it began.';
comment on column ipai.sync_runs.finished_at is 'When it ended.';
comment on column ipai.sync_runs.since is 'Only records written since then were read; null is all.';
comment on column ipai.sync_runs.fetched is 'Records that Odoo sent.';
comment on column ipai.sync_runs.inserted is 'Rows that were new.';
comment on column ipai.sync_runs.updated is 'Rows that differed.';
comment on column ipai.sync_runs.unchanged is 'Rows that were equal, and not touched.';
comment on column ipai.sync_runs.deleted is 'Rows that Odoo no longer had.';
comment on column ipai.sync_runs.odoo_count is 'Records in Odoo at the end, archived ones included.';
comment on column ipai.sync_runs.mirror_count is 'Rows in the mirror at the end.';
comment on column ipai.sync_runs.seconds_waiting is 'Seconds spent waiting for Odoo.';
comment on column ipai.sync_runs.seconds_writing is 'Seconds spent in this database.';

create table ipai.odoo_logins (
    url    text not null,
    dbname text not null,
    login  text not null,
    uid    bigint not null,
    primary key (url, dbname, login)
);
comment on table ipai.odoo_logins is 'User ids that Odoo gave to logins, remembered because a login costs Odoo half a second. No secret: every call carries the password.';
comment on column ipai.odoo_logins.url is 'Address of the Odoo server.';
comment on column ipai.odoo_logins.dbname is 'Name of the Odoo database.';
comment on column ipai.odoo_logins.login is 'Login of the Odoo user.';
comment on column ipai.odoo_logins.uid is 'Id of the Odoo user.';

-- Mirrors and runs are the user's: a dump keeps them. Logins are made again by the next run.
select pg_catalog.pg_extension_config_dump('ipai.mirrors', '');
select pg_catalog.pg_extension_config_dump('ipai.sync_runs', '');
select pg_catalog.pg_extension_config_dump('ipai.sync_runs_run_seq', '');
