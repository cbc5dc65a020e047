-- Hints for databases without the extension, in which the program ipai-sync runs the mirrors.

-- The owner of the schema may have created objects in it. None of them may be called here.
set local search_path = pg_catalog, pg_temp;

create or replace function ipai.command_hint(hint text, for_program boolean default null)
returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    called text[];
    arguments text;
    flag text;
begin
    if not coalesce(
        for_program, not exists (select from pg_extension e where e.extname = 'ipai_sync')) then
        return hint;
    end if;
    for called in
        select regexp_matches(
            hint,
            '((?:select(?: [*] from)?|call) ipai[.]'
            '(run_sync|sync_now|create_mirror|alter_mirror|refresh_mirror|drop_mirror'
            '|check_connection|odoo_call)[(]((?:[^()'']|''[^'']*'')*)[)];?)', 'g')
    loop
        arguments := case called[2]
            -- The second argument is the mode.
            when 'run_sync' then regexp_replace(called[3], '^(''[^'']*''), (?='')', '\1, mode => ')
            when 'check_connection' then regexp_replace(called[3], '^(?='')', 'server => ')
            else called[3]
        end;
        for flag in select m[1] from regexp_matches(arguments, '([a-z_]+) => ', 'g') m loop
            arguments := regexp_replace(arguments, '(, )?' || flag || ' => ',
                                        ' --' || replace(flag, '_', '-') || ' ');
        end loop;
        -- The shell needs no quotes around a plain word.
        arguments := regexp_replace(arguments, '''([A-Za-z0-9_.-]+)''', '\1', 'g');
        hint := replace(hint, called[1], rtrim(format('ipai-sync %s %s', case called[2]
            when 'run_sync' then 'run'
            when 'sync_now' then 'run'
            when 'check_connection' then 'check'
            else replace(called[2], '_', '-')
        end, btrim(arguments))));
    end loop;
    -- Arguments that are named outside of a call.
    for flag in select m[1] from regexp_matches(hint, '\m([a-z_]+) => ', 'g') m loop
        hint := replace(hint, flag || ' => ', '--' || replace(flag, '_', '-') || ' ');
    end loop;
    return hint;
end
$$;
comment on function ipai.command_hint(text, boolean) is
    'A hint with the commands of the program ipai-sync in place of calls of the extension''s '
    'functions, for a database without the extension. for_program: also if it has the extension. '
    'For views and for the program.';

-- pgrx writes its functions without a schema.
set local search_path = ipai, pg_temp;
