-- The three demo records of the Odoo module, for a local project without Odoo.
--
-- The rows are local: they have no odoo_id, so no sync changes or deletes them. They have no brand
-- and store, whose ids Odoo assigns, so every signed-in user sees them. Running the file again adds
-- nothing.

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
