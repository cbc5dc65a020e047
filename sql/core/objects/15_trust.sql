-- Whose code a run may execute, and which table and server a mirror was registered with.

-- The owner of the schema may have created objects in it. None of them may be called here.
set local search_path = pg_catalog, pg_temp;

create or replace function ipai.is_trusted(owner oid, runner name default current_user)
returns boolean
-- Not in SQL, whose functions are planned in each statement that calls them.
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
begin
    -- A member of the runner, and a superuser, may act as the runner already. Roles that define
    -- mirrors decide what runs write. Supabase reserves the names of its services' roles, which own
    -- the function of webhooks, for example. Elsewhere a role with CREATEROLE may take these names,
    -- but it cannot make a superuser.
    return (
        select pg_has_role(o.oid, r.oid,
                           -- From 16 on, a membership may give nothing.
                           case when current_setting('server_version_num')::int < 160000
                               then 'member'
                               else 'usage, set, member with admin option'
                           end)
            or not r.rolsuper
                and (has_table_privilege(o.oid, 'ipai.mirrors', 'insert')
                     or o.rolname in ('supabase_auth_admin', 'supabase_functions_admin',
                                      'supabase_realtime_admin', 'supabase_storage_admin')
                        and exists (select from pg_roles a
                                    where a.rolname = 'supabase_admin' and a.rolsuper))
        from pg_roles r, pg_roles o
        where r.rolname = runner
          and o.oid = case owner
              when 'pg_database_owner'::regrole
                  then (select d.datdba from pg_database d where d.datname = current_database())
              else owner
          end);
end
$$;
comment on function ipai.is_trusted(oid, name) is
    'Whether code of a role may run with the rights of runner: that of runner itself, of its '
    'members and of superusers, and, unless runner is a superuser, of roles that may define '
    'mirrors and of the services of Supabase. For other functions.';

create or replace function ipai.stored_expression(classid oid, objid oid) returns text
-- Not in SQL, whose functions are planned in each statement that calls them.
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
begin
    return case classid
        when 'pg_attrdef'::regclass
            then (select d.adbin::text from pg_attrdef d where d.oid = objid)
        when 'pg_constraint'::regclass
            then (select k.conbin::text from pg_constraint k where k.oid = objid)
        when 'pg_trigger'::regclass
            then (select t.tgqual::text from pg_trigger t where t.oid = objid)
        when 'pg_class'::regclass
            then concat(
                (select concat(i.indexprs, i.indpred) from pg_index i where i.indexrelid = objid),
                (select p.partexprs from pg_partitioned_table p where p.partrelid = objid))
        when 'pg_policy'::regclass
            then (select concat(p.polqual, p.polwithcheck) from pg_policy p where p.oid = objid)
        when 'pg_statistic_ext'::regclass
            then (select x.stxexprs::text from pg_statistic_ext x where x.oid = objid)
        when 'pg_type'::regclass
            then (select y.typdefaultbin::text from pg_type y where y.oid = objid)
        when 'pg_rewrite'::regclass
            then (select concat(e.ev_qual, e.ev_action) from pg_rewrite e where e.oid = objid)
        -- The planner may put an operator that no expression names in the place of another one.
        when 'pg_operator'::regclass
            then (select concat(' :opfuncid ', o.oprcode::oid, ' ') from pg_operator o
                  where o.oid = objid)
    end;
end
$$;
comment on function ipai.stored_expression(oid, oid) is
    'The expressions of an object as Postgres stores them: a default, constraint, trigger, index, '
    'partition key, policy, view, statistic or type; of an operator its function. For other '
    'functions.';

