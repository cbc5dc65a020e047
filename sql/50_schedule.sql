-- Scheduling over pg_cron, in whose tables the jobs live: cron.job, cron.job_run_details.

-- Nothing of the schema that the extension goes into may be called while it is created: its owner may have planted it.
set local search_path = pg_catalog, pg_temp;

create function ipai.schedule_sync(mirror text, schedule text) returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    job bigint;
begin
    perform ipai.require_cron();
    perform ipai.require_mirror(mirror);
    if schedule is null then
        raise exception 'schedule must not be null'
            using errcode = 'invalid_parameter_value', hint = 'Give a cron schedule such as */15 * * * *.';
    end if;
    if not exists (select from ipai.mirrors m where m.name = mirror) then
        -- It registers the built-in one.
        perform ipai.alter_mirror(mirror);
    end if;
    begin
        -- pg_cron takes whatever follows five fields for a command, and leaves it out.
        if schedule !~ '^\s*(\S+\s+){4}\S+\s*$' and schedule !~ '^\s*(@\w+|\d+\s+seconds?)\s*$' then
            raise exception 'There are not five fields.';
        end if;
        job := cron.schedule('ipai_sync ' || mirror, schedule, format('call ipai.run_sync(%L)', mirror));
    exception
        when insufficient_privilege or read_only_sql_transaction or lock_not_available or insufficient_resources then
            raise;
        when others then
            raise exception 'pg_cron does not understand the schedule "%"', schedule
                using errcode = 'invalid_parameter_value', detail = sqlerrm,
                      hint = 'Five fields: minute hour day month weekday, in GMT. */15 * * * * is every 15 minutes.';
    end;
    if schedule !~ '@re(boot|start)' and ipai.next_run(schedule, now() at time zone ipai.cron_timezone()) is null then
        raise exception 'the schedule "%" never comes', schedule
            using errcode = 'invalid_parameter_value',
                  hint = 'Five fields: minute hour day month weekday, in GMT. */15 * * * * is every 15 minutes.';
    end if;
    update ipai.mirrors m
    set schedule = schedule_sync.schedule, scheduled_at = now(), scheduled_by = current_user
    where m.name = mirror;
    return job;
end
$$;
comment on function ipai.schedule_sync(text, text) is
    'Lets pg_cron run a mirror''s sync, as the current user: a cron schedule in GMT (or in cron.timezone), such as */15 * * * *. Again changes the schedule. Returns the job''s id.';

create function ipai.expect_sync(mirror text, schedule text) returns timestamptz
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    next_due timestamptz;
begin
    perform ipai.require_mirror(mirror);
    next_due := ipai.next_run(schedule, now() at time zone ipai.cron_timezone()) at time zone ipai.cron_timezone();
    if schedule is not null and next_due is null then
        raise exception 'the schedule "%" is not understood, or never comes', schedule
            using errcode = 'invalid_parameter_value',
                  hint = 'Five fields: minute hour day month weekday, in GMT. */15 * * * * is every 15 minutes.';
    end if;
    if not exists (select from ipai.mirrors m where m.name = mirror) then
        -- It registers the built-in one.
        perform ipai.alter_mirror(mirror);
    end if;
    if exists (select from ipai.mirrors m where m.name = mirror and m.scheduled_by is not null) then
        raise exception 'mirror "%" has a schedule of pg_cron', mirror
            using errcode = 'object_in_use', hint = format('One scheduler is enough. As the role that made it: select ipai.unschedule_sync(%L);', mirror);
    end if;
    update ipai.mirrors m
    set schedule = expect_sync.schedule, scheduled_at = case when expect_sync.schedule is not null then now() end
    where m.name = mirror;
    return next_due;
end
$$;
comment on function ipai.expect_sync(text, text) is
    'Says when a scheduler other than pg_cron runs a mirror''s sync, so that sync_alerts tells when it is late: a cron schedule in GMT (or in cron.timezone), such as */15 * * * *; null for none. Runs nothing. Returns when it is due next.';

create function ipai.unschedule_sync(mirror text) returns boolean
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
        where j.jobname in ('ipai_sync ' || mirror, 'ipai_sync now ' || mirror) and j.username = current_user
    loop
        found_one := cron.unschedule(job) or found_one;
    end loop;
    -- Another role's job goes on, and nobody but that role can see it.
    update ipai.mirrors m
    set schedule = null, scheduled_at = null, scheduled_by = null
    where m.name = mirror and m.scheduled_by = current_user;
    return found_one or found;
end
$$;
comment on function ipai.unschedule_sync(text) is
    'Takes the current user''s schedule of a mirror away, and what restore_schedules() would make again; false where there was neither.';

create function ipai.restore_schedules() returns table (mirror text, schedule text, job bigint, problem text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform ipai.require_cron();
    for mirror, schedule in
        select m.name, m.schedule from ipai.mirrors m where m.scheduled_by = current_user order by m.name
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
    'Makes the current user''s pg_cron jobs of all mirrors again: after a restore, whose dump holds the schedules of ipai.mirrors but not pg_cron''s jobs. A job that is still there stays. problem: why there is none.';

create function ipai.sync_now(mirror text) returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform ipai.require_cron();
    perform ipai.require_mirror(mirror);
    -- Due at the next full minute; the run takes the job away when it ends.
    return cron.schedule('ipai_sync now ' || mirror, '* * * * *', format('call ipai.run_sync(%L)', mirror));
end
$$;
comment on function ipai.sync_now(text) is
    'Lets pg_cron begin one run of a mirror within a minute, in the background. Watch it in ipai.sync_runs. Returns the job''s id.';

create function ipai.has_cron() returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    -- What is only called like pg_cron's table may be anybody's, and a run would call it.
    return coalesce((
        select has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select')
        from pg_depend d
        join pg_extension e on e.oid = d.refobjid and d.refclassid = 'pg_extension'::regclass and e.extname = 'pg_cron'
        join pg_class c on c.oid = d.objid and d.classid = 'pg_class'::regclass and c.relname = 'job'
        join pg_namespace n on n.oid = c.relnamespace and n.nspname = 'cron'
        where d.deptype = 'e'), false);
end
$$;
comment on function ipai.has_cron() is 'Whether pg_cron is in this database, and the current user may use it.';

create function ipai.require_cron() returns void
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
                  hint = format('On Supabase, do this as postgres. Elsewhere: grant usage on schema cron to %I;', current_user);
    end if;
    raise exception 'pg_cron is not installed in this database'
        using errcode = 'undefined_object',
              hint = 'create extension pg_cron; (it must be in shared_preload_libraries, and lives in the database that cron.database_name names).';
end
$$;
comment on function ipai.require_cron() is 'Raises a clear error where the current user cannot use pg_cron.';

create function ipai.require_mirror(mirror text) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    -- sample_metrics registers itself with its first run.
    if mirror is null or mirror <> 'sample_metrics' and not exists (select from ipai.mirrors m where m.name = mirror) then
        raise exception 'mirror "%" does not exist', mirror
            using errcode = 'undefined_object',
                  hint = format('There are: %s.', (select string_agg(distinct n, ', ' order by n)
                      from (select m.name from ipai.mirrors m union select 'sample_metrics') as names (n)));
    end if;
end
$$;
comment on function ipai.require_mirror(text) is 'Raises a clear error where there is no such mirror.';

-- pgrx writes its functions without a schema.
set local search_path = ipai, pg_temp;
