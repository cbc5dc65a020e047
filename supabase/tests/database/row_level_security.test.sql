-- Which rows each role sees. `visible` runs as the current role with the current claims.
begin;
select plan(31);

delete from ipai.ipai_sample_metrics where true;
insert into ipai.ipai_sample_metrics (odoo_id, name, code, unit, brand_id, store_id, active)
values (1, 'common',           'M', 'count', null, null, true),
       (2, 'brand 7',          'M', 'count', 7,    null, true),
       (3, 'brand 8',          'M', 'count', 8,    null, true),
       (4, 'store 3',          'M', 'count', null, 3,    true),
       (5, 'brand 8, store 3', 'M', 'count', 8,    3,    true),
       (6, 'brand 8, store 4', 'M', 'count', 8,    4,    true),
       (7, 'common, archived', 'M', 'count', null, null, false),
       (8, 'brand 7, archived', 'M', 'count', 7,   null, false);

prepare visible as select odoo_id from ipai.ipai_sample_metrics order by odoo_id;

create function pg_temp.claim(app_metadata text) returns text language sql as $$
  select set_config('request.jwt.claims', format('{"role": "authenticated", "app_metadata": %s}', app_metadata), true)
$$;

-- anon --------------------------------------------------------------------------------------------

set local role anon;
select throws_ok('select from ipai.ipai_sample_metrics', '42501', null, 'anon reads nothing');
select throws_ok($$ insert into ipai.ipai_sample_metrics (name, code, unit) values ('x', 'X', 'count') $$, '42501', null, 'anon writes nothing');
reset role;

-- authenticated -----------------------------------------------------------------------------------

set local role authenticated;

select set_config('request.jwt.claims', null, true);
select results_eq('visible', $$ values (1::bigint) $$, 'without a token: rows of no brand and no store');
select set_config('request.jwt.claims', '', true);
select results_eq('visible', $$ values (1::bigint) $$, 'without a token after a transaction with one: the same rows');
select pg_temp.claim('{}');
select results_eq('visible', $$ values (1::bigint) $$, 'a token that lists nothing: the same rows');

select pg_temp.claim('{"ipai_brand_ids": [7]}');
select results_eq('visible', $$ values (1::bigint), (2) $$, 'a token that lists a brand: also the rows of the brand, except archived rows');
select pg_temp.claim('{"ipai_brand_ids": [7, 8]}');
select results_eq('visible', $$ values (1::bigint), (2), (3), (5), (6) $$, 'several brands: also rows that have a store too');
select pg_temp.claim('{"ipai_store_ids": [3]}');
select results_eq('visible', $$ values (1::bigint), (4), (5) $$, 'a store: its rows of any brand');
select pg_temp.claim('{"ipai_brand_ids": [7], "ipai_store_ids": [4]}');
select results_eq('visible', $$ values (1::bigint), (2), (6) $$, 'a brand and a store: the rows of both');
select pg_temp.claim('{"ipai_brand_ids": [3], "ipai_store_ids": [7]}');
select results_eq('visible', $$ values (1::bigint) $$, 'ids of brands do not match stores, nor the other way round');

select pg_temp.claim('{"ipai_brand_ids": "*"}');
select results_eq('visible', $$ values (1::bigint), (2), (3), (5), (6) $$, 'all brands: every row with a brand');
select pg_temp.claim('{"ipai_store_ids": "*"}');
select results_eq('visible', $$ values (1::bigint), (4), (5), (6) $$, 'all stores: every row with a store');
select pg_temp.claim('{"ipai_brand_ids": ["*"], "ipai_store_ids": ["*"]}');
select results_eq('visible', $$ values (1::bigint), (2), (3), (4), (5), (6) $$, 'a list with "*" means all; archived rows stay hidden');

select set_config('request.jwt.claims', '{"user_metadata": {"ipai_brand_ids": "*"}, "ipai_brand_ids": "*"}', true);
select results_eq('visible', $$ values (1::bigint) $$, 'claims outside app_metadata are ignored, because users may change them');

select throws_ok($$ insert into ipai.ipai_sample_metrics (name, code, unit) values ('x', 'X', 'count') $$, '42501', null, 'authenticated may not insert');
select throws_ok($$ update ipai.ipai_sample_metrics set name = 'x' where true $$, '42501', null, 'authenticated may not update');
select throws_ok($$ delete from ipai.ipai_sample_metrics where true $$, '42501', null, 'authenticated may not delete');

-- The plan: each statement reads the claims once.
create function pg_temp.plan_of(query text) returns setof text language plpgsql as $$
begin
  return query execute 'explain (costs off) ' || query;
