-- At home in Supabase: passwords in Vault, policies by the claims of a token, and what is often wrong.

-- Nothing of the schema that the extension goes into may be called while it is created: its owner may have planted it.
set local search_path = pg_catalog, pg_temp;

create function ipai.has_vault() returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    -- What is only called like it may be anybody's, and would be run by whoever looks into it.
    select exists (
        select from pg_class c
        join pg_namespace n on n.oid = c.relnamespace
        join pg_roles o on o.oid = c.relowner
        join pg_roles s on s.oid = n.nspowner
        where n.nspname = 'vault' and c.relname = 'decrypted_secrets'
          and (o.rolsuper or o.rolname = current_user) and (s.rolsuper or s.rolname = current_user))
$$;
comment on function ipai.has_vault() is 'Whether Supabase Vault is in this database.';

create function ipai.set_odoo_password(server text, secret text) returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    mapping record;
    secret_name text;
    known uuid;
begin
    if secret is null or secret = '' then
        raise exception 'the secret must not be empty'
            using errcode = 'invalid_parameter_value', hint = 'It is the password or an API key of the Odoo user.';
    end if;
    if not exists (
        select from pg_foreign_server s join pg_foreign_data_wrapper w on w.oid = s.srvfdw
        where s.srvname = server and w.fdwname = 'ipai_odoo') then
        raise exception 'Odoo server "%" does not exist', server
            using errcode = 'undefined_object', hint = 'select srvname from pg_foreign_server shows the servers.';
    end if;
    if not ipai.has_vault() then
        raise exception 'Supabase Vault is not installed in this database'
            using errcode = 'undefined_object',
                  hint = 'create extension supabase_vault; or keep the password in a user mapping of your own: alter user mapping for current_user server ... options (set password ''...'').';
    end if;
    if not has_schema_privilege('vault', 'usage') or not has_table_privilege('vault.decrypted_secrets', 'select') then
        raise exception 'permission denied for Supabase Vault'
            using errcode = 'insufficient_privilege', hint = 'On Supabase, do this as postgres.';
    end if;
    -- The mapping that counts: one's own, else that of PUBLIC.
    select case when m.umuser = 0 then 'public' else 'current_user' end as whose, m.umoptions as options into mapping
    from pg_user_mappings m
    where m.srvname = server and (m.umuser = 0 or m.usename = current_user)
    order by m.umuser = 0
    limit 1;
    if not found then
        raise exception 'there is no user mapping for server "%"', server
            using errcode = 'undefined_object',
                  hint = format('create user mapping for current_user server %I options (user ''...'', password_secret %L); and this call again.',
                                server, 'odoo_' || server);
    end if;
    if mapping.options is null then
        raise exception 'permission denied for the user mapping of server "%"', server
            using errcode = 'insufficient_privilege', hint = 'Do this as the owner of the server.';
    end if;
    select substr(o, length('password_secret=') + 1) into secret_name
    from unnest(mapping.options) o where o like 'password_secret=%';
    if secret_name is null then
        raise exception 'the user mapping for server "%" does not say which secret it uses', server
            using errcode = 'invalid_parameter_value',
                  hint = format('alter user mapping for %s server %I options (drop password, add password_secret %L); and this call again.',
                                mapping.whose, server, 'odoo_' || server);
    end if;
    select s.id into known from vault.decrypted_secrets s where s.name = secret_name;
    if known is null then
        perform vault.create_secret(secret, secret_name);
    else
        perform vault.update_secret(known, secret);
    end if;
    return secret_name;
end
$$;
comment on function ipai.set_odoo_password(text, text) is
    'Keeps the password or API key of a server''s user mapping in Supabase Vault, under the name that its option password_secret says, which is returned. The next run uses it. A statement that is logged shows what it was called with: not for servers that log statements.';

create function ipai.protect_mirror(mirror text, claims jsonb, archived boolean default false) returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    target regclass;
    policy name;
    active text;
    column_name text;
    claim text;
    kind regtype;
    nothing text[] := '{}';
    something text[] := '{}';
    condition text;
    other name;
    helper record;
