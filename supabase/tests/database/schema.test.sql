-- What the migrations create: columns, keys, indexes, comments, privileges, the publication.
begin;
select plan(49);

-- Columns -----------------------------------------------------------------------------------------

select has_table('ipai', 'ipai_sample_metrics', 'the mirror table exists');
select columns_are(
  'ipai', 'ipai_sample_metrics',
  array['id', 'odoo_id', 'name', 'code', 'date', 'brand_id', 'store_id', 'value', 'unit', 'is_alert', 'notes', 'active', 'inserted_at', 'updated_at'],
  'it has the columns of the data contract'
);

prepare columns as
  select attname::text collate "default", format_type(atttypid, atttypmod), attnotnull
    from pg_attribute
   where attrelid = 'ipai.ipai_sample_metrics'::regclass and attnum > 0 and not attisdropped
   order by attnum;
select results_eq(
  'columns',
  $$ values ('id',          'bigint',                   true),
            ('odoo_id',     'bigint',                   false),
            ('name',        'text',                     true),
            ('code',        'text',                     true),
            ('date',        'date',                     false),
            ('brand_id',    'bigint',                   false),
            ('store_id',    'bigint',                   false),
            ('value',       'double precision',         true),
            ('unit',        'text',                     true),
            ('is_alert',    'boolean',                  true),
            ('notes',       'text',                     false),
            ('active',      'boolean',                  true),
            ('inserted_at', 'timestamp with time zone', true),
            ('updated_at',  'timestamp with time zone', true) $$,
  'types, order and nullability are those of the data contract'
);
select col_default_is('ipai', 'ipai_sample_metrics', 'active', 'true', 'active is true by default');
select col_default_is('ipai', 'ipai_sample_metrics', 'is_alert', 'false', 'is_alert is false by default');
select col_default_is('ipai', 'ipai_sample_metrics', 'value', '0', 'value is 0 by default, as in Odoo');
select is(
  (select identity_generation from information_schema.columns
    where table_schema = 'ipai' and table_name = 'ipai_sample_metrics' and column_name = 'id'),
  'BY DEFAULT', 'id is an identity column that accepts given values'
);

-- Keys and constraints ----------------------------------------------------------------------------

select col_is_pk('ipai', 'ipai_sample_metrics', 'id', 'id is the primary key');
select col_is_unique('ipai', 'ipai_sample_metrics', 'odoo_id', 'odoo_id is unique');
select lives_ok(
  $$ insert into ipai.ipai_sample_metrics (name, code, unit) values ('a', 'A', 'count'), ('b', 'B', 'count') $$,
  'several local rows may have no odoo_id'
);
select lives_ok(
  $$ insert into ipai.ipai_sample_metrics (odoo_id, name, code, unit) values (900001, 'a', 'A', 'count') $$,
  'a mirrored row has an odoo_id'
);
select throws_ok(
  $$ insert into ipai.ipai_sample_metrics (odoo_id, name, code, unit) values (900001, 'b', 'B', 'count') $$,
  '23505', null, 'two rows cannot have the same odoo_id'
);
select lives_ok(
  $$ insert into ipai.ipai_sample_metrics (odoo_id, name, code, unit) values (900001, 'c', 'C', 'count')
     on conflict (odoo_id) do update set name = excluded.name $$,
  'on conflict (odoo_id) finds its key'
);
select is((select name from ipai.ipai_sample_metrics where odoo_id = 900001), 'c', 'on conflict (odoo_id) updates the row');
select throws_ok(
  $$ insert into ipai.ipai_sample_metrics (name, code, unit) values ('a', 'A', 'litres') $$,
  '23514', null, 'an unknown unit is refused'
);
select throws_ok(
  $$ insert into ipai.ipai_sample_metrics (name, code, unit) values ('a', 'A', null) $$,
  '23502', null, 'a missing unit is refused'
);
select lives_ok(
  $$ insert into ipai.ipai_sample_metrics (name, code, unit)
     values ('a', 'A', 'percent'), ('a', 'A', 'count'), ('a', 'A', 'amount') $$,
  'the three units of the data contract are accepted'
);

-- Indexes -----------------------------------------------------------------------------------------

select has_index('ipai', 'ipai_sample_metrics', 'ipai_sample_metrics_code_date_idx', array['code', 'date'], 'index on code and date');
select has_index('ipai', 'ipai_sample_metrics', 'ipai_sample_metrics_date_idx', array['date'], 'index on date');
select has_index('ipai', 'ipai_sample_metrics', 'ipai_sample_metrics_brand_idx', array['brand_id'], 'index on brand');
select has_index('ipai', 'ipai_sample_metrics', 'ipai_sample_metrics_store_idx', array['store_id'], 'index on store');
select has_index('ipai', 'ipai_sample_metrics', 'ipai_sample_metrics_alerts_idx', array['date'], 'index on alerts');