end
$$;
reset role;
create temporary table plan (line text);
grant all on plan to authenticated;
set local role authenticated;
insert into plan select * from pg_temp.plan_of('select * from ipai.ipai_sample_metrics');
select is((select count(*)::int from plan where line ~ '^\s*InitPlan'), 2, 'the functions of the policy are InitPlans');
select is_empty($$ select line from plan where line ~ 'SubPlan|claim' $$, 'no function of the policy is called for each row');
delete from plan where true;
reset role;

-- Malformed claims --------------------------------------------------------------------------------

create temporary table malformed (claims text, what text);
insert into malformed
values ('not json',                                                  'claims that are not JSON'),
       ('{"app_metadata": {"ipai_brand_ids": [7',                    'claims that are cut off'),
       ('"*"',                                                       'claims that are a string'),
       ('["*"]',                                                     'claims that are a list'),
       ('null',                                                      'claims that are null'),
       ('{"app_metadata": "*"}',                                     'app_metadata that is a string'),
       ('{"app_metadata": [{"ipai_brand_ids": "*"}]}',               'app_metadata that is a list'),
       ('{"app_metadata": {"ipai_brand_ids": null, "ipai_store_ids": true}}',          'ids that are null or true'),
       ('{"app_metadata": {"ipai_brand_ids": {"*": 7}, "ipai_store_ids": {"3": 3}}}',  'ids that are an object'),
       ('{"app_metadata": {"ipai_brand_ids": "7", "ipai_store_ids": 3}}',              'an id that is not in a list'),
       ('{"app_metadata": {"ipai_brand_ids": "**", "ipai_store_ids": " * "}}',         'texts that are similar to "*"'),
       ('{"app_metadata": {"ipai_brand_ids": ["7", [7], {"id": 7}, null, true, 7.5, -7, 1e400, "x"]}}', 'a list without any valid id');
grant select on malformed to authenticated;

create function pg_temp.visible_with(new_claims text) returns bigint[] language plpgsql as $$
begin
  perform set_config('request.jwt.claims', new_claims, true);
  return array(select odoo_id from ipai.ipai_sample_metrics order by odoo_id);
exception when others then
  raise warning '%: %', new_claims, sqlerrm;
  return null;
end
$$;

set local role authenticated;
-- One comparison for all claims. It names those that fail.
select is(
  (select coalesce(string_agg(what, '; '), 'all') from malformed where pg_temp.visible_with(claims) is distinct from array[1::bigint]),
  'all', 'malformed claims show only rows without brand and store, and raise no error'
);
select is(
  pg_temp.visible_with('{"app_metadata": {"ipai_brand_ids": ["x", 1e400, 7], "ipai_store_ids": 3}}'), array[1, 2]::bigint[],
  'valid ids in a list with invalid elements count'
);
select is(
  pg_temp.visible_with('{"app_metadata": {"ipai_brand_ids": [9223372036854775808, 7]}}'), array[1, 2]::bigint[],
  'a number that is too large for an id is ignored'
);
select is(
  pg_temp.visible_with(format('{"app_metadata": {"ipai_brand_ids": %s}}', repeat('[', 100000))), array[1]::bigint[],
  'claims that are nested too deep raise no error'
);
select is(
  (select pg_temp.visible_with(jsonb_build_object('app_metadata', jsonb_build_object('ipai_brand_ids', jsonb_agg(i)))::text)
     from generate_series(7, 5000) as i),
  array[1, 2, 3, 5, 6]::bigint[], 'every id in a long list counts'
);
reset role;

-- service_role, postgres --------------------------------------------------------------------------

set local role service_role;
select set_config('request.jwt.claims', '{"role": "service_role"}', true);
select results_eq('visible', $$ select i::bigint from generate_series(1, 8) as i $$, 'service_role sees every row, also archived rows');
select lives_ok(
  $$ insert into ipai.ipai_sample_metrics (odoo_id, name, code, unit) values (9, 'x', 'X', 'count') $$, 'service_role inserts'
);
select lives_ok($$ update ipai.ipai_sample_metrics set name = 'y' where odoo_id = 9 $$, 'service_role updates');
select lives_ok($$ delete from ipai.ipai_sample_metrics where odoo_id = 9 $$, 'service_role deletes');
reset role;

select results_eq('visible', $$ select i::bigint from generate_series(1, 8) as i $$, 'postgres, the owner, sees every row');
select throws_ok(
  $$ set local role authenticated; select ipai.set_updated_at() $$, '42501', null, 'authenticated may not call the trigger function'
);
reset role;
select is(
  (select array_agg(rolname::text order by rolname) from pg_roles
    where rolname in ('anon', 'authenticated', 'service_role', 'postgres') and (rolbypassrls or rolsuper)),
  array['postgres', 'service_role'], 'only postgres and service_role bypass row-level security'
);

select * from finish();
rollback;
