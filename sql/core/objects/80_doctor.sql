-- ipai.doctor(): common problems of the set-up, and the statement that fixes each.

-- The owner of the schema may have created objects in it. None of them may be called here.
set local search_path = pg_catalog, pg_temp;

create or replace function ipai.mirror_tables()
returns table (target text, relrowsecurity boolean, policies bigint, readable boolean,
               published boolean, granted text, revoke text, identified boolean)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select format('%I.%I', n.nspname, c.relname), c.relrowsecurity,
           (select count(*) from pg_policy p
            where p.polrelid = c.oid and p.polpermissive and p.polcmd in ('r', '*')
              and exists (
                  select from unnest(p.polroles) r, unnest(readers.roles) reader
                  where r = 0 or pg_has_role(reader, r, 'usage'))),
           cardinality(readers.roles) > 0,
           exists (
               select from pg_publication_tables t
               where t.pubname = 'supabase_realtime' and t.schemaname = n.nspname
                 and t.tablename = c.relname),
           exposed.granted, exposed.revoke,
           c.relreplident = 'f' or exists (
               select from pg_index i
               where i.indrelid = c.oid and i.indisvalid
                 and case c.relreplident
                     when 'd' then i.indisprimary when 'i' then i.indisreplident else false end)
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    cross join lateral (
        select array(
            select r.oid from pg_roles r
            where r.rolname in ('anon', 'authenticated')
              and has_any_column_privilege(r.oid, c.oid, 'select'))) readers (roles)
    cross join lateral (
        select string_agg(format('%s has %s', e.grantee, e.privileges), '; ' order by e.grantee),
               string_agg(e.revoke, ' ' order by e.grantee)
        from ipai.api_exposure(c.oid) e) exposed (granted, revoke)
    where exists (
        select from ipai.mirrors m where m.target_schema = n.nspname and m.target_table = c.relname)
$$;
comment on function ipai.mirror_tables() is
    'The mirror tables, who reads them, and ipai.api_exposure(). For ipai.doctor().';

