-- The policy of ipai.ipai_sample_metrics, at the price of its filter: the same rows as before, found faster.
--
-- A claim's list is a multirange: searched by halving, where an array that is no constant is compared one by one for each row, and copied for
-- each row if it is short. The functions are PL/pgSQL, whose plans a session keeps; SQL functions with settings are planned at each statement.
--
-- Runs as the first migration does, after it; may run again.

-- What a user's token says ----------------------------------------------------------------------------------------------------------------

create or replace function ipai.claims_all(claim text) returns boolean
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  claimed jsonb := ipai.app_claim(claim);
begin
  -- The type is looked at first: an object with a key "*" is no list.
  return coalesce(claimed = '"*"' or jsonb_typeof(claimed) = 'array' and claimed ? '*', false);
end
$$;
comment on function ipai.claims_all(text) is 'Whether the claim is "*", or a list with "*" in it: all';

create or replace function ipai.claimed_id_ranges(claim text) returns int8multirange
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
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
$$;
comment on function ipai.claimed_id_ranges(text) is 'The ids that the claim lists, as ranges; all for "*", or a list with "*" in it; empty where it is no list';

-- Who may do what -----------------------------------------------------------------------------------------------------------------------

revoke all on function ipai.claims_all(text), ipai.claimed_id_ranges(text) from public;

do $$
begin
  if to_regrole('service_role') is not null then
    -- The first migration of 0.1.0 granted it all. A trigger of its own would run as whoever syncs.
    revoke all on table ipai.ipai_sample_metrics from service_role;
    grant select, insert, update, delete on table ipai.ipai_sample_metrics to service_role;
  end if;

  if to_regrole('authenticated') is not null then
    grant execute on function ipai.claims_all(text), ipai.claimed_id_ranges(text) to authenticated;

    -- A row of no brand and no store is for everyone; any other for those whose token lists its brand or its store.
    -- The sub-selects are evaluated once a statement (InitPlan), not once a row. Postgres's own operator takes any type, so that one of
    -- just these types, wherever the search path leads, would be preferred.
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
      'Rows that are not archived, and of no brand and store or of one that the token lists';
  end if;
end
$$;