-- Ownership and privileges ------------------------------------------------------------------------

select table_owner_is('ipai', 'ipai_sample_metrics', 'postgres', 'the migrating role owns the table');
select is((select relrowsecurity from pg_class where oid = 'ipai.ipai_sample_metrics'::regclass), true, 'row-level security is on');
select policies_are('ipai', 'ipai_sample_metrics', array['ipai_sample_metrics_tenant'], 'one policy');
select policy_cmd_is('ipai', 'ipai_sample_metrics', 'ipai_sample_metrics_tenant', 'select', 'the policy is for select');
select policy_roles_are('ipai', 'ipai_sample_metrics', 'ipai_sample_metrics_tenant', array['authenticated'], 'the policy is for authenticated');

select table_privs_are('ipai', 'ipai_sample_metrics', 'anon', '{}'::text[], 'anon may do nothing');
select table_privs_are('ipai', 'ipai_sample_metrics', 'authenticated', array['SELECT'], 'authenticated may read');
select table_privs_are(
  'ipai', 'ipai_sample_metrics', 'service_role',
  array['SELECT', 'INSERT', 'UPDATE', 'DELETE'], 'service_role may read and write'
);
select schema_privs_are('ipai', 'anon', '{}'::text[], 'anon may not even use the schema');
select schema_privs_are('ipai', 'authenticated', array['USAGE'], 'authenticated may use the schema');
select schema_privs_are('ipai', 'service_role', array['USAGE'], 'service_role may use the schema');

select function_privs_are('ipai', name, arguments::text[], 'anon', '{}'::text[], format('anon may not call %s', name))
  from (values ('app_claim', '{text}'), ('claims_all', '{text}'), ('claimed_texts', '{text}'), ('claimed_id_ranges', '{text}'),
               ('set_updated_at', '{}')) as f (name, arguments);
select function_privs_are('ipai', name, '{text}'::text[], 'authenticated', array['EXECUTE'], format('authenticated may call %s', name))
  from (values ('app_claim'), ('claims_all'), ('claimed_texts'), ('claimed_id_ranges')) as f (name);
select function_privs_are('ipai', 'set_updated_at', '{}'::text[], 'authenticated', '{}'::text[], 'authenticated may not call the trigger function');
select is_empty(
  $$ select proname from pg_proc
      where oid = any (array['ipai.app_claim(text)', 'ipai.claims_all(text)', 'ipai.claimed_id_ranges(text)', 'ipai.claimed_texts(text)',
                            'ipai.set_updated_at()']::regprocedure[])
        and proconfig is distinct from array['search_path=pg_catalog, pg_temp'] $$,
  'every function has a fixed search_path'
);
select is_empty(
  $$ select proname from pg_proc
      where oid = any (array['ipai.app_claim(text)', 'ipai.claims_all(text)', 'ipai.claimed_texts(text)', 'ipai.claimed_id_ranges(text)']::regprocedure[])
        and (provolatile <> 's' or prosecdef) $$,
  'the functions of the policy are stable and run as their caller'
);

-- Comments, publication ---------------------------------------------------------------------------

select is_empty(
  $$ select attname from pg_attribute
      where attrelid = 'ipai.ipai_sample_metrics'::regclass and attnum > 0 and not attisdropped and col_description(attrelid, attnum) is null $$,
  'every column has a comment'
);
select is_empty(
  $$ select conname from pg_constraint
      where conrelid = 'ipai.ipai_sample_metrics'::regclass and contype <> 'n' and obj_description(oid, 'pg_constraint') is null
     union all
     select polname from pg_policy where polrelid = 'ipai.ipai_sample_metrics'::regclass and obj_description(oid, 'pg_policy') is null
     union all
     select tgname from pg_trigger where tgrelid = 'ipai.ipai_sample_metrics'::regclass and obj_description(oid, 'pg_trigger') is null
     union all
     select proname from pg_proc
      where oid = any (array['ipai.app_claim(text)', 'ipai.claims_all(text)', 'ipai.claimed_id_ranges(text)', 'ipai.claimed_texts(text)',
                            'ipai.set_updated_at()']::regprocedure[])
        and obj_description(oid, 'pg_proc') is null $$,
  'every constraint, policy, trigger and function has a comment'
);
select isnt(obj_description('ipai.ipai_sample_metrics'::regclass, 'pg_class'), null, 'the table has a comment');
select isnt_empty(
  $$ select from pg_publication_tables
      where pubname = 'supabase_realtime' and schemaname = 'ipai' and tablename = 'ipai_sample_metrics' $$,
  'Realtime publishes the table'
);

select * from finish();
rollback;
