-- Who may do what. PUBLIC gets nothing; Supabase's roles, where they exist, what docs and README promise.

do $$
declare
    member regprocedure;
begin
    -- Only the extension's own functions: others in the schema belong to the user.
    for member in
        select d.objid::regprocedure
        from pg_catalog.pg_depend d
        join pg_catalog.pg_extension e on e.oid = d.refobjid
        where d.classid = 'pg_catalog.pg_proc'::regclass
          and d.refclassid = 'pg_catalog.pg_extension'::regclass
          and d.deptype = 'e'
          and e.extname = 'ipai_sync'
    loop
        execute pg_catalog.format('revoke all on function %s from public', member);
    end loop;

    if exists (select from pg_catalog.pg_roles where rolname = 'postgres') then
        grant usage, create on schema ipai to postgres with grant option;
        grant usage on foreign data wrapper ipai_odoo to postgres with grant option;
        grant select, insert, update, delete on ipai.mirrors, ipai.sync_runs, ipai.odoo_logins to postgres with grant option;
        for member in
            select d.objid::regprocedure
            from pg_catalog.pg_depend d
            join pg_catalog.pg_extension e on e.oid = d.refobjid
            where d.classid = 'pg_catalog.pg_proc'::regclass
              and d.refclassid = 'pg_catalog.pg_extension'::regclass
              and d.deptype = 'e'
              and e.extname = 'ipai_sync'
        loop
            execute pg_catalog.format('grant execute on function %s to postgres with grant option', member);
        end loop;
    end if;

    if exists (select from pg_catalog.pg_roles where rolname = 'service_role') then
        grant usage on schema ipai to service_role;
        grant select, insert, update on ipai.mirrors, ipai.odoo_logins to service_role;
        grant select, insert on ipai.sync_runs to service_role;
        grant execute on function
            ipai.sync_sample_metrics(date, integer, boolean),
            ipai.sync_mirror(text, timestamptz, integer, boolean, double precision),
            ipai.check_connection(text),
            ipai.odoo_version(text)
        to service_role;
    end if;
end
$$;
