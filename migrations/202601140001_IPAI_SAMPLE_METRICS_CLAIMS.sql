-- The policy of ipai.ipai_sample_metrics: which rows a signed-in user sees, by the token's claims.
--
-- Run it after the migration that creates the table, as the same role. It may run again.

-- Claims helpers ----------------------------------------------------------------------------------
--
-- PostgREST stores the claims of the token in the setting request.jwt.claims. The helpers read
-- app_metadata only, because users may change user_metadata themselves.
--     {"app_metadata": {"ipai_brand_ids": [7, 8], "ipai_store_ids": "*"}}
--
-- This is the only definition of the helpers. In databases without this migration,
-- ipai.protect_mirror() creates them, from the generated copy in
-- sql/core/objects/50_claims_helpers.sql. After a change, generate it again:
--     UPDATE_GOLDEN=1 scripts/test claims_helpers
--
-- They are written in PL/pgSQL because a session keeps its plans. An SQL function with a SET clause
-- is planned again in each statement.

create or replace function ipai.app_claim(claim text) returns jsonb
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

create or replace function ipai.claims_all(claim text) returns boolean
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

create or replace function ipai.claimed_id_ranges(claim text) returns int8multirange
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

create or replace function ipai.claimed_texts(claim text) returns text[]
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

-- Privileges and policy ---------------------------------------------------------------------------

revoke all on function
  ipai.app_claim(text), ipai.claims_all(text), ipai.claimed_id_ranges(text),
  ipai.claimed_texts(text)
from public;

do $$
begin
  if to_regrole('authenticated') is not null then
    grant execute on function
      ipai.app_claim(text), ipai.claims_all(text), ipai.claimed_id_ranges(text),
      ipai.claimed_texts(text)
    to authenticated;

    -- Rows without brand and store are visible to every signed-in user; other rows to users whose
    -- token lists the brand or the store. Each sub-select is evaluated once for each statement (an
    -- InitPlan), not for each row, and a multirange is searched by bisection. The operator is
    -- qualified: one in the search path with exactly these types would be preferred.
    drop policy if exists ipai_sample_metrics_tenant on ipai.ipai_sample_metrics;
    create policy ipai_sample_metrics_tenant on ipai.ipai_sample_metrics
      for select to authenticated
      using (
        active and (
          brand_id is null and store_id is null
          or brand_id operator(pg_catalog.<@) (select ipai.claimed_id_ranges('ipai_brand_ids'))
          or store_id operator(pg_catalog.<@) (select ipai.claimed_id_ranges('ipai_store_ids'))
        )
      );
    comment on policy ipai_sample_metrics_tenant on ipai.ipai_sample_metrics is
      'Rows that are not archived and have no brand and store, or one that the token lists.';
  end if;
end
$$;
