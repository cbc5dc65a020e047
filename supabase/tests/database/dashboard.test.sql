-- What the dashboard asks for: figures, limits, privileges, and that each user is told of his own
-- rows only.
begin;
select plan(52);

create function pg_temp.claim(app_metadata text) returns text language sql as $$
  select set_config('request.jwt.claims', format('{"role": "authenticated", "app_metadata": %s}', app_metadata), true)
$$;

delete from ipai.ipai_sample_metrics where true;
insert into ipai.ipai_sample_metrics (odoo_id, name, code, date, brand_id, store_id, value, unit, is_alert, active)
values (1,  'Sales',         'SALES',  '2026-01-01', 7,    3,    10,    'amount',  false, true),
       (2,  'Sales',         'SALES',  '2026-01-02', 7,    3,    30,    'amount',  false, true),
       (3,  'Sales',         'SALES',  '2026-01-02', 7,    4,    40,    'amount',  false, true),
       (4,  'Sales',         'SALES',  '2026-01-02', 8,    5,    900,   'amount',  false, true),
       (5,  'Sales, old',    'SALES',  '2026-01-03', 7,    3,    5,     'amount',  false, false),
       (6,  'Shelves',       'SHELF',  '2026-01-02', 7,    3,    99,    'percent', true,  true),
       (7,  'Shelves',       'SHELF',  '2026-01-02', 7,    4,    91,    'percent', false, true),
       (8,  'Shelves',       'SHELF',  '2026-01-01', 7,    4,    90,    'percent', false, true),
       (9,  'Undated',       'NEVER',  null,         7,    null, 3,     'count',   false, true),
       (10, 'Undated',       'NEVER',  null,         7,    null, 4,     'count',   false, true),
       (11, 'Once a year',   'YEARLY', '2024-12-31', 7,    null, 100,   'count',   false, true),
       (12, 'Once a year',   'YEARLY', '2025-12-31', 7,    null, 150,   'count',   false, true),
       (13, 'Of brand 8',    'SECRET', '2026-01-02', 8,    null, 1,     'count',   true,  true),
       (14, 'Counted first', 'MIXED',  '2026-01-01', 7,    null, 12,    'count',   false, true),
       (15, 'Then in money', 'MIXED',  '2026-01-02', 7,    null, 34,    'amount',  false, true),
       (16, 'No number',     'NAN',    '2026-01-02', 7,    null, 'NaN', 'amount',  false, true),
       (17, 'Typing error',  'FUTURE', '2226-01-02', 7,    null, 1,     'count',   false, true);

-- The overview --------------------------------------------------------------------------------------------------------------------------

set local role authenticated;
select pg_temp.claim('{"ipai_brand_ids": [7]}');

prepare cards as select code, name, unit, date, value, records, alerts from ipai.metrics_overview();
select results_eq(
  'cards',
  $$ values ('SHELF',  'Shelves',       'percent', date '2026-01-02', 95::float8,      2::bigint, 1::bigint),
            ('FUTURE', 'Typing error',  'count',   date '2226-01-02', 1,               1, 0),
            ('NAN',    'No number',     'amount',  date '2026-01-02', 'NaN',           1, 0),
            ('SALES',  'Sales',         'amount',  date '2026-01-02', 70,              2, 0),
            ('MIXED',  'Then in money', 'amount',  date '2026-01-02', 34,              1, 0),
            ('YEARLY', 'Once a year',   'count',   date '2025-12-31', 150,             1, 0),
            ('NEVER',  'Undated',       'count',   null,              7,               2, 0) $$,
  'a card a code, alerts first, then the newest: sums, averages of percents, no archived rows, none of other brands'
);
prepare before as select code, previous_date, previous_value from ipai.metrics_overview() where code in ('SALES', 'SHELF', 'NEVER', 'YEARLY', 'MIXED');
select set_eq(
  'before',
  $$ values ('SALES', date '2026-01-01', 10::float8), ('SHELF', '2026-01-01', 90), ('NEVER', null, null), ('YEARLY', '2024-12-31', 100), ('MIXED', null, null) $$,
  'the day before, however long ago, in the same unit'
);
select is((select point_values from ipai.metrics_overview() where code = 'SALES'), array[10, 70]::float8[], 'points, oldest first');
select is((select point_dates from ipai.metrics_overview() where code = 'SALES'), array['2026-01-01', '2026-01-02']::date[], 'and their days');
select is((select point_values from ipai.metrics_overview() where code = 'NEVER'), '{}'::float8[], 'none where nothing has a date');
select results_eq(
  $$ select distinct total, alerting from ipai.metrics_overview(max_cards => 2) $$, $$ values (7::bigint, 1::bigint) $$, 'totals of all cards, also of those on other pages'
);
select is((select count(*)::int from ipai.metrics_overview(max_cards => 2)), 2, 'a page of cards');
select is((select array_agg(code) from ipai.metrics_overview(max_cards => 2, skip => 2)), array['NAN', 'SALES'], 'the next');
select is((select array_agg(code) from ipai.metrics_overview(alerts_only => true)), array['SHELF'], 'those with alerts');
select is((select array_agg(code) from ipai.metrics_overview('LES')), array['SALES'], 'a search in codes');
select is((select array_agg(code) from ipai.metrics_overview(' once A ')), array['YEARLY'], 'and in names');
select is((select count(*)::int from ipai.metrics_overview('%')), 0, 'in which nothing is a wildcard');
select is((select count(*)::int from ipai.metrics_overview('')), 7, 'a search for nothing is none');
select is((select count(*)::int from ipai.metrics_overview(null, null, null, null, null)), 7, 'null is the default');
select lives_ok($$ select ipai.metrics_overview(max_cards => -1, skip => -1, max_points => -1) $$, 'nor do numbers below the least do harm');

