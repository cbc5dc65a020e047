-- Row-level security of mirror tables by the claims of a token.

-- The owner of the schema may have created objects in it. None of them may be called here.
set local search_path = pg_catalog, pg_temp;

create or replace function ipai.require_mirror(mirror text) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if not exists (select from ipai.mirrors m where m.name = mirror) then
        raise exception 'mirror "%" does not exist', mirror
            using errcode = 'undefined_object',
                  hint = coalesce(
                      (select format('Use the name of a mirror: %s.',
                                     string_agg(m.name, ', ' order by m.name))
                       from ipai.mirrors m having count(*) > 0),
                      'Create a mirror with ipai.create_mirror(), or apply the migrations of the '
                      'sample mirror.');
    end if;
end
$$;
comment on function ipai.require_mirror(text) is
    'Raises an error with a hint if there is no such mirror. For other functions.';

create or replace function ipai.api_exposure(target oid)
returns table (grantee text, privileges text, revoke text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with recursive parent (relation) as (
        select i.inhparent from pg_inherits i where i.inhrelid = target
        union
        select i.inhparent from parent p join pg_inherits i on i.inhrelid = p.relation
    ),
    relation as (
        -- A partition has privileges and policies of its own, and so has a parent.
        select c.* from pg_class c
        where c.oid = target or c.oid in (select t.relid from pg_partition_tree(target) t)
           or c.oid in (select p.relation from parent p)
    ),
    granted as (
        select distinct c.oid as relation, case a.grantee
                   when 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end as grantee,
               a.privilege_type as privilege
        from relation c
        cross join lateral (
            select x.grantee, x.privilege_type from aclexplode(c.relacl) x
            union all
            select x.grantee, x.privilege_type
            from pg_attribute t cross join lateral aclexplode(t.attacl) x
            where t.attrelid = c.oid and not t.attisdropped) a
        join pg_roles r
            on r.rolname in ('anon', 'authenticated')
            and (a.grantee = 0 or pg_has_role(r.oid, a.grantee, 'usage'))
        where (a.privilege_type <> 'SELECT'
               or c.oid <> target and not c.relrowsecurity
               or r.rolname = 'anon'
                  and (not c.relrowsecurity
                       or exists (
                           select from pg_policy p, unnest(p.polroles) role
                           where p.polrelid = c.oid and p.polpermissive and p.polcmd in ('r', '*')
                             and (role = 0 or pg_has_role(r.oid, role, 'usage')))))
    )
    select g.grantee, string_agg(g.privilege, ', ' order by g.privilege),
           format('revoke %s on table %s from %s;',
                  string_agg(lower(g.privilege), ', ' order by g.privilege),
                  g.relation::regclass, g.grantee)
    from granted g
    group by g.relation, g.grantee
    order by g.relation <> target, g.relation, g.grantee
$$;
comment on function ipai.api_exposure(oid) is
    'Privileges on a mirror table, its partitions and parents that no request of the API should '
    'have: SELECT for anon if it shows a row, SELECT on a partition or parent without row-level '
    'security, and any other privilege for anon and authenticated. One row for each table and role to which they are '
    'granted, with the statement that revokes them. For other functions.';

create or replace function ipai.protect_mirror(
    mirror text, claims jsonb, archived boolean default false) returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    target regclass;
    policy name;
    active text;
    active_field text;
    column_name text;
    claim text;
    kind regtype;
    all_null text[] := '{}';
    claimed text[] := '{}';
    condition text;
    other name;
    other_table regclass;
    exposed record;
    collation_name text;
    empty_in text;
begin
    perform ipai.require_mirror(mirror);
    select to_regclass(format('%I.%I', m.target_schema, m.target_table)),
           (select f.field ->> 'column' from jsonb_array_elements(m.fields) f (field)
            where f.field ->> 'type' = 'boolean'
              -- Odoo looks at `active` first, and may not have been asked yet.
              and f.field ->> 'field' in (coalesce(s.active_field, 'active'),
                                          coalesce(s.active_field, 'x_active'))
            order by f.field ->> 'field'
            limit 1),
           s.active_field
    into target, active, active_field
    from ipai.mirrors m
    left join ipai.mirror_state s on s.mirror = m.name
    where m.name = mirror;
    if target is null then
        raise exception 'mirror "%" has no table', mirror
            using errcode = 'undefined_table',
                  hint = 'Create the table again, or drop the mirror with ipai.drop_mirror().';
    end if;
    if claims is null or jsonb_typeof(claims) <> 'object' or claims = '{}'
        or exists (
            select from jsonb_each(claims) c where jsonb_typeof(c.value) <> 'string') then
        raise exception 'claims must map columns to names of claims'
            using errcode = 'invalid_parameter_value',
                  hint = 'Pass a JSON object such as ''{"brand_id": "ipai_brand_ids"}''. A row is '
                         'visible to tokens whose app_metadata lists the value of the column '
                         'under that name.';
    end if;
    if not archived and active is null and active_field is distinct from '' then
        raise exception 'mirror "%" does not hold which records are archived', mirror
            using errcode = 'object_not_in_prerequisite_state',
                  detail = case
                      when active_field is null
                          then 'Odoo has not been asked yet by which field it archives records.'
                      else format('Odoo archives records of this model by the field "%s".',
                                  active_field)
                  end,
                  hint = case
                      when active_field is null then format(
                          'select * from ipai.refresh_mirror(%L);', mirror)
                      else format('select * from ipai.refresh_mirror(%L, add_fields => %L); or '
                                  'show archived rows too, with archived => true.',
                                  mirror, array[active_field]) end;
    end if;
    if to_regrole('authenticated') is null then
        raise exception 'role "authenticated" does not exist'
            using errcode = 'undefined_object',
                  hint = 'This function writes policies for the API roles of Supabase. '
                         'For other roles, write a policy yourself.';
    end if;
    -- It builds indexes, and lets users read a table whose policies call functions.
    target := (ipai.verify_tables(array[mirror]))[1];
    perform ipai.create_claims_helpers();

    for column_name, claim in select c.key, c.value from jsonb_each_text(claims) c order by c.key
    loop
        select a.atttypid, l.oid::regcollation::text into kind, collation_name
        from pg_attribute a
        left join pg_collation l on l.oid = a.attcollation and not l.collisdeterministic
        where a.attrelid = target and a.attname = column_name
          and a.attnum > 0 and not a.attisdropped;
        if kind is null then
            raise exception 'table "%" has no column "%"', target, column_name
                using errcode = 'undefined_column',
                      hint = 'The keys of claims are columns of the mirror table.';
        elsif kind not in ('bigint'::regtype, 'integer'::regtype, 'smallint'::regtype,
                           'text'::regtype, 'varchar'::regtype) then
            raise exception 'column "%" of type % cannot be compared with a claim',
                column_name, kind
                using errcode = 'invalid_parameter_value',
                      hint = 'Use a column with whole numbers or text.';
        elsif collation_name is not null then
            raise exception 'collation % of column "%" treats different texts as equal',
                collation_name, column_name
                using errcode = 'invalid_parameter_value',
                      detail = 'A token that lists "acme" would see the rows of "ACME".',
                      hint = format('alter table %s alter column %I type %s collate "default";',
                                    target, column_name, kind);
        end if;
        -- A column that no mirror of the table defines is filled by the user.
        with neighbour as (
            select m.name,
                   m.constants ? column_name
                   or exists (select from jsonb_array_elements(m.fields) f
                              where f ->> 'column' = column_name) as defines,
                   exists (select from jsonb_array_elements(m.fields) f
                           where f ->> 'column' = column_name
                             and (m.masks ->> (f ->> 'field') = 'redact'
                                  or s.drift @> jsonb_build_array(
                                      jsonb_build_object('field', f -> 'field')))) as leaves_empty
            from ipai.mirrors m
            left join ipai.mirror_state s on s.mirror = m.name
            join pg_namespace n on n.nspname = m.target_schema
            join pg_class c on c.relnamespace = n.oid and c.relname = m.target_table
            where c.oid = target
        )
        select min(n.name) filter (where n.leaves_empty or not n.defines) into empty_in
        from neighbour n having bool_or(n.defines);
        if empty_in is not null then
            raise exception 'mirror "%" leaves column "%" of table "%" empty',
                empty_in, column_name, target
                using errcode = 'object_not_in_prerequisite_state',
                      detail = 'Every signed-in user would see the rows in which it is null.',
                      hint = 'Mirror the field without the mask redact, or use a column that all '
                             'mirrors of the table fill.';
        end if;
        all_null := all_null || format('%I is null', column_name);
        -- Each sub-select is evaluated once for each statement (an InitPlan), not for each row.
        -- Ids are found by binary search in a multirange, texts in a hash table. An array that is
        -- no constant would be searched linearly for each row.
        if kind in ('text'::regtype, 'varchar'::regtype) then
            claimed := claimed || array[
                format('%I in (select unnest((select ipai.claimed_texts(%L))))',
                       column_name, claim),
                format('%I is not null and (select ipai.claims_all(%L))', column_name, claim)];
        else
            claimed := claimed
                || format('%I%s <@ (select ipai.claimed_id_ranges(%L))', column_name,
                          case when kind <> 'bigint'::regtype then '::bigint' end, claim);
        end if;
        if not exists (
            select from pg_index i
            join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
            where i.indrelid = target and a.attname = column_name
              and i.indisvalid and i.indexprs is null
              -- A partial index does not serve the rows that it leaves out.
              and (i.indpred is null
                   or pg_get_expr(i.indpred, i.indrelid)
                      = format('(%I IS NOT NULL)', column_name))) then
            -- A text may be longer than an entry of a btree index, which would refuse the row. A
            -- hash index has no such limit, but is slow for a few tenants with many rows each.
            execute format('create index on %s using %s (%I) where %I is not null', target,
                           case when kind in ('text'::regtype, 'varchar'::regtype)
                               then 'spgist' else 'btree' end,
                           column_name, column_name);
        end if;
    end loop;
    condition := format('%s or %s', array_to_string(all_null, ' and '),
                        array_to_string(claimed, ' or '));
    if active is not null and not archived then
        condition := format('%I and (%s)', active, condition);
    end if;
    select left(c.relname, 56) || '_tenant' into policy from pg_class c where c.oid = target;
    execute format('alter table %s enable row level security', target);
    -- Without policies, a partition shows no row by its own name.
    for other_table in select t.relid from pg_partition_tree(target) t where t.relid <> target loop
        execute format('alter table %s enable row level security', other_table);
    end loop;
    if exists (select from pg_policy p where p.polrelid = target and p.polname = policy) then
        execute format('drop policy %I on %s', policy, target);
    end if;
    execute format('create policy %I on %s for select to authenticated using (%s)',
                   policy, target, condition);
    execute format('comment on policy %I on %s is %L', policy, target,
                   'Rows without an owner, and rows whose owner the token lists');
    execute format('grant usage on schema %s to authenticated', (
        select c.relnamespace::regnamespace from pg_class c where c.oid = target));
    execute format('grant select on table %s to authenticated', target);
    -- Permissive policies add up: one cannot hide what another one shows.
    for other, other_table in
        select p.polname, p.polrelid from pg_policy p
        where (p.polrelid = target
               or p.polrelid in (select t.relid from pg_partition_tree(target) t))
          and (p.polrelid, p.polname) <> (target::oid, policy) and p.polpermissive
          and p.polcmd in ('r', '*')
          and exists (
              select from unnest(p.polroles) r
              join pg_roles a on a.rolname in ('anon', 'authenticated')
              where r = 0 or pg_has_role(a.oid, r, 'usage'))
        order by 1, 2
    loop
        raise warning 'policy "%" of table "%" still shows rows to API users', other, other_table
            using hint = format('To show only what this policy shows: drop policy %I on %s;',
                                other, other_table);
    end loop;
    for exposed in select e.* from ipai.api_exposure(target::oid) e loop
        raise warning 'API users have % on table "%", granted to %', exposed.privileges, target,
            exposed.grantee
            using hint = exposed.revoke;
    end loop;
    return condition;
end
$$;
comment on function ipai.protect_mirror(text, jsonb, boolean) is
    'Lets signed-in users of the API read their own rows of a mirror table. claims maps columns '
    'to names of claims in the app_metadata of the token: {"brand_id": "ipai_brand_ids"}. A row is '
    'visible if a claim lists the value of its column or is "*". Rows without an owner (all these '
    'columns are null) are visible to every signed-in user; archived rows are hidden unless '
    'archived => true, and refused if the mirror does not hold which rows those are. Creates '
    'policy, grants and indexes as the owner of the table, and hides the rows of its partitions '
    'from queries that name these. Returns the condition of the policy. Warns of policies and '
    'privileges by which users of the API may do more.';

-- pgrx writes its functions without a schema.
set local search_path = ipai, pg_temp;