begin
    perform ipai.require_mirror(mirror);
    select to_regclass(format('%I.%I', m.target_schema, m.target_table)),
           (select f.field ->> 'column' from jsonb_array_elements(m.fields) f (field)
            where f.field ->> 'field' = 'active' and f.field ->> 'type' = 'boolean')
    into target, active
    from ipai.mirrors m where m.name = mirror;
    if target is null then
        raise exception 'mirror "%" has no table yet', mirror
            using errcode = 'undefined_table', hint = format('select ipai.alter_mirror(%L); registers it.', mirror);
    end if;
    if claims is null or jsonb_typeof(claims) <> 'object' or claims = '{}'
        or exists (select from jsonb_each(claims) c where jsonb_typeof(c.value) <> 'string') then
        raise exception 'claims is not a map of columns and claims'
            using errcode = 'invalid_parameter_value',
                  hint = 'It is a JSON object, ''{"brand_id": "ipai_brand_ids"}'': a row is for those whose token lists the column''s value under that name in app_metadata.';
    end if;
    if to_regrole('authenticated') is null then
        raise exception 'role "authenticated" does not exist'
            using errcode = 'undefined_object', hint = 'Policies are for Supabase''s API roles. Elsewhere, write one for your own roles.';
    end if;

    -- What policies call must stay when the extension goes, so it belongs to whoever protects. The migration has the same.
    for helper in
        select * from (values
            ('app_claim', 'jsonb', $f$
begin
  -- Once a transaction has set it locally, the setting is '' and not null for the rest of the session.
  return nullif(current_setting('request.jwt.claims', true), '')::jsonb -> 'app_metadata' -> claim;
exception when others then
  -- What cannot be read grants nothing, and is no reason for a query to fail.
  return null;
end
$f$, 'A claim of the app_metadata in the request''s token; null where there is none, or it cannot be read'),
            ('claims_all', 'boolean', $f$
declare
  claimed jsonb := ipai.app_claim(claim);
begin
  -- The type is looked at first: an object with a key "*" is no list.
  return coalesce(claimed = '"*"' or jsonb_typeof(claimed) = 'array' and claimed ? '*', false);
end
$f$, 'Whether the claim is "*", or a list with "*" in it: all'),
            ('claimed_id_ranges', 'int8multirange', $f$
declare
  claimed jsonb := ipai.app_claim(claim);
begin
  -- The type is looked at first: an object with a key "*" is no list.
  if claimed = '"*"' or jsonb_typeof(claimed) = 'array' and claimed ? '*' then
    return '{(,)}';
  elsif jsonb_typeof(claimed) is distinct from 'array' then
    return '{}';
  end if;
  -- `case` keeps the order of test and cast: whatever is not a whole number in range is left out. The end of a range is one more.
  return coalesce((
    select range_agg(int8range(id::bigint, id::bigint, '[]')) filter (where id = trunc(id) and id between 1 and 9223372036854775806)
      from jsonb_array_elements(claimed) as element,
           lateral (select case jsonb_typeof(element) when 'number' then element::numeric end) as number (id)), '{}');
end
$f$, 'The ids that the claim lists, as ranges; all for "*", or a list with "*" in it; empty where it is no list'),
            ('claimed_texts', 'text[]', $f$
declare
  claimed jsonb := ipai.app_claim(claim);
begin
  if jsonb_typeof(claimed) is distinct from 'array' then
    return '{}';
  end if;
  return array(select element #>> '{}' from jsonb_array_elements(claimed) as element where jsonb_typeof(element) = 'string');
end
$f$, 'The texts that the claim lists; empty where it is no list')
        ) as helpers (name, result, body, comment)
    loop
        if not exists (
            select from pg_proc p join pg_namespace n on n.oid = p.pronamespace
            where n.nspname = 'ipai' and p.proname = helper.name and p.proargtypes = '25'::oidvector) then
            execute format('create function ipai.%I(claim text) returns %s language plpgsql stable set search_path = pg_catalog, pg_temp as %L',
                           helper.name, helper.result, helper.body);
            execute format('comment on function ipai.%I(text) is %L', helper.name, helper.comment);
            execute format('revoke all on function ipai.%I(text) from public', helper.name);
        elsif not exists (
            select from pg_proc p join pg_namespace n on n.oid = p.pronamespace join pg_roles o on o.oid = p.proowner
            where n.nspname = 'ipai' and p.proname = helper.name and p.proargtypes = '25'::oidvector and not p.prosecdef
              and (o.rolsuper or o.rolname = current_user)) then
            raise exception 'function ipai.%(text) belongs to another role', helper.name
                using errcode = 'insufficient_privilege', hint = 'Do this as the role that ran the migrations.';
        end if;
        execute format('grant execute on function ipai.%I(text) to authenticated', helper.name);
    end loop;

    for column_name, claim in select c.key, c.value from jsonb_each_text(claims) c order by c.key loop
        select a.atttypid into kind
        from pg_attribute a where a.attrelid = target and a.attname = column_name and a.attnum > 0 and not a.attisdropped;
        if kind is null then
            raise exception 'table "%" has no column "%"', target, column_name
                using errcode = 'undefined_column', hint = 'claims names columns of the mirror''s table.';
        elsif kind not in ('bigint'::regtype, 'integer'::regtype, 'smallint'::regtype, 'text'::regtype, 'varchar'::regtype) then
            raise exception 'column "%" of type % cannot be compared with a claim', column_name, kind
                using errcode = 'invalid_parameter_value', hint = 'It is a whole number or a text.';
        end if;
        nothing := nothing || format('%I is null', column_name);
        -- The sub-selects are evaluated once a statement (InitPlan), not once a row. A list of ids is searched by halving, one of texts is hashed:
        -- an array that is no constant would be compared one by one for each row.
        if kind in ('text'::regtype, 'varchar'::regtype) then
            something := something || array[
                format('%I in (select unnest((select ipai.claimed_texts(%L))))', column_name, claim),
                format('%I is not null and (select ipai.claims_all(%L))', column_name, claim)];
        else
            something := something
                || format('%I%s <@ (select ipai.claimed_id_ranges(%L))', column_name, case when kind <> 'bigint'::regtype then '::bigint' end, claim);
        end if;
        if not exists (
            select from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
            where i.indrelid = target and a.attname = column_name and i.indisvalid and i.indexprs is null
              -- One of some rows only is no help for the others.
              and (i.indpred is null or pg_get_expr(i.indpred, i.indrelid) = format('(%I IS NOT NULL)', column_name))) then
            execute format('create index on %s (%I) where %I is not null', target, column_name, column_name);
        end if;
    end loop;
    condition := format('%s or %s', array_to_string(nothing, ' and '), array_to_string(something, ' or '));
    if active is not null and not archived then
        condition := format('%I and (%s)', active, condition);
    end if;
    select left(c.relname, 56) || '_tenant' into policy from pg_class c where c.oid = target;
    execute format('alter table %s enable row level security', target);
    if exists (select from pg_policy p where p.polrelid = target and p.polname = policy) then
        execute format('drop policy %I on %s', policy, target);
    end if;
    execute format('create policy %I on %s for select to authenticated using (%s)', policy, target, condition);
    execute format('comment on policy %I on %s is %L', policy, target, 'Rows of nobody, and those whose owner the token lists');
    execute format('grant usage on schema %s to authenticated', (select c.relnamespace::regnamespace from pg_class c where c.oid = target));
    execute format('grant select on table %s to authenticated', target);
    -- Policies add up: what one shows, another cannot hide.
    for other in
        select p.polname from pg_policy p
        where p.polrelid = target and p.polname <> policy and p.polpermissive and p.polcmd in ('r', '*')
          and exists (select from unnest(p.polroles) r where r = 0 or pg_has_role('authenticated', r, 'usage'))
        order by 1
    loop
        raise warning 'policy "%" of table "%" shows users of the API what it did before', other, target
            using hint = format('If it is to show no more than this one: drop policy %I on %s;', other, target);
    end loop;
    return condition;
end
$$;
comment on function ipai.protect_mirror(text, jsonb, boolean) is
    'Lets users of the API read a mirror''s table, each the rows that are theirs: claims maps columns to the names of claims in the token''s app_metadata, {"brand_id": "ipai_brand_ids"}. A row is visible to those whose claim lists the value of one of the columns (or is "*"), and to everybody signed in where all of them are null; archived ones only if archived. Writes policy, grants and indexes, as the table''s owner. Returns the policy''s condition.';

-- pgrx writes its functions without a schema.
set local search_path = ipai, pg_temp;
