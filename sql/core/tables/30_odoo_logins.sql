-- The user ids that Odoo returned for logins, so that a run need not log in again.

-- The owner of the schema may have created objects in it. None of them may be called here.
set local search_path = pg_catalog, pg_temp;

create table ipai.odoo_logins (
    url           text not null,
    dbname        text not null,
    login         text not null,
    uid           bigint not null check (uid between 1 and 2147483647),
    addon         boolean,
    database_uuid text,
    addon_problem text,
    addon_tried_at timestamptz,
    xmlrpc_until  timestamptz,
    primary key (url, dbname, login)
);

-- pgrx writes its functions without a schema.
set local search_path = ipai, pg_temp;
