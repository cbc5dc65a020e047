-- The functions that policies call to read the claims of a token.

-- The owner of the schema may have created objects in it. None of them may be called here.
set local search_path = pg_catalog, pg_temp;

-- The helpers must stay when the extension is dropped, so they are not created here: the function
-- creates them on demand, as the role that calls it. Their definitions are those of the migration
-- 202601140001_IPAI_SAMPLE_METRICS_CLAIMS.sql. A test writes the generated part:
--     UPDATE_GOLDEN=1 scripts/test claims_helpers
create or replace function ipai.create_claims_helpers() returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $create$
declare
    helper regprocedure;
begin
    -- The body of another role's function could do anything in the sessions of API users.
    for helper in
        select p.oid::regprocedure
        from unnest('{app_claim,claims_all,claimed_id_ranges,claimed_texts}'::name[])
            with ordinality as h (name, place)
        join pg_proc p
            on p.proname = h.name and p.pronamespace = 'ipai'::regnamespace
            and p.proargtypes = '25'::oidvector
        join pg_roles o on o.oid = p.proowner
        where p.prosecdef or not (o.rolsuper or o.rolname = current_user)
        order by h.place
    loop
        raise exception 'function % belongs to another role', helper
            using errcode = 'insufficient_privilege',
                  hint = 'Call this as the role that ran the migrations.';
    end loop;
    -- Generated:
    if to_regprocedure('ipai.app_claim(text)') is null then
create function ipai.app_claim(claim text) returns jsonb
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  -- After a transaction has set it locally, the setting is '' and not null in that session.
  return nullif(current_setting('request.jwt.claims', true), '')::jsonb -> 'app_metadata' -> claim;
exception when others then
  -- Malformed claims grant nothing, and must not make the query fail.
  return null;
end
$$;
comment on function ipai.app_claim(text) is
  'A claim in the app_metadata of the request''s token; null if it is missing or malformed.';
revoke all on function ipai.app_claim(text) from public;
    end if;
    if to_regprocedure('ipai.claims_all(text)') is null then
create function ipai.claims_all(claim text) returns boolean
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  claimed jsonb := ipai.app_claim(claim);
begin
  -- Test the type first: an object with a key "*" is no list.
  return coalesce(claimed = '"*"' or jsonb_typeof(claimed) = 'array' and claimed ? '*', false);
end
$$;
comment on function ipai.claims_all(text) is
  'Whether the claim is "*" or a list that contains "*".';
revoke all on function ipai.claims_all(text) from public;
    end if;
    if to_regprocedure('ipai.claimed_id_ranges(text)') is null then
create function ipai.claimed_id_ranges(claim text) returns int8multirange
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  claimed jsonb := ipai.app_claim(claim);
begin
  -- Test the type first: an object with a key "*" is no list.
  if claimed = '"*"' or jsonb_typeof(claimed) = 'array' and claimed ? '*' then
    return '{(,)}';
  elsif jsonb_typeof(claimed) is distinct from 'array' then
    return '{}';
  end if;
  -- `case` keeps the order of test and cast: only whole numbers in range are cast. The upper bound
  -- of a range is exclusive, so the greatest id is one less than the greatest bigint.
  return coalesce((
    select range_agg(int8range(id::bigint, id::bigint, '[]'))
             filter (where id = trunc(id) and id between 1 and 9223372036854775806)
      from jsonb_array_elements(claimed) as element,
           lateral (select case jsonb_typeof(element) when 'number' then element::numeric end)
             as number (id)), '{}');
end
$$;
comment on function ipai.claimed_id_ranges(text) is
  'The ids that the claim lists, as ranges; all ids if claims_all; empty if the claim is no list.';
revoke all on function ipai.claimed_id_ranges(text) from public;
    end if;
    if to_regprocedure('ipai.claimed_texts(text)') is null then
create function ipai.claimed_texts(claim text) returns text[]
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  claimed jsonb := ipai.app_claim(claim);
begin
  if jsonb_typeof(claimed) is distinct from 'array' then
    return '{}';
  end if;
  return array(
    select element #>> '{}' from jsonb_array_elements(claimed) as element
     where jsonb_typeof(element) = 'string');
end
$$;
comment on function ipai.claimed_texts(text) is
  'The texts that the claim lists; empty if the claim is no list.';
revoke all on function ipai.claimed_texts(text) from public;
    end if;
    -- End of the generated part.
    grant execute on function
        ipai.app_claim(text), ipai.claims_all(text), ipai.claimed_id_ranges(text),
        ipai.claimed_texts(text)
    to authenticated;
end
$create$;
comment on function ipai.create_claims_helpers() is
    'Creates the functions that policies call, where they are missing. For ipai.protect_mirror().';

-- pgrx writes its functions without a schema.
set local search_path = ipai, pg_temp;
