-- The functions of the dashboard: figures, limits and privileges. Each user gets figures of the
-- rows that they may see.
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

-- The overview ------------------------------------------------------------------------------------

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
  'one card for each code, alerts first, then the newest: sums, averages of percents, no archived rows and no rows of other brands'
);
prepare before as select code, previous_date, previous_value from ipai.metrics_overview() where code in ('SALES', 'SHELF', 'NEVER', 'YEARLY', 'MIXED');
select set_eq(
  'before',
  $$ values ('SALES', date '2026-01-01', 10::float8), ('SHELF', '2026-01-01', 90), ('NEVER', null, null), ('YEARLY', '2024-12-31', 100), ('MIXED', null, null) $$,
  'the previous day with a value in the same unit, however long ago'
);
select is((select point_values from ipai.metrics_overview() where code = 'SALES'), array[10, 70]::float8[], 'points, oldest first');
select is((select point_dates from ipai.metrics_overview() where code = 'SALES'), array['2026-01-01', '2026-01-02']::date[], 'the days of the points');
select is((select point_values from ipai.metrics_overview() where code = 'NEVER'), '{}'::float8[], 'no points for a metric without dates');
select results_eq(
  $$ select distinct total, alerting from ipai.metrics_overview(max_cards => 2) $$, $$ values (7::bigint, 1::bigint) $$, 'the totals include cards on other pages'
);
select is((select count(*)::int from ipai.metrics_overview(max_cards => 2)), 2, 'a page of cards');
select is((select array_agg(code) from ipai.metrics_overview(max_cards => 2, skip => 2)), array['NAN', 'SALES'], 'the next page of cards');
select is((select array_agg(code) from ipai.metrics_overview(alerts_only => true)), array['SHELF'], 'alerts_only returns cards with alerts');
select is((select array_agg(code) from ipai.metrics_overview('LES')), array['SALES'], 'a search in codes');
select is((select array_agg(code) from ipai.metrics_overview(' once A ')), array['YEARLY'], 'a search in names');
select is((select count(*)::int from ipai.metrics_overview('%')), 0, 'a search has no wildcards');
select is((select count(*)::int from ipai.metrics_overview('')), 7, 'an empty search returns all cards');
select is((select count(*)::int from ipai.metrics_overview(null, null, null, null, null)), 7, 'null means the default of each argument');
select lives_ok($$ select ipai.metrics_overview(max_cards => -1, skip => -1, max_points => -1) $$, 'numbers below the minimum raise no error');

select pg_temp.claim('{"ipai_brand_ids": [8]}');
select results_eq($$ select code, value from ipai.metrics_overview() $$, $$ values ('SECRET', 1::float8), ('SALES', 900) $$, 'another tenant has other cards and values');
select pg_temp.claim('{}');
select is_empty($$ select from ipai.metrics_overview() $$, 'a user without brands gets no cards');

-- One metric --------------------------------------------------------------------------------------

select pg_temp.claim('{"ipai_brand_ids": [7]}');
prepare sales as select date, value, records, alerts from ipai.metric_series('SALES');
select results_eq('sales', $$ values (date '2026-01-01', 10::float8, 1::bigint, 0::bigint), ('2026-01-02', 70, 2, 0) $$, 'a row a day, oldest first');
select results_eq($$ select value from ipai.metric_series('SALES', store => 4) $$, $$ values (40::float8) $$, 'the series of a store');
select results_eq($$ select value from ipai.metric_series('SALES', brand => 7, until => '2026-01-01') $$, $$ values (10::float8) $$, 'the series until a day');
select results_eq($$ select value from ipai.metric_series('SALES', since => '2026-01-02') $$, $$ values (70::float8) $$, 'the series since a day');
select is_empty($$ select from ipai.metric_series('SALES', brand => 8) $$, 'no series of a brand that the token does not list');
select is_empty($$ select from ipai.metric_series('SECRET') $$, 'no series of a metric whose rows the user does not see');
select results_eq($$ select value from ipai.metric_series('SALES', max_points => 1) $$, $$ values (70::float8) $$, 'the newest days if there are more than max_points');
select results_eq($$ select value from ipai.metric_series('MIXED') $$, $$ values (34::float8) $$, 'the series in the unit of the newest row');
select results_eq($$ select value from ipai.metric_series('MIXED', 'count') $$, $$ values (12::float8) $$, 'the series in another unit');
select results_eq($$ select value from ipai.metric_series('SHELF') $$, $$ values (90::float8), (95) $$, 'percents are averaged over rows');

select results_eq(
  $$ select name, unit, units, brands, stores, first_date, last_date, records from ipai.metric_facets('SALES') $$,
  $$ values ('Sales', 'amount', array['amount'], array[7]::bigint[], array[3, 4]::bigint[], date '2026-01-01', date '2026-01-02', 3::bigint) $$,
  'the filters of a metric'
);
select is((select units from ipai.metric_facets('MIXED')), array['amount', 'count'], 'the units of a metric with several');
select results_eq($$ select name, last_date from ipai.metric_facets('NEVER') $$, $$ values ('Undated', null::date) $$, 'the filters of a metric without dates');
select is_empty($$ select from ipai.metric_facets('SECRET') $$, 'no filters of a metric whose rows the user does not see');

-- For an AI ---------------------------------------------------------------------------------------

