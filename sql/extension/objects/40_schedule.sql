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

create or replace function ipai.cron_gap(
    field text, lowest integer, highest integer, last integer)
returns integer
language plpgsql immutable strict
set search_path = pg_catalog, pg_temp
as $$
declare
    months constant text[] := '{jan,feb,mar,apr,may,jun,jul,aug,sep,oct,nov,dec}';
    weekdays constant text[] := '{sun,mon,tue,wed,thu,fri,sat}';
    part text;
    matched text[];
    bounds integer[];
    found_ones integer[] := '{}';
begin
    foreach part in array string_to_array(lower(field), ',') loop
        matched := regexp_match(part, '^(?:([*])|([0-9a-z]+)(?:-([0-9a-z]+))?)(?:/([0-9]{1,3}))?$');
        bounds := array(
            select case
                       when t.name is null then null
                       when t.name ~ '^[0-9]{1,3}$' then t.name::integer
                       when highest = 12 then array_position(months, t.name)
                       when highest = 6 then array_position(weekdays, t.name) - 1
                   end
            from unnest(matched[2:3]) with ordinality t (name, place)
            order by t.place);
        if matched is null or matched[4]::integer = 0
            or matched[1] is null and bounds[1] is null
            or matched[3] is not null and bounds[2] is null
            or matched[4] is not null and coalesce(matched[1], matched[3]) is null then
            return null;
        end if;
        found_ones := found_ones || array(
            select generate_series(coalesce(bounds[1], lowest),
                                   coalesce(bounds[2], bounds[1], highest),
                                   coalesce(matched[4]::integer, 1)));
    end loop;
    -- Sunday is 0 and 7.
    return (
        with matches as (
            select distinct case when highest = 6 and n = 7 then 0 else n end as n
            from unnest(found_ones) n
        ), gaps as (
            select coalesce(lead(n) over (order by n), min(n) over () + last - lowest + 1) - n as gap
            from matches
            where n <= last
        )
        select max(g.gap) from gaps g
        where not exists (
            select from matches m where m.n not between lowest and highest));
end
$$;
comment on function ipai.cron_gap(text, integer, integer, integer) is
    'Longest distance between two values up to last that a field of a cron schedule matches, such '
    'as 15 for the minutes */15; null if the field is invalid or matches no such value. '
    'For ipai.schedule_interval().';

create or replace function ipai.schedule_interval(schedule text) returns interval
language plpgsql immutable strict
set search_path = pg_catalog, pg_temp
as $$
declare
    names constant jsonb := '{"@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *",
        "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0", "@daily": "0 0 * * *",
        "@midnight": "0 0 * * *", "@hourly": "0 * * * *"}';
    fields constant text[] := regexp_split_to_array(
        btrim(coalesce(names ->> lower(btrim(schedule)), schedule), E' \t'), '[[:space:]]+');
    minutes integer;
    hours integer;
    days integer;
    months integer;
    weekdays integer;
    day_gap integer;
begin
    if cardinality(fields) = 2 and fields[1] ~ '^[0-9]{1,4}$'
        and fields[2] ~* '^(second|minute|hour|day)s?$' then
        return nullif(array_to_string(fields, ' ')::interval, interval '0');
    elsif cardinality(fields) <> 5 then
        return null;
    end if;
    minutes := ipai.cron_gap(fields[1], 0, 59, 59);
    hours := ipai.cron_gap(fields[2], 0, 23, 23);
    -- In the month that suits the field least. $ is the last day of each month.
    if fields[3] = '$' then
        days := 31;
    else
        select case when count(gap) = 4 then max(gap) end into days
        from generate_series(28, 31) l (last) cross join ipai.cron_gap(fields[3], 1, 31, l.last) gap;
    end if;
    months := ipai.cron_gap(fields[4], 1, 12, 12);
    weekdays := ipai.cron_gap(fields[5], 0, 6, 6);
    if num_nulls(minutes, hours, days, months, weekdays) > 0 then
        return null;
    end if;
    -- cron needs one of the two fields for days to match if both are restricted, and both if one
    -- begins with a star.
    if fields[3] not like '*%' and fields[5] not like '*%' then
        day_gap := least(days, weekdays);
    elsif least(days, weekdays) = 1 then
        day_gap := greatest(days, weekdays);
    else
        -- Both must match, which may take many months.
        return null;
    end if;
    return case
        when months > 1 then make_interval(days => least(31 * months, 366))
        when day_gap > 1 then make_interval(days => day_gap)
        when hours > 1 then make_interval(hours => hours)
        when minutes > 1 then make_interval(mins => minutes)
        else interval '1 minute'
    end;
end
$$;
comment on function ipai.schedule_interval(text) is
    'Upper estimate of the interval between two runs: of a cron schedule, from its coarsest '
    'restricted field (3 days for 0 9 * * 1-5), or an interval such as 30 seconds; null for an '
    'invalid schedule, and if there is no simple estimate: for days that some months lack. '
    'For other functions.';

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
    'schedule in GMT (or in cron.timezone), such as */15 * * * *. Returns the id of the job.';

create or replace function ipai.expect_sync(mirror text, schedule text) returns timestamptz
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    longest interval;
begin
    perform ipai.require_mirror(mirror);
    longest := ipai.schedule_interval(schedule);
    if schedule is not null and longest is null then
        raise exception 'the schedule "%" is invalid, or its interval cannot be estimated', schedule
            using errcode = 'invalid_parameter_value',
                  hint = 'Use five fields (minute hour day month weekday) such as */15 * * * *, or '
                         'the longest interval, such as 15 minutes or 40 days.';
    end if;
    if exists (
        select from ipai.mirrors m where m.name = mirror and m.scheduled_by is not null) then
        raise exception 'mirror "%" has a schedule of pg_cron', mirror
            using errcode = 'object_in_use',
                  hint = format('Use one scheduler. As the role that created the schedule: '
                                'select ipai.unschedule_sync(%L);', mirror);
    end if;
    update ipai.mirrors m
    set schedule = expect_sync.schedule,
        scheduled_at = case when expect_sync.schedule is not null then now() end,
        max_age = longest
    where m.name = mirror;
    return now() + longest;
end
$$;
comment on function ipai.expect_sync(text, text) is
    'Records the schedule by which another scheduler than pg_cron runs a mirror, for the alert '
    'late: a cron schedule such as */15 * * * *, or an interval such as 15 minutes; null for none. '
    'Runs nothing. Returns when a run is due at the latest.';

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
    return found_one or found;
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