select pg_temp.claim('{"ipai_brand_ids": [8]}');
select results_eq($$ select code, value from ipai.metrics_overview() $$, $$ values ('SECRET', 1::float8), ('SALES', 900) $$, 'another tenant has other cards and values');
select pg_temp.claim('{}');
select is_empty($$ select from ipai.metrics_overview() $$, 'who has no brand has none');

-- One metric ------------------------------------------------------------------------------------------------------------------------------

select pg_temp.claim('{"ipai_brand_ids": [7]}');
prepare sales as select date, value, records, alerts from ipai.metric_series('SALES');
select results_eq('sales', $$ values (date '2026-01-01', 10::float8, 1::bigint, 0::bigint), ('2026-01-02', 70, 2, 0) $$, 'a row a day, oldest first');
select results_eq($$ select value from ipai.metric_series('SALES', store => 4) $$, $$ values (40::float8) $$, 'of a store');
select results_eq($$ select value from ipai.metric_series('SALES', brand => 7, until => '2026-01-01') $$, $$ values (10::float8) $$, 'until a day');
select results_eq($$ select value from ipai.metric_series('SALES', since => '2026-01-02') $$, $$ values (70::float8) $$, 'since a day');
select is_empty($$ select from ipai.metric_series('SALES', brand => 8) $$, 'nothing of a brand that the token does not list');
select is_empty($$ select from ipai.metric_series('SECRET') $$, 'nor of a metric of which the user sees nothing');
select results_eq($$ select value from ipai.metric_series('SALES', max_points => 1) $$, $$ values (70::float8) $$, 'the newest days where there are too many');
select results_eq($$ select value from ipai.metric_series('MIXED') $$, $$ values (34::float8) $$, 'in the unit of the newest row');
select results_eq($$ select value from ipai.metric_series('MIXED', 'count') $$, $$ values (12::float8) $$, 'or in another');
select results_eq($$ select value from ipai.metric_series('SHELF') $$, $$ values (90::float8), (95) $$, 'percents are averaged');

select results_eq(
  $$ select name, unit, units, brands, stores, first_date, last_date, records from ipai.metric_facets('SALES') $$,
  $$ values ('Sales', 'amount', array['amount'], array[7]::bigint[], array[3, 4]::bigint[], date '2026-01-01', date '2026-01-02', 3::bigint) $$,
  'what a metric can be filtered by'
);
select is((select units from ipai.metric_facets('MIXED')), array['amount', 'count'], 'units too');
select results_eq($$ select name, last_date from ipai.metric_facets('NEVER') $$, $$ values ('Undated', null::date) $$, 'one without dates');
select is_empty($$ select from ipai.metric_facets('SECRET') $$, 'no row for what the user does not see');

-- For an AI -------------------------------------------------------------------------------------------------------------------------------

select is(ipai.metrics_context() -> 'metrics_total', '7', 'the document counts what the user sees');
select is(ipai.metrics_context() -> 'complete', 'true', 'and says that it has all of it');
select is(
  ipai.metrics_context() -> 'metrics' -> 0,
  '{"code": "SHELF", "name": "Shelves", "unit": "percent", "date": "2026-01-02", "value": 95, "previous_date": "2026-01-01", "previous_value": 90, "records": 2, "alerts": 1}',
  'alerts first, with what was before'
);
select is(ipai.metrics_context(search => 'shelf') -> 'metrics_total', '1', 'it can be searched');
select is(
  (select jsonb_build_array(c -> 'metrics_total', jsonb_array_length(c -> 'metrics'), c -> 'complete') from ipai.metrics_context(alerts_only => true) as c),
  '[1, 1, true]', 'it may have the alerts alone, and counts no others then'
);
select pg_temp.claim('{}');
select is(ipai.metrics_context() -> 'metrics', '[]', 'it is empty where there is nothing');
select is(ipai.metrics_context() -> 'newest_date', 'null', 'and says so');
reset role;

