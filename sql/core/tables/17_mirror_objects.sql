-- The table and the server that each mirror was registered with. Other objects may have taken the
-- names in ipai.mirrors since then.

-- The owner of the schema may have created objects in it. None of them may be called here.
set local search_path = pg_catalog, pg_temp;

create table ipai.mirror_objects (
    mirror   text primary key
        references ipai.mirrors (name) on update cascade on delete cascade,
    relation regclass not null,
    owner    regrole not null,
    server   oid
);

-- pgrx writes its functions without a schema.
set local search_path = ipai, pg_temp;