select is(ipai.metrics_context() -> 'metrics_total', '7', 'the document counts the metrics that the user sees');
select is(ipai.metrics_context() -> 'complete', 'true', 'the document says that it is complete');
select is(
  ipai.metrics_context() -> 'metrics' -> 0,
  '{"code": "SHELF", "name": "Shelves", "unit": "percent", "date": "2026-01-02", "value": 95, "previous_date": "2026-01-01", "previous_value": 90, "records": 2, "alerts": 1}',
  'metrics with alerts first, with their previous values'
);
select is(ipai.metrics_context(search => 'shelf') -> 'metrics_total', '1', 'the document can be searched');
select is(
  (select jsonb_build_array(c -> 'metrics_total', jsonb_array_length(c -> 'metrics'), c -> 'complete') from ipai.metrics_context(alerts_only => true) as c),
  '[1, 1, true]', 'with alerts_only the document has and counts only metrics with alerts'
);
select pg_temp.claim('{}');
select is(ipai.metrics_context() -> 'metrics', '[]', 'the document has no metrics if the user sees none');
select is(ipai.metrics_context() -> 'newest_date', 'null', 'the document has no newest date if the user sees no metric');
reset role;

-- Two days in the last weeks, one of them in another unit. The previous day in the same unit is
-- long ago.
insert into ipai.ipai_sample_metrics (name, code, date, brand_id, value, unit)
values ('Switched', 'SWITCHED', '2024-06-01', 9, 3, 'amount'), ('Switched', 'SWITCHED', '2026-01-01', 9, 100, 'count'), ('Switched', 'SWITCHED', '2026-01-02', 9, 5, 'amount');
-- A unit with more days than the function reads, and the newest row in another unit.
insert into ipai.ipai_sample_metrics (name, code, date, brand_id, value, unit)
select 'Mostly', 'MOSTLY', date '2020-01-01' + i, 9, i, 'count' from generate_series(1, 200) as i
union all values ('Mostly', 'MOSTLY', date '2019-01-01', 9, 1, 'amount'), ('Mostly', 'MOSTLY', date '2020-12-31', 9, 2, 'amount');
set local role authenticated;
select pg_temp.claim('{"ipai_brand_ids": [9]}');
select results_eq(
  $$ select code, value, previous_date, previous_value from ipai.metrics_overview() order by code $$,
  $$ values ('MOSTLY', 2::float8, date '2019-01-01', 1::float8), ('SWITCHED', 5, '2024-06-01', 3) $$,
  'days in another unit are no previous days and do not hide them'
);
select is((select bool_and(complete) from ipai.metrics_overview()), true, 'the cards are complete');
reset role;

insert into ipai.ipai_sample_metrics (name, code, date, value, unit)
select repeat('ñ', 3000), 'MANY_' || i, '2026-01-02', i, 'count' from generate_series(1, 900) as i;
set local role authenticated;
-- One comparison for all sizes.
select is_empty(
  $$ select wanted, octet_length(c::text) from unnest(array[-1, 0, 999, 1000, 1001, 5000, 16000, 99999, 100000, 10000000]) as wanted, ipai.metrics_context(wanted) as c
      where octet_length(c::text) > least(greatest(wanted, 1000), 100000) $$,
  'a document is never longer than max_bytes'
);
select is(
  (select jsonb_array_length(c -> 'metrics') from ipai.metrics_context(5000) as c), (select (c ->> 'metrics_shown')::int from ipai.metrics_context(5000) as c),
  'metrics_shown is the number of metrics in the document'
);
select is(ipai.metrics_context(5000) -> 'complete', 'false', 'a document that lacks metrics is not complete');
select ok((select octet_length(c::text) > 4500 from ipai.metrics_context(5000) as c), 'a document uses most of max_bytes');
select is((select count(*)::int from ipai.metrics_overview(max_cards => 100000)), 500, 'at most 500 cards');
reset role;

insert into ipai.ipai_sample_metrics (name, code, value, unit) select 'Seldom ' || i, 'SELDOM_' || i, i, 'count' from generate_series(1, 2100) as i;
set local role authenticated;
select results_eq($$ select distinct total, complete from ipai.metrics_overview() $$, $$ values (2000::bigint, false) $$, 'with more codes than the function reads, complete is false');
select is(ipai.metrics_context(search => 'SALES') -> 'complete', 'false', 'with more codes than the function reads, the document is not complete, even if a search finds nothing');
select pg_temp.claim('{"ipai_brand_ids": [9]}');
select is((select count(*)::int from ipai.metrics_overview('SWITCHED')), 0, 'a search does not find codes that the function does not read');
reset role;

-- What they are -----------------------------------------------------------------------------------

create temporary table functions as
select unnest(array[
  'ipai.metrics_overview(text, boolean, integer, integer, integer)', 'ipai.metric_series(text, text, bigint, bigint, date, date, integer)',
  'ipai.metric_facets(text)', 'ipai.metrics_context(integer, text, boolean)']::regprocedure[]) as f;
select is_empty(
  $$ select f from functions join pg_proc on oid = f
      where prosecdef or provolatile <> 's' or not proconfig @> array['search_path=pg_catalog, pg_temp'] or obj_description(oid, 'pg_proc') is null $$,
  'the functions are stable, run as their caller, and have a fixed search_path and a comment'
);
select is_empty($$ select f from functions where has_function_privilege('anon', f, 'execute') $$, 'anon may not call the functions');
select is_empty(
  $$ select f from functions, (values ('authenticated'), ('service_role')) as r (role) where not has_function_privilege(role, f, 'execute') $$,
  'authenticated and service_role may call the functions'
);
set local role service_role;
select is((select value from ipai.metrics_overview('SALES')), 970::float8, 'service_role gets all brands, but no archived rows');
reset role;

select * from finish();
rollback;
