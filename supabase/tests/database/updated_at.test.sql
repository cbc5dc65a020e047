-- updated_at is set when a row changes, and only then.
begin;
select plan(6);

insert into ipai.ipai_sample_metrics (odoo_id, name, code, unit, inserted_at, updated_at)
values (900001, 'a', 'A', 'count', '2026-01-01', '2026-01-01'),
       (900002, 'b', 'B', 'count', '2026-01-01', '2026-01-01');

select is(
  (select updated_at from ipai.ipai_sample_metrics where odoo_id = 900001), timestamptz '2026-01-01',
  'an insert keeps the given updated_at'
);

update ipai.ipai_sample_metrics set name = 'a' where odoo_id = 900001;
select is(
  (select updated_at from ipai.ipai_sample_metrics where odoo_id = 900001), timestamptz '2026-01-01',
  'an update that changes nothing keeps updated_at'
);

update ipai.ipai_sample_metrics set notes = 'new' where odoo_id = 900001;
select is((select updated_at from ipai.ipai_sample_metrics where odoo_id = 900001), now(), 'a change sets updated_at');
select is(
  (select inserted_at from ipai.ipai_sample_metrics where odoo_id = 900001), timestamptz '2026-01-01',
  'a change keeps inserted_at'
);
select is(
  (select updated_at from ipai.ipai_sample_metrics where odoo_id = 900002), timestamptz '2026-01-01',
  'a change keeps the updated_at of other rows'
);

set local role service_role;
update ipai.ipai_sample_metrics set notes = 'new' where odoo_id = 900002;
reset role;
select is(
  (select updated_at from ipai.ipai_sample_metrics where odoo_id = 900002), now(),
  'the trigger works for roles that may not call its function'
);

select * from finish();
rollback;
