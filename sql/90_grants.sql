-- Who may do what. PUBLIC gets nothing; Supabase's roles, where they exist, what docs and README promise.

-- Nothing of the schema that the extension goes into may be called while it is created: its owner may have planted it.
set local search_path = pg_catalog, pg_temp;

do $$
declare
    has_postgres constant boolean := exists (select from pg_catalog.pg_roles where rolname = 'postgres');
    member regprocedure;
begin
    -- Only the extension's own functions: others in the schema belong to the user.
    for member in
        select d.objid::regprocedure
        from pg_catalog.pg_depend d
        join pg_catalog.pg_extension e on e.oid = d.refobjid
        where d.classid = 'pg_catalog.pg_proc'::regclass::oid
          and d.refclassid = 'pg_catalog.pg_extension'::regclass::oid
          and d.deptype = 'e'
          and e.extname = 'ipai_sync'
    loop
        execute pg_catalog.format('revoke all on routine %s from public', member);
        if has_postgres then
            execute pg_catalog.format('grant execute on routine %s to postgres with grant option', member);
        end if;
    end loop;

    if has_postgres then
        grant usage, create on schema ipai to postgres with grant option;
        grant usage on foreign data wrapper ipai_odoo to postgres with grant option;
        grant select, insert, update, delete on ipai.mirrors, ipai.run_log, ipai.odoo_logins to postgres with grant option;
        grant select on
            ipai.sync_runs, ipai.sync_count_delta, ipai.sample_metrics_count_delta, ipai.sync_status, ipai.sync_alerts
        to postgres with grant option;
        -- To dump and restore the numbers of runs.
        grant select, usage, update on sequence ipai.run_log_run_seq to postgres with grant option;
    end if;

    if exists (select from pg_catalog.pg_roles where rolname = 'authenticated') then
        -- How many records there are on both sides; nothing of errors, servers or schedules.
        grant usage on schema ipai to authenticated;
        grant select on ipai.sync_count_delta, ipai.sample_metrics_count_delta to authenticated;
        grant select (name, reconcile_every) on ipai.mirrors to authenticated;
        grant select (run, mirror, odoo_count, odoo_active, odoo_alerts, mirror_count, mirror_active, mirror_alerts, finished_at)
            on ipai.run_log to authenticated;
    end if;

    if exists (select from pg_catalog.pg_roles where rolname = 'service_role') then
        grant usage on schema ipai to service_role;
        -- It may move a cursor, but say neither what is mirrored nor where to: others' runs would carry that out.
        grant select, update (cursor, settled_id, shape, filled_as, filled_from, filled_company, drift, alerts) on ipai.mirrors to service_role;
        grant select, insert, update on ipai.odoo_logins to service_role;
        grant select, insert, update, delete on ipai.run_log to service_role;
        grant select on
            ipai.sync_runs, ipai.sync_count_delta, ipai.sample_metrics_count_delta, ipai.sync_status, ipai.sync_alerts
        to service_role;
        grant execute on routine
            ipai.run_sync(text, text, double precision),
            ipai.refresh_counts(text),
            ipai.sync_sample_metrics(date, integer, boolean),
            ipai.sync_mirror(text, timestamptz, integer, boolean, double precision),
            ipai.check_connection(text),
            ipai.odoo_version(text),
            ipai.notify_alerts(),
            ipai.has_cron(),
            -- What the views call, they call as whoever reads them.
            ipai.next_run(text, timestamp),
            ipai.cron_timezone()
        to service_role;
    end if;
end
$$;

-- pgrx writes its functions without a schema.
set local search_path = ipai, pg_temp;
