-- Who sees which rows. `visible` is asked as the role that is set, with the claims that are set.
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

-- anon ----------------------------------------------------------------------------------------------------------------------------------

set local role anon;
select throws_ok('select from ipai.ipai_sample_metrics', '42501', null, 'anon reads nothing');
select throws_ok($$ insert into ipai.ipai_sample_metrics (name, code, unit) values ('x', 'X', 'count') $$, '42501', null, 'anon writes nothing');
reset role;

-- authenticated -----------------------------------------------------------------------------------------------------------------------------

set local role authenticated;

select set_config('request.jwt.claims', null, true);
select results_eq('visible', $$ values (1::bigint) $$, 'without a token: rows of no brand and no store');
select set_config('request.jwt.claims', '', true);
select results_eq('visible', $$ values (1::bigint) $$, 'the same when an earlier transaction had a token');
select pg_temp.claim('{}');
select results_eq('visible', $$ values (1::bigint) $$, 'the same with a token that lists nothing');

select pg_temp.claim('{"ipai_brand_ids": [7]}');
select results_eq('visible', $$ values (1::bigint), (2) $$, 'a listed brand: its rows too, but no archived ones');
select pg_temp.claim('{"ipai_brand_ids": [7, 8]}');
select results_eq('visible', $$ values (1::bigint), (2), (3), (5), (6) $$, 'several brands: also rows of their stores');
select pg_temp.claim('{"ipai_store_ids": [3]}');
select results_eq('visible', $$ values (1::bigint), (4), (5) $$, 'a listed store: its rows, whatever their brand');
select pg_temp.claim('{"ipai_brand_ids": [7], "ipai_store_ids": [4]}');
select results_eq('visible', $$ values (1::bigint), (2), (6) $$, 'a brand and a store: the rows of either');
select pg_temp.claim('{"ipai_brand_ids": [3], "ipai_store_ids": [7]}');
select results_eq('visible', $$ values (1::bigint) $$, 'a brand''s id is no store''s id');

select pg_temp.claim('{"ipai_brand_ids": "*"}');
select results_eq('visible', $$ values (1::bigint), (2), (3), (5), (6) $$, 'all brands: every row with a brand');
select pg_temp.claim('{"ipai_store_ids": "*"}');
select results_eq('visible', $$ values (1::bigint), (4), (5), (6) $$, 'all stores: every row with a store');
select pg_temp.claim('{"ipai_brand_ids": ["*"], "ipai_store_ids": ["*"]}');
select results_eq('visible', $$ values (1::bigint), (2), (3), (4), (5), (6) $$, '"*" may stand in a list; archived rows stay hidden');

select set_config('request.jwt.claims', '{"user_metadata": {"ipai_brand_ids": "*"}, "ipai_brand_ids": "*"}', true);
select results_eq('visible', $$ values (1::bigint) $$, 'claims outside of app_metadata, which users may write, do not count');

select throws_ok($$ insert into ipai.ipai_sample_metrics (name, code, unit) values ('x', 'X', 'count') $$, '42501', null, 'authenticated may not insert');
select throws_ok($$ update ipai.ipai_sample_metrics set name = 'x' where true $$, '42501', null, 'nor update');
select throws_ok($$ delete from ipai.ipai_sample_metrics where true $$, '42501', null, 'nor delete');

-- The plan: claims are read once a statement.
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
select is((select count(*)::int from plan where line ~ '^\s*InitPlan'), 2, 'the policy''s functions are InitPlans');
select is_empty($$ select line from plan where line ~ 'SubPlan|claim' $$, 'and none is called for each row');
delete from plan where true;
reset role;

-- Whatever stands in the claims, nothing is shown that should not be, and nothing raises ------------------------------------------------

create temporary table malformed (claims text, what text);
insert into malformed
values ('not json',                                                  'claims that are no JSON'),
       ('{"app_metadata": {"ipai_brand_ids": [7',                    'claims that are cut off'),
       ('"*"',                                                       'claims that are a string'),
       ('["*"]',                                                     'claims that are a list'),
       ('null',                                                      'claims that are null'),
       ('{"app_metadata": "*"}',                                     'app_metadata that is a string'),
       ('{"app_metadata": [{"ipai_brand_ids": "*"}]}',               'app_metadata that is a list'),
       ('{"app_metadata": {"ipai_brand_ids": null, "ipai_store_ids": true}}',          'ids that are null or true'),
       ('{"app_metadata": {"ipai_brand_ids": {"*": 7}, "ipai_store_ids": {"3": 3}}}',  'ids that are an object'),
       ('{"app_metadata": {"ipai_brand_ids": "7", "ipai_store_ids": 3}}',              'an id that is not in a list'),
       ('{"app_metadata": {"ipai_brand_ids": "**", "ipai_store_ids": " * "}}',         'text that only resembles "*"'),
       ('{"app_metadata": {"ipai_brand_ids": ["7", [7], {"id": 7}, null, true, 7.5, -7, 1e400, "x"]}}', 'a list of anything but ids');
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
-- One comparison for all, which names those that fail.
select is(
  (select coalesce(string_agg(what, '; '), 'all') from malformed where pg_temp.visible_with(claims) is distinct from array[1::bigint]),
  'all', 'malformed claims show the rows of no brand and no store, and do not raise'
);
select is(
  pg_temp.visible_with('{"app_metadata": {"ipai_brand_ids": ["x", 1e400, 7], "ipai_store_ids": 3}}'), array[1, 2]::bigint[],
  'what is well-formed in a list counts all the same'
);
select is(
  pg_temp.visible_with('{"app_metadata": {"ipai_brand_ids": [9223372036854775808, 7]}}'), array[1, 2]::bigint[],
  'a number that is too large for an id is no id'
);
select is(
  pg_temp.visible_with(format('{"app_metadata": {"ipai_brand_ids": %s}}', repeat('[', 100000))), array[1]::bigint[],
  'claims nested too deep to be read do not raise'
);
select is(
  (select pg_temp.visible_with(jsonb_build_object('app_metadata', jsonb_build_object('ipai_brand_ids', jsonb_agg(i)))::text)
     from generate_series(7, 5000) as i),
  array[1, 2, 3, 5, 6]::bigint[], 'a long list is read to its end'
);
reset role;

-- service_role, postgres ------------------------------------------------------------------------------------------------------------------

set local role service_role;
select set_config('request.jwt.claims', '{"role": "service_role"}', true);
select results_eq('visible', $$ select i::bigint from generate_series(1, 8) as i $$, 'service_role sees every row, archived ones too');
select lives_ok(
  $$ insert into ipai.ipai_sample_metrics (odoo_id, name, code, unit) values (9, 'x', 'X', 'count') $$, 'service_role inserts'
);
select lives_ok($$ update ipai.ipai_sample_metrics set name = 'y' where odoo_id = 9 $$, 'and updates');
select lives_ok($$ delete from ipai.ipai_sample_metrics where odoo_id = 9 $$, 'and deletes');
reset role;

select results_eq('visible', $$ select i::bigint from generate_series(1, 8) as i $$, 'postgres, the owner, sees every row');
select throws_ok(
  $$ set local role authenticated; select ipai.set_updated_at() $$, '42501', null, 'authenticated may not call the trigger function'
);
reset role;
select is(
  (select array_agg(rolname::text order by rolname) from pg_roles
    where rolname in ('anon', 'authenticated', 'service_role', 'postgres') and (rolbypassrls or rolsuper)),
  array['postgres', 'service_role'], 'only postgres and service_role go around row-level security'
);

select * from finish();
rollback;
