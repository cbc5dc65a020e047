-- Functions by which PostgREST embeds the rows of related mirrors.

-- The owner of the schema may have created objects in it. None of them may be called here.
set local search_path = pg_catalog, pg_temp;

create or replace function ipai.planned_relations()
returns table (mirror text, field text, target regclass, name text, related_mirror text,
               related regclass, kind text, condition text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with mirrored as (
        select m.name, m.server, m.model, m.fields, m.relations, m.constants, m.domain,
               c.oid as relation, c.relnamespace
        from ipai.mirrors m
        join pg_namespace n on n.nspname = m.target_schema
        join pg_class c on c.relnamespace = n.oid and c.relname = m.target_table
        where c.relkind in ('r', 'p')
    ),
    -- A field, and the mirror of the model that it refers to. The first one if there are several.
    pair as (
        select m.name, m.relation, m.constants, f.field, f.is_list, quote_ident(f.name) as holder,
               r.name as related_name, r.relation as related_relation,
               r.constants as related_constants
        from mirrored m
        cross join lateral (
            select x ->> 'field', x ->> 'column', x ->> 'type' = 'bigint[]'
            from jsonb_array_elements(m.fields) x
            where x ->> 'type' in ('bigint', 'bigint[]')) f (field, name, is_list)
        cross join lateral (
            select r.* from mirrored r
            where r.model = m.relations ->> f.field
              and (r.server = m.server or r.server is null or m.server is null)
            order by r.constants = m.constants desc, r.domain = '[]' desc,
                     r.relnamespace = m.relnamespace desc, r.name
            limit 1) r
    ),
    planned as (
        -- The rows that the field refers to. A name without its suffix may be ambiguous.
        select p.name as mirror, p.field, p.relation as target,
               regexp_replace(p.field, '_ids?$', '') as short_name,
               p.field || case when p.is_list then '_rows' else '_row' end as long_name,
               p.related_name as related_mirror, p.related_relation as related,
               case when p.is_list then 'many2many' else 'many2one' end as kind,
               format(case
                          when p.is_list then 'r.odoo_id operator(pg_catalog.=) any (($1).%s)'
                          else 'r.odoo_id operator(pg_catalog.=) ($1).%s'
                      end, p.holder) as condition,
               p.related_constants as theirs, p.constants as ours, true as follows
        from pair p
        union all
        -- The way back.
        select p.related_name, p.field, p.related_relation,
               concat(p.name, '_by_', p.field), concat(p.name, '_by_', p.field, '_rows'),
               p.name, p.relation,
               case when p.is_list then 'many2many' else 'one2many' end,
               format(case
                          when p.is_list
                              then 'r.%s operator(pg_catalog.@>) array[($1).odoo_id]'
                          else 'r.%s operator(pg_catalog.=) ($1).odoo_id'
                      end, p.holder),
               p.constants, p.related_constants, false
        from pair p
    ),
    named as (
        select p.*,
               exists (select from pg_attribute a
                       where a.attrelid = p.target and a.attname = p.short_name
                         and a.attnum > 0 and not a.attisdropped)
               or count(*) over (partition by p.mirror, p.short_name) > 1
               -- Odoo chooses the name. Postgres would call this function in place of one of its
               -- own that takes any row, such as count or to_jsonb.
               or exists (
                   select from pg_proc f
                   join pg_type y on y.oid = f.proargtypes[0]
                   where f.proname = p.short_name and f.pronamespace = 'pg_catalog'::regnamespace
                     and f.pronargs = 1 and f.prokind <> 'w' and y.typtype = 'p') as is_ambiguous
        from planned p
    )
    select n.mirror, n.field, n.target::regclass,
           case when octet_length(chosen.name) < 64 then chosen.name
               else concat('relation_', md5(chosen.name)) end,
           n.related_mirror, n.related::regclass, n.kind,
           -- Mirrors that share a table tell their rows apart by constants.
           concat(n.condition, (
               select string_agg(
                   case
                       when n.follows and n.theirs ? k.key and n.ours ? k.key
                           then format(' and r.%1$I operator(pg_catalog.=) ($1).%1$I', k.key)
                       else concat(
                           case when n.theirs ? k.key
                               then format(' and r.%I operator(pg_catalog.=) %L', k.key,
                                           n.theirs ->> k.key) end,
                           case when n.ours ? k.key
                               then format(' and ($1).%I operator(pg_catalog.=) %L', k.key,
                                           n.ours ->> k.key) end)
                   end, '' order by k.key)
               from (select jsonb_object_keys(n.theirs) union select jsonb_object_keys(n.ours))
                   k (key)))
    from named n
    cross join lateral (
        select case when n.is_ambiguous then n.long_name else n.short_name end) chosen (name)
$$;
comment on function ipai.planned_relations() is
    'The functions that ipai.relate_mirrors() creates. For other functions.';

create or replace function ipai.related_functions(target regclass default null)
returns table (function regprocedure, argument oid, name text, result oid)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select p.oid::regprocedure, a.typrelid, p.proname::text, r.typrelid
    from pg_proc p
    join pg_type a on a.oid = p.proargtypes[0]
    join pg_type r on r.oid = p.prorettype
    where p.pronargs = 1 and p.proretset and a.typrelid <> 0 and r.typrelid <> 0
      and (target is null or target in (a.typrelid, r.typrelid))
      and p.pronamespace = (select t.relnamespace from pg_class t where t.oid = a.typrelid)
      and obj_description(p.oid, 'pg_proc') like '%(ipai.relate_mirrors)'
      -- Any role may write that comment.
      and pg_has_role(p.proowner, 'usage') and ipai.is_trusted(p.proowner)
$$;
comment on function ipai.related_functions(regclass) is
    'The functions from ipai.relate_mirrors() that take or return rows of a table, or of any, and '
    'that the current user may replace. For other functions.';

create or replace function ipai.drop_relations(target regclass default null) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    obsolete regprocedure;
    dependents text;
begin
    for obsolete in
        select f.function from ipai.related_functions(target) f
        where not exists (
            select from ipai.planned_relations() p
            where (p.target, p.name, p.related) = (f.argument, f.name, f.result))
    loop
        begin
            execute format('drop function %s', obsolete);
        exception
            when dependent_objects_still_exist then
                get stacked diagnostics dependents = pg_exception_detail;
                -- A role that may execute the function may create views on it.
                raise exception 'other objects depend on function %', obsolete
                    using errcode = 'dependent_objects_still_exist',
                          detail = dependents,
                          hint = format('To drop them too, and then repeat this call: '
                                        'drop function %s cascade;', obsolete);
        end;
    end loop;
end
$$;
comment on function ipai.drop_relations(regclass) is
    'Drops the functions from ipai.relate_mirrors() for a table, or for all, whose mirrors or '
    'fields no longer exist. For other functions.';

create or replace function ipai.relate_mirrors(
    inout mirror text default null, out field text, out function text, out related text,
    out kind text)
returns setof record
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    only_mirror constant text := mirror;
    only_table regclass;
    planned record;
    grantee text;
begin
    -- The lock of create_mirror and drop_mirror.
    perform pg_advisory_xact_lock(hashtext('ipai_sync define'), 0);
    if only_mirror is not null then
        perform ipai.require_mirror(only_mirror);
        select c.oid into only_table
        from ipai.mirrors m
        join pg_namespace n on n.nspname = m.target_schema
        join pg_class c on c.relnamespace = n.oid and c.relname = m.target_table
        where m.name = only_mirror;
    end if;
    perform ipai.drop_relations(only_table);
    for planned in
        select min(p.mirror) as mirror, min(p.field) as field, p.target, p.name, p.kind,
               min(p.related_mirror) as related_mirror, p.related,
               string_agg(distinct p.condition, ' or ') as condition,
               format('%I.%I', n.nspname, p.name) as function
        from ipai.planned_relations() p
        join pg_class c on c.oid = p.target
        join pg_namespace n on n.oid = c.relnamespace
        -- A function is one of all mirrors of a table.
        where only_mirror is null or only_table in (p.target, p.related)
        group by p.target, p.name, p.kind, p.related, n.nspname
        order by 1, 2, 4
    loop
        -- Postgres refuses to replace a function of another role, or one with another result.
        if to_regprocedure(format('%s(%s)', planned.function, planned.target)) is not null
           and not exists (
               select from ipai.related_functions(planned.target) f
               where (f.argument, f.name) = (planned.target, planned.name)
                 and f.result = planned.related) then
            raise warning 'function %(%) exists already, and is kept',
                planned.function, planned.target
                using hint = 'Rename it, then call ipai.relate_mirrors() again.';
            continue;
        end if;
        -- A row of a table whose policies run code of others would run it for API users.
        perform ipai.require_trusted(array[planned.target, planned.related]);
        -- Without SET and not STRICT: only then does Postgres inline it, so that an index serves.
        -- A body of this form keeps its table: another one may take the name.
        execute format('create or replace function %s(%s) returns setof %s '
                       'language sql stable rows %s begin atomic select r.* from %s r where %s; end',
                       planned.function, planned.target, planned.related,
                       case planned.kind when 'many2one' then 1 else 100 end,
                       planned.related, planned.condition);
        execute format('comment on function %s(%s) is %L', planned.function, planned.target,
                       format('Rows of mirror "%s" that are related to a row of mirror "%s" by '
                              'field "%s" (ipai.relate_mirrors)', planned.related_mirror,
                              planned.mirror, planned.field));
        -- The roles that may select from the table, and no other.
        for grantee in
            select case a.grantee when 0 then 'public' else a.grantee::regrole::text end
            from pg_proc p
            cross join lateral aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
            where p.oid = to_regprocedure(format('%s(%s)', planned.function, planned.target))
              and a.grantee <> p.proowner
        loop
            execute format('revoke all on function %s(%s) from %s', planned.function,
                           planned.target, grantee);
        end loop;
        for grantee in
            select a.grantee::regrole::text
            from pg_class c cross join lateral aclexplode(c.relacl) a
            where c.oid = planned.related and a.privilege_type = 'SELECT' and a.grantee <> 0
        loop
            execute format('grant execute on function %s(%s) to %s', planned.function,
                           planned.target, grantee);
        end loop;
        mirror := planned.mirror;
        field := planned.field;
        function := planned.function;
        related := planned.related_mirror;
        kind := planned.kind;
        return next;
    end loop;
end
$$;
comment on function ipai.relate_mirrors(text) is
    'Creates functions by which PostgREST embeds the rows of related mirrors, as the caller: for '
    'each many2one and many2many between mirrors, partner(sale_orders) for the field partner_id '
    'and sale_orders_by_partner_id(partners) for the way back. Row-level security holds in them, '
    'and the roles that may select from the related table may execute them. Replaces those of an '
    'earlier call; needed after a column was added to a related table. Null: of all mirrors; '
    'otherwise those from and to the table of one mirror.';

-- pgrx writes its functions without a schema.
set local search_path = ipai, pg_temp;
