-- Privileges on the functions of the extension and its foreign data wrapper.

-- The owner of the schema may have created objects in it. None of them may be called here.
set local search_path = pg_catalog, pg_temp;

do $$
declare
    has_postgres constant boolean := to_regrole('postgres') is not null;
    member regprocedure;
begin
    -- Only the extension's own functions: others in the schema belong to the user.
    for member in
        select d.objid::regprocedure
        from pg_depend d
        join pg_extension e on e.oid = d.refobjid
        where d.classid = 'pg_proc'::regclass and d.refclassid = 'pg_extension'::regclass
          and d.deptype = 'e' and e.extname = 'ipai_sync'
          and d.objid <> 'ipai.command_hint(text, boolean)'::regprocedure
    loop
        execute format('revoke all on routine %s from public', member);
        if has_postgres then
            execute format('grant execute on routine %s to postgres with grant option', member);
        end if;
    end loop;
    if has_postgres then
        grant usage on foreign data wrapper ipai_odoo to postgres with grant option;
    end if;

    if to_regrole('service_role') is not null then
        grant execute on routine
            ipai.run_sync(text, text, double precision),
            ipai.follow_sync(text[], interval, interval),
            ipai.refresh_counts(text),
            ipai.sync_sample_metrics(date, integer, boolean),
            ipai.sync_mirror(text, timestamptz, integer, boolean, double precision),
            ipai.check_connection(text),
            ipai.odoo_version(text),
            ipai.has_cron(),
            ipai.secret_binding(text, text[]),
            ipai.binding_remedy(text, text)
            to service_role;
    end if;
end
$$;

-- pgrx writes its functions without a schema.
set local search_path = ipai, pg_temp;