-- Two days in the last weeks, but one of them in another unit; the day before in the same unit is
-- long ago.
insert into ipai.ipai_sample_metrics (name, code, date, brand_id, value, unit)
values ('Switched', 'SWITCHED', '2024-06-01', 9, 3, 'amount'), ('Switched', 'SWITCHED', '2026-01-01', 9, 100, 'count'), ('Switched', 'SWITCHED', '2026-01-02', 9, 5, 'amount');
-- A unit of more days than are looked at, and the newest row in another.
insert into ipai.ipai_sample_metrics (name, code, date, brand_id, value, unit)
select 'Mostly', 'MOSTLY', date '2020-01-01' + i, 9, i, 'count' from generate_series(1, 200) as i
union all values ('Mostly', 'MOSTLY', date '2019-01-01', 9, 1, 'amount'), ('Mostly', 'MOSTLY', date '2020-12-31', 9, 2, 'amount');
set local role authenticated;
select pg_temp.claim('{"ipai_brand_ids": [9]}');
select results_eq(
  $$ select code, value, previous_date, previous_value from ipai.metrics_overview() order by code $$,
  $$ values ('MOSTLY', 2::float8, date '2019-01-01', 1::float8), ('SWITCHED', 5, '2024-06-01', 3) $$,
  'what was measured in another unit is neither the day before nor hides it'
);
select is((select bool_and(complete) from ipai.metrics_overview()), true, 'these are all');
reset role;

insert into ipai.ipai_sample_metrics (name, code, date, value, unit)
select repeat('ñ', 3000), 'MANY_' || i, '2026-01-02', i, 'count' from generate_series(1, 900) as i;
set local role authenticated;
-- One comparison for all sizes.
select is_empty(
  $$ select wanted, octet_length(c::text) from unnest(array[-1, 0, 999, 1000, 1001, 5000, 16000, 99999, 100000, 10000000]) as wanted, ipai.metrics_context(wanted) as c
      where octet_length(c::text) > least(greatest(wanted, 1000), 100000) $$,
  'a document is never longer than it may be'
);
select is(
  (select jsonb_array_length(c -> 'metrics') from ipai.metrics_context(5000) as c), (select (c ->> 'metrics_shown')::int from ipai.metrics_context(5000) as c),
  'what it shows is what it says that it shows'
);
select is(ipai.metrics_context(5000) -> 'complete', 'false', 'it says that it has not all');
select ok((select octet_length(c::text) > 4500 from ipai.metrics_context(5000) as c), 'it takes the room that it has');
select is((select count(*)::int from ipai.metrics_overview(max_cards => 100000)), 500, 'no more than 500 cards at once');
reset role;

insert into ipai.ipai_sample_metrics (name, code, value, unit) select 'Seldom ' || i, 'SELDOM_' || i, i, 'count' from generate_series(1, 2100) as i;
set local role authenticated;
select results_eq($$ select distinct total, complete from ipai.metrics_overview() $$, $$ values (2000::bigint, false) $$, 'of more codes than are looked at it says that there are more');
select is(ipai.metrics_context(search => 'SALES') -> 'complete', 'false', 'and so does the document, also where it finds nothing');
select pg_temp.claim('{"ipai_brand_ids": [9]}');
select is((select count(*)::int from ipai.metrics_overview('SWITCHED')), 0, 'those beyond are not found');
reset role;

-- What they are ---------------------------------------------------------------------------------------------------------------------------

create temporary table functions as
select unnest(array[
  'ipai.metrics_overview(text, boolean, integer, integer, integer)', 'ipai.metric_series(text, text, bigint, bigint, date, date, integer)',
  'ipai.metric_facets(text)', 'ipai.metrics_context(integer, text, boolean)']::regprocedure[]) as f;
select is_empty(
  $$ select f from functions join pg_proc on oid = f
      where prosecdef or provolatile <> 's' or not proconfig @> array['search_path=pg_catalog, pg_temp'] or obj_description(oid, 'pg_proc') is null $$,
  'stable, run as their caller, with a fixed search_path and a comment'
);
select is_empty($$ select f from functions where has_function_privilege('anon', f, 'execute') $$, 'anon may call none');
select is_empty(
  $$ select f from functions, (values ('authenticated'), ('service_role')) as r (role) where not has_function_privilege(role, f, 'execute') $$,
  'authenticated and service_role may call all'
);
set local role service_role;
select is((select value from ipai.metrics_overview('SALES')), 970::float8, 'service_role counts all brands, and no archived rows either');
reset role;

select * from finish();
rollback;
