-- Privileges on the objects of sql/core. PUBLIC gets none; the roles of Supabase get what the
-- documentation promises, if they exist.

-- The owner of the schema may have created objects in it. None of them may be called here.
set local search_path = pg_catalog, pg_temp;

-- Where another role has created a function or view of ours before, it still owns it if a superuser
-- has replaced it now, and may change it again.
do $$
declare
    planted record;
begin
    select pg_describe_object(o.classid, o.objid, 0) as name, r.rolname into planted
    from (select 'pg_proc'::regclass, f.oid, f.pronamespace, f.proowner, f.xmin from pg_proc f
          union all
          select 'pg_class'::regclass, c.oid, c.relnamespace, c.relowner, c.xmin
          from pg_class c where c.relkind = 'v')
        o (classid, objid, namespace, owner, written)
    join pg_roles r on r.oid = o.owner
    where o.namespace = 'ipai'::regnamespace and o.written = pg_current_xact_id()::xid
      and not r.rolsuper
      and r.rolname <> all (array[current_user, session_user, 'postgres'])
      and r.oid <> (select m.relowner from pg_class m where m.oid = 'ipai.mirrors'::regclass)
    limit 1;
    if planted.name is not null then
        raise exception '% belongs to role "%"', planted.name, planted.rolname
            using errcode = 'insufficient_privilege',
                  detail = 'It has the name of an object of ipai_sync.',
                  hint = 'Drop it, or install as a role that is no superuser and owns the schema.';
    end if;
end
$$;

revoke all on function
    ipai.require_mirror(text), ipai.create_claims_helpers(), ipai.api_exposure(oid),
    ipai.protect_mirror(text, jsonb, boolean), ipai.notify_alerts(),
    ipai.register_sample_metrics(),
    ipai.is_trusted(oid, name), ipai.stored_expression(oid, oid),
    ipai.untrusted_code(regclass, name), ipai.untrusted_code_of(regclass[], name),
    ipai.require_trusted(regclass[]), ipai.lock_table(name, name, oid, text),
    ipai.verify_tables(text[], boolean),
    ipai.is_replaced_server(text, text, name), ipai.verify_server(text, text),
    ipai.follow_objects(text), ipai.register_mirror(text),
    ipai.planned_relations(), ipai.related_functions(regclass), ipai.drop_relations(regclass),
    ipai.relate_mirrors(text),
    ipai.mirror_tables(), ipai.doctor(boolean),
    ipai.cron_gap(text, integer, integer, integer), ipai.schedule_interval(text),
    ipai.expect_sync(text, text)
from public;
-- Each role that reads ipai.sync_alerts needs it. It reads no data.
grant execute on function ipai.command_hint(text, boolean) to public;

do $$
begin
    if to_regrole('postgres') is not null then
        grant usage, create on schema ipai to postgres with grant option;
        grant select, insert, update, delete on ipai.mirrors, ipai.mirror_objects,
            ipai.mirror_state, ipai.run_log, ipai.sync_rejects, ipai.odoo_logins, ipai.followers
            to postgres with grant option;
        grant select on
            ipai.sync_runs, ipai.sync_count_delta, ipai.sample_metrics_count_delta,
            ipai.sync_status, ipai.sync_alerts
            to postgres with grant option;
        -- To dump and restore the numbers of runs.
        grant select, usage, update on sequence ipai.run_log_run_seq to postgres with grant option;
        grant execute on function
            ipai.require_mirror(text), ipai.create_claims_helpers(), ipai.api_exposure(oid),
            ipai.protect_mirror(text, jsonb, boolean), ipai.notify_alerts(),
            ipai.register_sample_metrics(),
            ipai.is_trusted(oid, name), ipai.stored_expression(oid, oid),
            ipai.untrusted_code(regclass, name), ipai.untrusted_code_of(regclass[], name),
            ipai.require_trusted(regclass[]), ipai.lock_table(name, name, oid, text),
            ipai.verify_tables(text[], boolean),
            ipai.is_replaced_server(text, text, name), ipai.verify_server(text, text),
            ipai.follow_objects(text), ipai.register_mirror(text),
            ipai.planned_relations(), ipai.related_functions(regclass),
            ipai.drop_relations(regclass), ipai.relate_mirrors(text),
            ipai.mirror_tables(), ipai.doctor(boolean),
            ipai.cron_gap(text, integer, integer, integer), ipai.schedule_interval(text),
            ipai.expect_sync(text, text)
            to postgres with grant option;
    end if;

    if to_regrole('authenticated') is not null then
        -- The counts of both sides and the last poll, without errors, servers and schedules.
        grant usage on schema ipai to authenticated;
        grant select on ipai.sync_count_delta, ipai.sample_metrics_count_delta to authenticated;
        grant select (name, reconcile_every) on ipai.mirrors to authenticated;
        grant select (run, mirror, odoo_count, odoo_active, odoo_flagged, mirror_count,
                      mirror_active, mirror_flagged, flags, finished_at)
            on ipai.run_log to authenticated;
        grant select (mirrors, polled_at) on ipai.followers to authenticated;
    end if;

    if to_regrole('service_role') is not null then
        grant usage on schema ipai to service_role;
        -- It may record a cursor, but not change what is mirrored or where to: runs of other
        -- roles would carry out such a change.
        grant select on ipai.mirrors, ipai.mirror_objects to service_role;
        grant select, insert (mirror),
              update (fingerprint, cursor, settled_id, filled_as, filled_from, filled_company,
                      key_expires, active_field, token, drift, alerts, degraded, degraded_since,
                      safe_page_size)
            on ipai.mirror_state to service_role;
        -- It may not choose since when a record has been refused.
        grant select, delete,
              insert (mirror, odoo_id, refused, field, sqlstate, message),
              update (refused, field, sqlstate, message, last_tried)
            on ipai.sync_rejects to service_role;
        grant select, insert, update on ipai.odoo_logins to service_role;
        grant select, insert, update, delete on ipai.followers to service_role;
        -- It may not choose the number of a run, nor when and by which process it was started.
        grant select, delete,
              insert (mirror, mode, state, finished_at, resumes, fingerprint, bound, position,
                      odoo_clock, newest, cursor_before, cursor_after, complete, odoo_count, odoo_active, odoo_flagged,
                      mirror_count, mirror_active, mirror_flagged, flags),
              update (mode, state, finished_at, resumes, fingerprint, token, bound, position, odoo_clock,
                      newest, cursor_after, complete, pages, fetched, total, inserted, updated,
                      unchanged, deleted, odoo_count, odoo_active, odoo_flagged, mirror_count,
                      mirror_active, mirror_flagged, flags, latency, seconds_waiting,
                      seconds_writing, sqlstate, message, detail, hint)
            on ipai.run_log to service_role;
        grant select on
            ipai.sync_runs, ipai.sync_count_delta, ipai.sample_metrics_count_delta,
            ipai.sync_status, ipai.sync_alerts
            to service_role;
        grant execute on function
            ipai.notify_alerts(),
            ipai.is_trusted(oid, name), ipai.stored_expression(oid, oid),
            ipai.untrusted_code(regclass, name), ipai.untrusted_code_of(regclass[], name),
            ipai.require_trusted(regclass[]), ipai.lock_table(name, name, oid, text),
            ipai.verify_tables(text[], boolean),
            ipai.is_replaced_server(text, text, name), ipai.verify_server(text, text),
            ipai.follow_objects(text)
            to service_role;
    end if;
end
$$;

-- pgrx writes its functions without a schema.
set local search_path = ipai, pg_temp;
