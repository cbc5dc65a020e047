-- When runs are expected, for the alert late: the interval of a schedule, and schedules of other
-- schedulers than pg_cron.

-- The owner of the schema may have created objects in it. None of them may be called here.
set local search_path = pg_catalog, pg_temp;

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

-- pgrx writes its functions without a schema.
set local search_path = ipai, pg_temp;
