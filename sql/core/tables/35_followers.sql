-- The followers: one row for each Odoo server whose mirrors are followed. They write it.

-- The owner of the schema may have created objects in it. None of them may be called here.
set local search_path = pg_catalog, pg_temp;

create table ipai.followers (
    server    text primary key,
    mirrors   text[] not null check (array_position(mirrors, null) is null),
    since     timestamptz not null
        check (since >= '0001-01-01 00:00:00+00' and since < '10000-01-01 00:00:00+00'),
    polled_at timestamptz
        check (polled_at >= '0001-01-01 00:00:00+00' and polled_at < '10000-01-01 00:00:00+00'),
    problem   text check (length(problem) <= 1000)
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
                  'ipai.followers'::regclass,
                  pg_get_serial_sequence('ipai.run_log', 'run')::regclass)
          and a.grantee <> c.relowner
    loop
        execute format('revoke all on table %s from %s', granted.relation, granted.grantee);
    end loop;
end
$$;

-- pgrx writes its functions without a schema.
set local search_path = ipai, pg_temp;
