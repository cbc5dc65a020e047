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

-- Default privileges of the schema may grant new tables to the users of the API. A role that may
-- insert into ipai.mirrors defines what runs write.
do $$
declare
    granted record;
begin
    for granted in
        select distinct c.oid::regclass as relation,
               case a.grantee when 0 then 'public'
                   else quote_ident(pg_get_userbyid(a.grantee)) end as grantee
        from pg_class c cross join lateral aclexplode(c.relacl) a
        where c.oid in (
                  'ipai.mirrors'::regclass, 'ipai.mirror_objects'::regclass,
                  'ipai.mirror_state'::regclass, 'ipai.run_log'::regclass,
                  'ipai.sync_rejects'::regclass, 'ipai.odoo_logins'::regclass,
                  pg_get_serial_sequence('ipai.run_log', 'run')::regclass)
          and a.grantee <> c.relowner
    loop
        execute format('revoke all on table %s from %s', granted.relation, granted.grantee);
    end loop;
end
$$;

-- pgrx writes its functions without a schema.
set local search_path = ipai, pg_temp;
