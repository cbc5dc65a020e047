-- Schedules of runs. The jobs are in the tables of pg_cron: cron.job, cron.job_run_details.

-- The owner of the schema may have created objects in it. None of them may be called here.
set local search_path = pg_catalog, pg_temp;

create or replace function ipai.has_cron() returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    -- Another role may own a table named cron.job. Reading it would run that role's code.
    return coalesce((
        select has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select')
        from pg_depend d
        join pg_extension e
            on e.oid = d.refobjid and d.refclassid = 'pg_extension'::regclass
            and e.extname = 'pg_cron'
        join pg_class c
            on c.oid = d.objid and d.classid = 'pg_class'::regclass and c.relname = 'job'
        join pg_namespace n on n.oid = c.relnamespace and n.nspname = 'cron'
        where d.deptype = 'e'), false);
end
$$;
comment on function ipai.has_cron() is
    'Whether pg_cron is installed in this database and the current user may use it.';

create or replace function ipai.require_cron() returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if ipai.has_cron() then
        return;
    end if;
    if exists (select from pg_extension e where e.extname = 'pg_cron') then
        raise exception 'permission denied for pg_cron'
            using errcode = 'insufficient_privilege',
                  hint = format('On Supabase, call this as postgres. '
                                'Elsewhere: grant usage on schema cron to %I;', current_user);
    end if;
    raise exception 'pg_cron is not installed in this database'
        using errcode = 'undefined_object',
              hint = 'create extension pg_cron; (It must be in shared_preload_libraries, and in '
                     'the database that cron.database_name names.)';
end
$$;
comment on function ipai.require_cron() is
    'Raises an error with a hint if the current user cannot use pg_cron. For other functions.';

create or replace function ipai.schedule_sync(mirror text, schedule text) returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    syntax constant text := 'Use five fields (minute hour day month weekday) in GMT. '
        'For example, */15 * * * * runs every 15 minutes.';
    job bigint;
begin
    perform ipai.require_cron();
    perform ipai.require_mirror(mirror);
    if schedule is null then
        raise exception 'schedule must not be null'
            using errcode = 'invalid_parameter_value', hint = syntax;
    end if;
    if schedule = 'live' then
        perform cron.unschedule(j.jobid) from cron.job j
        where j.jobname = 'ipai_sync ' || mirror and j.username = current_user;
        job := cron.schedule('ipai_sync: live', '* * * * *', 'call ipai.follow_sync()');
        update ipai.mirrors m
        set schedule = 'live', scheduled_at = now(), scheduled_by = current_user, max_age = null
        where m.name = mirror;
        return job;
    end if;
    perform ipai.unschedule_sync(mirror) from ipai.mirrors m
    where m.name = mirror and m.schedule = 'live' and m.scheduled_by = current_user;
    begin
        -- pg_cron silently ignores what follows the fifth field.
        if schedule !~ '^[[:space:]]*([^[:space:]]+[[:space:]]+){4}[^[:space:]]+[[:space:]]*$'
            and schedule !~ '^[[:space:]]*(@[[:alnum:]_]+|[0-9]+[[:space:]]+seconds?)[[:space:]]*$' then
            raise exception 'The schedule does not have five fields.';
        end if;
        job := cron.schedule('ipai_sync ' || mirror, schedule,
                             format('call ipai.run_sync(%L)', mirror));
    exception
        when insufficient_privilege or read_only_sql_transaction or lock_not_available
            or insufficient_resources then
            raise;
        when others then
            raise exception 'pg_cron rejects the schedule "%"', schedule
                using errcode = 'invalid_parameter_value', detail = sqlerrm, hint = syntax;
    end;
    update ipai.mirrors m
    set schedule = schedule_sync.schedule, scheduled_at = now(), scheduled_by = current_user,
        max_age = ipai.schedule_interval(schedule_sync.schedule)
    where m.name = mirror;
    return job;
end
$$;
comment on function ipai.schedule_sync(text, text) is
    'Creates or changes the pg_cron job that runs a mirror as the current user. schedule: a cron '
    'schedule in GMT (or in cron.timezone), such as */15 * * * *; or live: the job '
    'call ipai.follow_sync() applies each change within about a second, for all mirrors that the '
    'current user has scheduled so. Returns the id of the job.';

create or replace function ipai.unschedule_sync(mirror text) returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    job bigint;
    found_one boolean := false;
begin
    perform ipai.require_cron();
    for job in
        select j.jobid from cron.job j
        where j.jobname in ('ipai_sync ' || mirror, 'ipai_sync now ' || mirror)
          and j.username = current_user
    loop
        found_one := cron.unschedule(job) or found_one;
    end loop;
    -- The job of another role stays, and only that role can see it.
    update ipai.mirrors m
    set schedule = null, scheduled_at = null, scheduled_by = null, max_age = null
    where m.name = mirror and m.scheduled_by = current_user;
    found_one := found_one or found;
    update ipai.followers f set mirrors = array_remove(f.mirrors, mirror)
    where mirror = any (f.mirrors);
    if not exists (
        select from ipai.mirrors m where m.schedule = 'live' and m.scheduled_by = current_user) then
        perform cron.unschedule(j.jobid) from cron.job j
        where j.jobname = 'ipai_sync: live' and j.username = current_user;
    end if;
    return found_one;
end
$$;
comment on function ipai.unschedule_sync(text) is
    'Removes the current user''s jobs and schedule of a mirror. Returns false if there were none.';

create or replace function ipai.restore_schedules()
returns table (mirror text, schedule text, job bigint, problem text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform ipai.require_cron();
    for mirror, schedule in
        select m.name, m.schedule from ipai.mirrors m
        where m.scheduled_by = current_user
        order by m.name
    loop
        job := null;
        problem := null;
        begin
            job := ipai.schedule_sync(mirror, schedule);
        exception
            when others then
                problem := sqlerrm;
        end;
        return next;
    end loop;
end
$$;
comment on function ipai.restore_schedules() is
    'Creates the current user''s pg_cron jobs of all mirrors again after a restore: a dump has the '
    'schedules in ipai.mirrors, but not the jobs of pg_cron. Existing jobs stay. '
    'problem: why a job could not be created.';

create or replace function ipai.sync_now(mirror text) returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform ipai.require_cron();
    perform ipai.require_mirror(mirror);
    -- The job starts at the next full minute, and the run removes it when it ends.
    return cron.schedule('ipai_sync now ' || mirror, '* * * * *',
                         format('call ipai.run_sync(%L)', mirror));
end
$$;
comment on function ipai.sync_now(text) is
    'Starts one run of a mirror in the background within a minute, by pg_cron. '
    'ipai.sync_runs shows its progress. Returns the id of the job.';

-- pgrx writes its functions without a schema.
set local search_path = ipai, pg_temp;