create or replace function ipai.untrusted_code_of(targets regclass[], runner name default current_user)
returns table (object text, owner text, problem text, remedy text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
-- The planner expects a million rows where there are ten. Compiling the query would take a hundred
-- times as long as running it, and filling hash tables of that size with zeros five times.
set jit = off
set work_mem = '64kB'
-- For the same reason it would read whole catalogs, which grow with the number of mirrors.
set enable_hashjoin = off
set enable_mergejoin = off
set enable_seqscan = off
-- Planning takes longer than running, and runs call it for each mirror.
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
begin
    return query
    with recursive affected (relation, is_written) as (
        select t.relation::oid, true from unnest(targets) t (relation)
        union
        select n.relation, n.is_written
        from affected a
        cross join lateral (
            -- A deletion reads or changes the rows that reference a row.
            select k.conrelid, k.confdeltype in ('c', 'n', 'd') or k.confupdtype in ('c', 'n', 'd')
            from pg_constraint k where k.confrelid = a.relation and k.contype = 'f'
            union all
            select k.confrelid, false
            from pg_constraint k where k.conrelid = a.relation and k.contype = 'f'
            union all
            select i.inhrelid, true from pg_inherits i where i.inhparent = a.relation
            union all
            -- The owner of a parent reads the rows, and chooses the functions of a partition key.
            select i.inhparent, true from pg_inherits i where i.inhrelid = a.relation)
            n (relation, is_written)
        where a.is_written
    ),
    written (relation) as (select a.relation from affected a where a.is_written),
    -- Each table, and what belongs to it: defaults, constraints, indexes, statistics and triggers.
    -- Queries of foreign keys also read tables that are not written.
    part (classid, objid) as (
        select 'pg_class'::regclass::oid, a.relation from affected a
        union all
        -- The index of a constraint depends on the constraint.
        select 'pg_class'::regclass, i.indexrelid
        from affected a join pg_index i on i.indrelid = a.relation
        union all
        select d.classid, d.objid
        from affected a
        join pg_depend d on d.refclassid = 'pg_class'::regclass and d.refobjid = a.relation
        where d.deptype in ('a', 'i')
          and (d.classid in ('pg_constraint'::regclass, 'pg_statistic_ext'::regclass)
               or a.is_written
                   and d.classid in ('pg_attrdef'::regclass, 'pg_trigger'::regclass)
                   and not exists (
                       select from pg_trigger t
                       where d.classid = 'pg_trigger'::regclass and t.oid = d.objid
                         and t.tgenabled = 'D'))
    ),
    -- Everything that these parts call. Postgres records no dependency on its own objects.
    code (classid, objid) as (
        select p.classid, p.objid from part p
        union
        select n.classid, n.objid
        from code c
        cross join lateral (
            select d.refclassid, d.refobjid from pg_depend d
            where d.classid = c.classid and d.objid = c.objid
              and (d.refclassid in (
                       'pg_proc'::regclass, 'pg_operator'::regclass, 'pg_type'::regclass,
                       'pg_opclass'::regclass, 'pg_opfamily'::regclass)
                   or d.refclassid = 'pg_class'::regclass
                       and d.classid in ('pg_policy'::regclass, 'pg_rewrite'::regclass))
            union all
            -- The policies of each table. They may read other tables and views, with policies too.
            select 'pg_policy'::regclass, p.oid from pg_policy p
            where c.classid = 'pg_class'::regclass and p.polrelid = c.objid
            union all
            select 'pg_rewrite'::regclass, e.oid
            from pg_rewrite e join pg_class v on v.oid = e.ev_class
            where c.classid = 'pg_class'::regclass and e.ev_class = c.objid
              and v.relkind in ('v', 'm')
            union all
            -- The planner replaces NOT and swapped operands by these operators.
            select 'pg_operator'::regclass, x.operator
            from pg_operator o cross join lateral (values (o.oprnegate), (o.oprcom)) x (operator)
            where c.classid = 'pg_operator'::regclass and o.oid = c.objid and x.operator <> 0
            union all
            select 'pg_constraint'::regclass, k.oid from pg_constraint k
            where c.classid = 'pg_type'::regclass and k.contypid = c.objid
            union all
            -- The owner of either type may create a cast. If the other type's owner is not
            -- trusted, the cast matters only with that type, which is reported then.
            select 'pg_proc'::regclass, k.castfunc
            from pg_cast k
            join pg_type y on y.oid in (k.castsource, k.casttarget)
                and (y.oid <> c.objid or k.castsource = k.casttarget)
            where c.classid = 'pg_type'::regclass and c.objid in (k.castsource, k.casttarget)
              and k.castfunc <> 0 and ipai.is_trusted(y.typowner, runner)
            union all
            -- Postgres records no dependency on some types of an expression, such as the one of an
            -- empty array.
            select 'pg_type'::regclass, m[1]::oid
            from regexp_matches(ipai.stored_expression(c.classid, c.objid),
                                ':[a-z_]*typ(?:e|eid|eId|id) ([0-9]+)', 'g') m
            where m[1]::oid >= 16384
            union all
            select 'pg_class'::regclass, y.typrelid from pg_type y
            where c.classid = 'pg_type'::regclass and y.oid = c.objid and y.typrelid <> 0
            union all
            select 'pg_amproc'::regclass, m.oid from pg_amproc m
            where c.classid = 'pg_opfamily'::regclass and m.amprocfamily = c.objid)
            n (classid, objid)
    ),
    owned (classid, objid, owner) as (
        select c.classid, c.objid,
               case c.classid
                   when 'pg_proc'::regclass
                       then (select f.proowner from pg_proc f where f.oid = c.objid)
                   when 'pg_type'::regclass
                       then (select y.typowner from pg_type y where y.oid = c.objid)
                   when 'pg_operator'::regclass
                       then (select o.oprowner from pg_operator o where o.oid = c.objid)
                   when 'pg_class'::regclass
                       then (select t.relowner from pg_class t where t.oid = c.objid)
               end
        from code c
        union
        select 'pg_namespace'::regclass, n.oid, n.nspowner
        from pg_namespace n
        where n.nspname = 'ipai'
           or n.oid in (select t.relnamespace from pg_class t where t.oid = any (targets))
        union
        -- Postgres could prefer a function with other types of arguments to one of ours.
        select 'pg_proc'::regclass, f.oid, f.proowner
        from pg_proc f
        where f.pronamespace = 'ipai'::regnamespace
          and exists (select from pg_proc g
                      where g.pronamespace = f.pronamespace and g.proname = f.proname
                        and g.oid <> f.oid)
    ),
    -- With them, a role creates triggers, and tables that take part in each deletion.
    granted (relation, privilege, grantee) as (
        select w.relation, a.privilege_type, a.grantee
        from written w
        join pg_class t on t.oid = w.relation
        cross join lateral (
            select e.privilege_type, e.grantee from aclexplode(t.relacl) e
            union
            select e.privilege_type, e.grantee
            from pg_attribute c cross join lateral aclexplode(c.attacl) e
            where c.attrelid = t.oid) a
        where a.privilege_type in ('TRIGGER', 'REFERENCES') and a.grantee <> t.relowner
    ),
    other (role) as (
        select r.role
        from (select o.owner from owned o where o.owner is not null
              union select g.grantee from granted g where g.grantee <> 0) r (role)
        where ipai.is_trusted(r.role, runner) is not true
    )
    select pg_describe_object(o.classid, o.objid, 0), pg_get_userbyid(o.owner)::text,
           format('%s belongs to role "%s", which "%s" does not trust',
                  pg_describe_object(o.classid, o.objid, 0), pg_get_userbyid(o.owner), runner),
           case
               when o.classid = 'pg_namespace'::regclass
                   then 'Give it to a trusted role, or mirror into the schema of one.'
               when o.classid <> 'pg_class'::regclass
                   then 'Drop it, or sync as the owner of the table.'
               when o.objid = any (targets)
                   then 'Give it to a trusted role, or sync as its owner.'
               else 'Drop its foreign key, inheritance or policy, or give it to a trusted role.'
           end
    from owned o
    where o.owner in (select r.role from other r)
    union all
    select format('the privilege %s on table %s', string_agg(distinct g.privilege, ' or '),
                  g.relation::regclass),
           string_agg(distinct coalesce(r.rolname, 'public'), ', '),
           format('the privilege %s on table %s is granted to %s, which "%s" does not trust',
                  string_agg(distinct g.privilege, ' or '), g.relation::regclass,
                  string_agg(distinct coalesce(quote_ident(r.rolname), 'public'), ', '), runner),
           format('revoke trigger, references on table %s from %s cascade;', g.relation::regclass,
                  string_agg(distinct coalesce(quote_ident(r.rolname), 'public'), ', '))
    from granted g
    left join pg_roles r on r.oid = g.grantee
    where g.grantee = 0 or g.grantee in (select x.role from other x)
    group by g.relation
    union all
    -- A rule may name any table, and runs with the rights of the table's owner.
    select pg_describe_object('pg_rewrite'::regclass, e.oid, 0), pg_get_userbyid(t.relowner)::text,
           format('%s executes other statements with the rights of "%s"',
                  pg_describe_object('pg_rewrite'::regclass, e.oid, 0),
                  pg_get_userbyid(t.relowner)),
           format('drop rule %I on %s;', e.rulename, e.ev_class::regclass)
    from written w
    join pg_rewrite e on e.ev_class = w.relation and e.ev_enabled <> 'D'
    join pg_class t on t.oid = e.ev_class
    union all
    -- Functions of Postgres and of extensions that execute a text, or a type named by its oid, or
    -- that read, change or end what the runner may. An expression has no owner. Volatile functions
    -- are refused unless they are known, other functions if they are known.
    select format('%s calls %s', pg_describe_object(e.classid, e.objid, 0),
                  m[1]::oid::regprocedure), 'public',
           format('%s calls %s, which may execute or read anything with the rights of "%s"',
                  pg_describe_object(e.classid, e.objid, 0), m[1]::oid::regprocedure, runner),
           'Drop it.'
    from code e
    cross join lateral regexp_matches(
        ipai.stored_expression(e.classid, e.objid), ':(?:opfuncid|funcid) ([0-9]+)', 'g') m
    where (select case f.provolatile
                   when 'v' then f.proname not in (
                       'clock_timestamp', 'currval', 'gen_random_bytes', 'gen_random_uuid',
                       'lastval', 'nextval', 'random', 'random_normal', 'timeofday',
                       'uuid_generate_v1', 'uuid_generate_v1mc', 'uuid_generate_v4', 'uuidv4',
                       'uuidv7')
                   else f.proname ~ concat('_to_xml|^pg_input_|^pg_stat_|^pg_show_all_|',
                                           '_validator$|^pg_get_partition_constraintdef$|',
                                           '^satisfies_hash_partition$|^standardize_address$|',
                                           '^(array|domain|multirange|range|record)_(in|recv)$')
                       -- Settings of PostgREST have the token of a request, and a default stores
                       -- them in a row. Policies use them, and store nothing.
                       or f.proname = 'current_setting'
                          and e.classid not in ('pg_policy'::regclass, 'pg_rewrite'::regclass)
               end
           from pg_proc f
           where f.oid = m[1]::oid
             and (f.pronamespace = 'pg_catalog'::regnamespace
                  or exists (select from pg_depend d
                             where d.classid = 'pg_proc'::regclass and d.objid = f.oid
                               and d.deptype = 'e')))
    order by 1;
end
$$;
comment on function ipai.untrusted_code_of(regclass[], name) is
    'What ipai.untrusted_code(regclass, name) returns, of several tables. For other functions.';

create or replace function ipai.untrusted_code(target regclass, runner name default current_user)
returns table (object text, owner text, problem text, remedy text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return query select * from ipai.untrusted_code_of(array[target], runner);
end
$$;
comment on function ipai.untrusted_code(regclass, name) is
    'The objects by which other roles'' code would run with the rights of runner when it writes '
    'into a table: the table, its schema, and the functions of its triggers, defaults, checks, '
    'indexes, statistics, policies, types and casts, as far as runner does not trust their owners; '
    'tables related to it by foreign keys or inheritance; rules; and the privileges TRIGGER and '
    'REFERENCES. Empty: none.';

create or replace function ipai.require_trusted(targets regclass[]) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    target regclass;
    found record;
begin
    -- For many tables one query takes a fraction of the time of one for each.
    if not exists (select from ipai.untrusted_code_of(targets)) then
        return;
    end if;
    foreach target in array targets loop
        select u.problem, u.remedy into found from ipai.untrusted_code(target) u limit 1;
        if found.problem is not null then
            raise exception '%', found.problem
                using errcode = 'insufficient_privilege',
                      detail = format('Writing into table %1$s could run code of others with the '
                                      'rights of "%2$s". All problems: '
                                      'select * from ipai.untrusted_code(%3$L);',
                                      target, current_user, target::text),
                      hint = found.remedy;
        end if;
    end loop;
end
$$;
comment on function ipai.require_trusted(regclass[]) is
    'Raises an error if code of a role that the current user does not trust could run when it '
    'writes into one of the tables. For other functions.';

create or replace function ipai.lock_table(target_schema name, target_table name, relation oid,
                                           mode text default 'row exclusive')
returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    owner oid;
begin
    -- Under the lock, the name keeps its meaning until the end of the transaction.
    execute format('lock table %s%I.%I in %s mode',
                   -- Rows of child tables are not those of the mirror; partitions are.
                   case when exists (select from pg_class c
                                     where c.oid = relation and c.relkind = 'p') then ''
                       else 'only ' end,
                   target_schema, target_table,
                   case mode when 'row exclusive' then mode else 'access share' end);
    select c.relowner into owner
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.oid = relation and c.relname = target_table and n.nspname = target_schema;
    if owner is null then
        raise exception 'table "%.%" was replaced during the run', target_schema, target_table
            using errcode = 'insufficient_privilege',
                  hint = 'Repeat the run; its error names the next action.';
    elsif ipai.is_trusted(owner) is not true then
        raise exception 'table %.% belongs to role "%", which "%" does not trust',
            target_schema, target_table, pg_get_userbyid(owner), current_user
            using errcode = 'insufficient_privilege',
                  hint = 'Give it to a trusted role, or sync as its owner.';
    end if;
end
$$;
comment on function ipai.lock_table(name, name, oid, text) is
    'Locks a table by name, and raises an error if it is not the one with this oid, or its owner '
    'is not trusted. For runs.';

create or replace function ipai.verify_tables(mirrors text[], writes boolean default true)
returns regclass[]
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    mirror text;
    target record;
    registered record;
    relations regclass[] := '{}';
begin
    if current_setting('transaction_isolation') not in ('read committed', 'read uncommitted') then
        raise exception 'a sync needs the isolation level read committed'
            using errcode = 'invalid_transaction_state',
                  detail = 'With an older snapshot it would not see how the table has changed.',
                  hint = 'Roll back, then start the transaction with: '
                         'begin isolation level read committed;';
    end if;
    foreach mirror in array mirrors loop
        select m.target_schema, m.target_table, m.server, c.oid::regclass as relation,
               c.relowner::regrole as owner
        into target
        from ipai.mirrors m
        join pg_namespace n on n.nspname = m.target_schema
        join pg_class c on c.relnamespace = n.oid and c.relname = m.target_table
        where m.name = mirror;
        if target.relation is null then
            raise exception 'mirror "%" has no table', mirror
                using errcode = 'undefined_table',
                      hint = 'Create the table again, or drop the mirror with ipai.drop_mirror().';
        end if;
        -- The stronger lock waits for triggers that are not committed yet.
        perform ipai.lock_table(
            target.target_schema::name, target.target_table::name, target.relation::oid,
            case when writes then 'row exclusive' end);
        select o.relation, o.owner into registered
        from ipai.mirror_objects o where o.mirror = mirror;
        if registered.relation is null then
            -- The sample mirror, or any after a restore, in which tables have other oids.
            if writes and has_table_privilege('ipai.mirror_objects', 'insert') then
                insert into ipai.mirror_objects (mirror, relation, owner, server)
                select mirror, target.relation, target.owner, (
                    select case count(*) when 1 then max(s.oid) end
                    from pg_foreign_server s
                    join pg_foreign_data_wrapper w on w.oid = s.srvfdw
                    where w.fdwname = 'ipai_odoo' and s.srvname = coalesce(target.server, s.srvname))
                on conflict do nothing;
            end if;
        elsif (registered.relation, registered.owner) <> (target.relation, target.owner) then
            raise exception 'table "%.%" is not the one that mirror "%" was registered with',
                target.target_schema, target.target_table, mirror
                using errcode = 'insufficient_privilege',
                      detail = case
                          when registered.relation = target.relation
                              then format('It belonged to "%s" then, and belongs to "%s" now.',
                                          registered.owner, target.owner)
                          else 'It was created again, or another table has its name now.'
                      end,
                      hint = format('If it is the right one: select ipai.register_mirror(%L);',
                                    mirror);
        end if;
        relations := relations || target.relation;
    end loop;
    perform ipai.require_trusted(relations);
    return relations;
end
$$;
comment on function ipai.verify_tables(text[], boolean) is
    'Locks the tables of mirrors and returns them after it has verified that these are the tables '
    'that the mirrors were registered with, and that writing into them runs no code of a role that '
    'the current user does not trust. If the caller writes, registers the table of a mirror that '
    'has none registered. For other functions.';

create or replace function ipai.is_replaced_server(
    mirror text, server text, runner name default current_user)
returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return exists (
        select from ipai.mirror_objects o
        join pg_foreign_server s on s.srvname = $2
        where o.mirror = $1 and o.server <> s.oid and ipai.is_trusted(s.srvowner, $3) is not true);
end
$$;
comment on function ipai.is_replaced_server(text, text, name) is
    'Whether a role that runner does not trust has put a server of its own in the place of the one '
    'that a mirror was registered with. For other functions.';

create or replace function ipai.verify_server(mirror text, server text) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if ipai.is_replaced_server(mirror, server) then
        raise exception 'server "%" is not the one that mirror "%" was registered with',
            server, mirror
            using errcode = 'insufficient_privilege',
                  detail = format('It belongs to a role that "%s" does not trust.', current_user),
                  hint = format('If it is the right one: select ipai.register_mirror(%L);', mirror);
    end if;
end
$$;
comment on function ipai.verify_server(text, text) is
    'Raises an error if another role has put a server of its own in the place of the one that a '
    'mirror was registered with. For other functions.';

create or replace function ipai.follow_objects(mirror text) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    present record;
begin
    -- A table or server of the stored name is not followed: the run verifies it.
    select n.nspname, c.relname, s.srvname into present
    from ipai.mirrors m
    join ipai.mirror_objects o on o.mirror = m.name
    left join (pg_class c join pg_namespace n on n.oid = c.relnamespace)
        on c.oid = o.relation and c.relowner = o.owner
        and not exists (
            select from pg_class t join pg_namespace u on u.oid = t.relnamespace
            where u.nspname = m.target_schema and t.relname = m.target_table)
    left join pg_foreign_server s
        on s.oid = o.server
        and not exists (select from pg_foreign_server t where t.srvname = m.server)
    where m.name = mirror and (c.oid is not null or m.server is not null and s.oid is not null);
    if not found then
        return;
    elsif not has_column_privilege('ipai.mirrors', 'target_table', 'update') then
        raise exception 'the table or server of mirror "%" was renamed', mirror
            using errcode = 'insufficient_privilege',
                  hint = format('As a role that may define mirrors: '
                                'select ipai.register_mirror(%L);', mirror);
    end if;
    update ipai.mirrors m
    set target_schema = coalesce(present.nspname, m.target_schema),
        target_table = coalesce(present.relname, m.target_table),
        server = coalesce(present.srvname, m.server)
    where m.name = mirror;
end
$$;
comment on function ipai.follow_objects(text) is
    'Stores the present names of the table and the server that a mirror was registered with, if '
    'they were renamed or moved to another schema. For runs.';

create or replace function ipai.register_mirror(mirror text) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
begin
    perform ipai.require_mirror(mirror);
    perform ipai.follow_objects(mirror);
    delete from ipai.mirror_objects o where o.mirror = mirror;
    perform ipai.verify_tables(array[mirror]);
end
$$;
comment on function ipai.register_mirror(text) is
    'Registers the table and the server that have the names of a mirror now. create_mirror does it '
    'too. Call it after you have replaced the table, its owner or the server.';

-- pgrx writes its functions without a schema.
set local search_path = ipai, pg_temp;