create or replace function ipai.doctor(include_ok boolean default false)
returns table ("check" text, object text, state text, finding text, remedy text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    lacking text;
    jobless text[] := '{}';
    runs_all boolean := false;
    -- The program ipai-sync keeps passwords and schedules outside of the database.
    has_extension constant boolean := exists (
        select from pg_extension e where e.extname = 'ipai_sync');
    has_cron boolean := false;
begin
    -- What is well takes one row for each check, however many mirrors there are.
    if not include_ok then
        return query
        select d."check",
               case count(*) when 1 then min(d.object) end,
               d.state,
               case
                   when count(*) = 1 then min(d.finding)
                   else concat(count(*), ' objects are ok', case count(distinct d.finding)
                                   when 1 then ': ' || min(d.finding) end)
               end,
               min(d.remedy)
        from ipai.doctor(true)
            with ordinality d ("check", object, state, finding, remedy, place)
        group by d."check", d.state, case when d.state <> 'ok' then d.place end
        order by min(d.place);
        return;
    end if;

    -- A role that may execute this function may still lack privileges on what it reads.
    select string_agg(format('grant %s to %I;', p.privilege, current_user), ' ') into lacking
    from (
        select format('select on %s', t.name), has_table_privilege(t.name, 'select')
        from unnest('{ipai.mirrors,ipai.mirror_state,ipai.run_log,ipai.mirror_objects}'::text[]) t (name)
        union all
        -- Null for a function of the extension, if the database does not have it.
        select format('execute on function %s', f.name),
               has_function_privilege(to_regprocedure(f.name), 'execute')
        from unnest(array[
            'ipai.has_cron()', 'ipai.has_vault()', 'ipai.password_state(text)',
            'ipai.binding_remedy(text, text)', 'ipai.secret_binding(text, text[])',
            'ipai.stored_expression(oid, oid)', 'ipai.untrusted_code(regclass, name)',
            'ipai.untrusted_code_of(regclass[], name)',
            'ipai.is_replaced_server(text, text, name)', 'ipai.is_trusted(oid, name)',
            'ipai.mirror_tables()', 'ipai.api_exposure(oid)']) f (name))
        as p (privilege, granted)
    where not p.granted;

    -- PostgREST reads the list of exposed schemas from the role's settings or from its own
    -- configuration, which the database cannot see.
    return query
    select 'exposed schema', 'ipai'::text,
           case
               when r.oid is null or setting.schemas is null then 'unknown'
               when 'ipai' = any (setting.list) then 'ok'
               else 'problem'
           end,
           case
               when r.oid is null
                   then 'role authenticator does not exist, so PostgREST is not set up as usual'
               when setting.schemas is null
                   then 'the exposed schemas are set in PostgREST''s own configuration '
                        '(on Supabase: API settings), not in the database'
               when 'ipai' = any (setting.list) then 'the API exposes schema ipai'
               else format('the API exposes only %s', setting.schemas)
           end,
           case
               when r.oid is null or 'ipai' = any (setting.list) then null
               -- A list in the database would replace that one, with all schemas in it.
               when setting.schemas is null
                   then 'Add ipai to the list there (on Supabase: API settings; elsewhere: '
                        'db-schemas or PGRST_DB_SCHEMAS).'
               else format('alter role authenticator%s set pgrst.db_schemas = %L; '
                           'notify pgrst, ''reload config'';',
                           case when setting.here
                               then format(' in database %I', current_database()) end,
                           setting.schemas || ', ipai')
           end
    from (select) one
    left join pg_roles r on r.rolname = 'authenticator'
    left join lateral (
        select s.schemas, s.here, string_to_array(replace(s.schemas, ' ', ''), ',') as list
        from (
            select nullif(substr(c, length('pgrst.db_schemas=') + 1), '') as schemas,
                   d.setdatabase <> 0 as here
            from pg_db_role_setting d, unnest(d.setconfig) c
            where d.setrole = r.oid and c like 'pgrst.db_schemas=%'
              and d.setdatabase in (
                  0, (select oid from pg_database where datname = current_database()))
            order by d.setdatabase desc limit 1) s) setting on true;

    -- Servers
    return query
    select 'address', s.srvname::text,
           case when o.https or o.here then 'ok' else 'problem' end,
           case
               when o.https then 'https'
               when o.here then 'plain http to this machine'
               else 'plain http sends the password over the network unencrypted'
           end,
           case when not o.https and not o.here
               then format('alter server %I options (set url %L%s);', s.srvname,
                           regexp_replace(o.url, '^http:', 'https:', 'i'),
                           case when o.insecure then ', drop allow_insecure' end)
           end
    from pg_foreign_server s
    join pg_foreign_data_wrapper w on w.oid = s.srvfdw and w.fdwname = 'ipai_odoo'
    cross join lateral (
        select t.url, t.insecure, t.url ~* '^https:' as https,
               -- Through a proxy even localhost is another machine.
               not t.proxy and t.url ~* (
                   '^http://(localhost|127([.][0-9]+){1,3}|[[]::1[]])(:|/|$)') as here
        from (
            select max(x.option_value) filter (where x.option_name = 'url') as url,
                   bool_or(x.option_name = 'proxy') as proxy,
                   bool_or(x.option_name = 'allow_insecure') as insecure
            from pg_options_to_table(s.srvoptions) x) t) o
    order by 2;

    if lacking is not null then
        return query
        select 'privileges', current_user::text, 'unknown',
               'this role lacks privileges for the other checks', lacking;
        return;
    end if;

    if has_extension then
        return query
        select 'password', s.srvname::text, p.state, p.finding, p.remedy
        from pg_foreign_server s
        join pg_foreign_data_wrapper w on w.oid = s.srvfdw and w.fdwname = 'ipai_odoo'
        cross join lateral ipai.password_state(s.srvname::text) p
        order by 2;

        -- pg_cron
        has_cron := ipai.has_cron();
        return query
        select 'pg_cron', null::text,
               case when has_cron then 'ok' else 'problem' end,
               case
                   when has_cron then 'pg_cron is installed'
                   when e.oid is not null then 'this role may not use pg_cron'
                   else 'pg_cron is not installed in this database, so no run starts by itself'
               end,
               case
                   when has_cron then null
                   when e.oid is not null
                       then format('grant usage on schema cron to %I;', current_user)
                   else 'create extension pg_cron;'
               end
        from (select) one left join pg_extension e on e.extname = 'pg_cron';

        if has_cron and has_table_privilege('cron.job_run_details', 'select') then
            return query
            select 'job history', 'cron.job_run_details'::text,
                   case when h.is_pruned or not h.is_old then 'ok' else 'problem' end,
                   case
                       when h.is_pruned then 'a job prunes it'
                       when not h.is_old then 'it has no row older than 30 days'
                       else 'it keeps a row for each run of a job: nothing prunes it'
                   end,
                   case when h.is_old and not h.is_pruned
                       then format('select cron.schedule(%L, %L, %L);', 'prune job_run_details',
                                   '30 3 * * *', 'delete from cron.job_run_details '
                                                 'where end_time < now() - interval ''7 days''')
                   end
            from (
                select exists (select from cron.job j
                               where j.active and j.command ilike '%cron.job_run_details%') as is_pruned,
                       exists (select from cron.job_run_details r
                               where r.end_time < now() - interval '30 days') as is_old) h;
        end if;
    end if;

    -- Mirrors
    return query
    select 'row-level security', t.target,
           case when t.relrowsecurity then 'ok' else 'problem' end,
           case when t.relrowsecurity then 'on'
               else 'off: every role with SELECT sees every row' end,
           case when not t.relrowsecurity
               then format('alter table %s enable row level security;', t.target) end
    from ipai.mirror_tables() t
    order by t.target;

    -- Of the role that calls this function and the roles that schedule runs.
    return query
    select 'trust', m.name,
           case
               when u.problem is null and coalesce(o.is_same and not o.is_replaced, true) then 'ok'
               else 'problem'
           end,
           case
               when u.problem is not null then u.problem || ': runs refuse the table'
               when o.is_same is null then 'the next run of a role that defines mirrors registers '
                                           'the table'
               when not o.is_same
                   then 'the table or its owner is another one than when the mirror was '
                        'registered: runs refuse it'
               when o.is_replaced
                   then 'the server belongs to another role than when the mirror was registered: '
                        'runs refuse it'
               else 'runs execute only code of roles that they trust'
           end,
           case
               when u.problem is not null then u.remedy
               when not o.is_same or o.is_replaced
                   then format('select ipai.register_mirror(%L);', m.name)
           end
    from ipai.mirrors m
    join pg_namespace n on n.nspname = m.target_schema
    join pg_class c on c.relnamespace = n.oid and c.relname = m.target_table
    left join lateral (
        select (o.relation, o.owner) = (c.oid, c.relowner) as is_same,
               ipai.is_replaced_server(m.name, m.server) as is_replaced
        from ipai.mirror_objects o where o.mirror = m.name) o on true
    left join lateral (
        select f.problem, f.remedy
        from (select current_user union select r.rolname from pg_roles r
              where r.rolname = m.scheduled_by) r (runner)
        cross join lateral ipai.untrusted_code(c.oid::regclass, r.runner::name) f
        order by r.runner limit 1) u on true
    order by m.name;

    return query
    select 'bulk export', m.name,
           case when t.degraded is null then 'ok' else 'problem' end,
           coalesce('Odoo has the addon ipai_sync, and runs do not use it: ' || t.degraded,
                    'runs use the addon ipai_sync, if Odoo has it'),
           case when t.degraded is not null
               then format('Update the addon ipai_sync in Odoo. To try it now: '
                           'select * from ipai.check_connection(%s);', quote_literal(m.server)) end
    from ipai.mirrors m
    left join ipai.mirror_state t on t.mirror = m.name
    order by m.name;

    return query
    select 'API privileges', t.target,
           case when t.granted is null then 'ok' else 'problem' end,
           coalesce(t.granted,
                    'requests without a token read no row, and no user of the API may write'),
           t.revoke
    from ipai.mirror_tables() t
    where to_regrole('anon') is not null or to_regrole('authenticated') is not null
    order by t.target;

    -- Users of the API get only columns of these tables.
    return query
    select 'API privileges', g.relation, 'problem',
           concat('runs are defined or logged here, with values of all tenants: ',
                  string_agg(format('%s has %s', g.grantee, g.privileges), '; '
                             order by g.grantee)),
           string_agg(
               concat(format('revoke %s on table %s from %s;', lower(g.privileges), g.relation,
                             g.grantee),
                      -- The statement revokes the privileges on columns, too.
                      case when g.columns is not null
                          then format(' grant select (%s) on table %s to %s;', g.columns,
                                      g.relation, g.grantee) end),
               ' ' order by g.grantee)
    from (
        select c.oid::regclass::text as relation,
               case a.grantee when 0 then 'public'
                   else quote_ident(pg_get_userbyid(a.grantee)) end as grantee,
               string_agg(a.privilege_type, ', ' order by a.privilege_type) as privileges,
               (select string_agg(quote_ident(t.attname), ', ' order by t.attnum)
                from pg_attribute t cross join lateral aclexplode(t.attacl) x
                where t.attrelid = c.oid and x.grantee = a.grantee
                  and x.privilege_type = 'SELECT') as columns
        from pg_class c cross join lateral aclexplode(c.relacl) a
        where c.oid = any ('{ipai.mirrors,ipai.mirror_objects,ipai.mirror_state,ipai.run_log,
                             ipai.sync_rejects,ipai.odoo_logins,
                             ipai.followers}'::regclass[])
          and (a.grantee = 0
               or a.grantee in (select r.oid from pg_roles r
                                where r.rolname in ('anon', 'authenticated')))
        group by c.oid, a.grantee) g
    group by g.relation
    order by g.relation;

    return query
    select 'policies', t.target,
           case when not t.readable or t.policies > 0 then 'ok' else 'problem' end,
           case
               when not t.readable then 'users of the API may not read it'
               when t.policies > 0 then format('number of policies for API users: %s', t.policies)
               else 'users of the API may read it, but no policy shows them a row'
           end,
           -- With tenants in the table, each tenant must see only its own rows.
           case
               when not t.readable or t.policies > 0 then null
               when m.name = 'sample_metrics'
                   then 'select ipai.protect_mirror(''sample_metrics'', '
                        '''{"brand_id": "ipai_brand_ids", "store_id": "ipai_store_ids"}'');'
               when m.claims is not null
                   then format('select ipai.protect_mirror(%L, %L);', m.name, m.claims)
               else format('create policy everybody on %s for select to authenticated '
                           'using (true);', t.target)
           end
    from ipai.mirror_tables() t
    cross join lateral (
        select m.name,
               (select jsonb_object_agg(c.key, 'ipai_' || c.key) from jsonb_each(m.constants) c
                where jsonb_typeof(c.value) <> 'boolean') as claims
        from ipai.mirrors m
        where format('%I.%I', m.target_schema, m.target_table) = t.target
        order by m.name limit 1) m
    where to_regrole('authenticated') is not null
    order by t.target;

    return query
    select 'publication', t.target,
           case when case when t.published then t.identified else not t.readable end
               then 'ok' else 'problem' end,
           case
               when t.published and not t.identified
                   then 'it is published without a replica identity, so updates and deletions fail'
               when t.published then 'Realtime sends its changes'
               when not t.readable then 'users of the API may not read it'
               else 'it is not in publication supabase_realtime, so Realtime sends no changes'
           end,
           case
               when t.published and not t.identified
                   then format('alter table %s replica identity full;', t.target)
               when not t.published and t.readable
                   then format('alter publication supabase_realtime add table %s;', t.target)
           end
    from ipai.mirror_tables() t
    where exists (select from pg_publication p where p.pubname = 'supabase_realtime')
    order by t.target;

    -- Newer minor versions of Postgres allow listed output plugins only, and their default list
    -- lacks the one of Realtime.
    return query
    select 'output plugin', 'wal2json'::text,
           case
               when not o.visible then 'unknown'
               when o.list is null or 'wal2json' = any (o.list) then 'ok'
               else 'problem'
           end,
           case
               when not o.visible
                   then 'this role may not see which output plugins Postgres allows'
               when o.list is null then 'this version of Postgres restricts no output plugins'
               when 'wal2json' = any (o.list) then 'Realtime''s replication slot may use it'
               else 'output_plugin_libraries lacks it, so Realtime gets no replication slot'
           end,
           case
               when not o.visible then format('grant pg_read_all_settings to %I;', current_user)
               when 'wal2json' <> all (o.list)
                   then format('alter database %I set output_plugin_libraries = %s;',
                               current_database(),
                               (select string_agg(quote_ident(p), ', ')
                                from unnest(o.list || 'wal2json'::text) p))
           end
    from (
        select s.visible,
               array_remove(string_to_array(translate(
                   case when s.visible
                       then current_setting('output_plugin_libraries', true) end, ' "', ''),
                   ','), '') as list
        from (select pg_has_role('pg_read_all_settings', 'usage') as visible) s) o
    where exists (select from pg_publication p where p.pubname = 'supabase_realtime');

    -- A role sees only its own jobs.
    if has_cron then
        jobless := array(
            select m.name from ipai.mirrors m
            where m.scheduled_by = current_user
              and not exists (
                  select from cron.job j
                  where j.jobname = case m.schedule
                                when 'live' then 'ipai_sync: live' else 'ipai_sync ' || m.name
                            end
                      and j.username = current_user));
        runs_all := exists (
            select from cron.job j
            where j.active and j.username = current_user
              and j.command ~* '^[[:space:]]*call[[:space:]]+ipai[.]run_sync[(][[:space:]]*[)]');
    end if;
    return query
    select 'schedule', m.name,
           case
               when not m.enabled or m.schedule is not null and m.name <> all (jobless) then 'ok'
               when m.schedule is null and runs_all then 'ok'
               else 'problem'
           end,
           case
               when not m.enabled then 'the mirror is disabled'
               when m.name = any (jobless)
                   then format('pg_cron has no job for the schedule %s: a restore does not '
                               'restore jobs', m.schedule)
               when m.schedule is null and runs_all then 'a job runs all enabled mirrors'
               else coalesce(m.schedule, 'the mirror has no schedule')
           end,
           case
               when not m.enabled or m.schedule is null and runs_all then null
               when m.schedule is null and not has_extension
                   then format('Schedule the program, and record its interval for the alert late: '
                               'select ipai.expect_sync(%L, ''15 minutes'');', m.name)
               when m.schedule is null
                   then format('select ipai.schedule_sync(%L, ''*/15 * * * *'');', m.name)
               when m.name = any (jobless) then 'select * from ipai.restore_schedules();'
           end
    from ipai.mirrors m
    order by m.name;

    -- The clocks, as the last runs saw them. A request takes time, so seconds are within the
    -- error of measurement.
    return query
    select 'clock', m.name,
           case
               when r.seconds is null then 'unknown'
               when abs(r.seconds) > 120 then 'problem'
               else 'ok'
           end,
           case
               when r.seconds is null then 'no run has read the clock of Odoo yet'
               when abs(r.seconds) > 120
                   then format('Odoo''s clock is %s %s this database''s',
                               justify_interval(make_interval(secs => abs(r.seconds))),
                               case when r.seconds > 0 then 'ahead of' else 'behind' end)
               else 'the clocks of Odoo and this database agree'
           end,
           case when abs(r.seconds) > 120
               then 'Set both clocks by NTP. Runs use Odoo''s clock, so no record is lost; '
                    'schedules and ages use this database''s clock.'
           end
    from ipai.mirrors m
    left join lateral (
        select round(extract(epoch from r.odoo_clock - r.started_at))::float8 as seconds
        from ipai.run_log r
        where r.mirror = m.name and r.odoo_clock is not null and r.resumes is null
        order by r.run desc
        limit 1) r on true
    order by m.name;
end
$$;
comment on function ipai.doctor(boolean) is
    'Checks for common problems of the set-up: state ok, problem or unknown (the database cannot '
    'know), what was found, and the statement that fixes it. One row for each check and object; '
    'the objects of a check that are ok share a row without an object, unless include_ok. '
    'Sends no request to Odoo; ipai.check_connection() does.';

-- pgrx writes its functions without a schema.
set local search_path = ipai, pg_temp;
