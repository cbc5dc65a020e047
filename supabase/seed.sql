-- The Odoo module's three demo records, for a local project without an Odoo.
--
-- Local rows: they have no odoo_id, so no sync changes or deletes them. Brand and store are left out, because Odoo gives the ids of its
-- partners; every authenticated user sees the rows. Running this again adds nothing.

insert into ipai.ipai_sample_metrics (name, code, date, value, unit, is_alert, notes)
select seed.*
  from (
    values
      ('Daily sales',        'STORE_SALES',        date '2026-01-06', 125430.5::double precision, 'amount', false, 'All tills, after refunds.'),
      ('Footfall',           'FOOTFALL',           date '2026-01-06', 1834,                       'count',  false, null),
      ('Shelf availability', 'SHELF_AVAILABILITY', date '2026-01-06', 97.5,                       'percent', true, 'Above 95: shown as an alert.')
  ) as seed (name, code, date, value, unit, is_alert, notes)
 where not exists (
   select from ipai.ipai_sample_metrics as present
    where present.odoo_id is null and present.code = seed.code and present.date = seed.date
 );
