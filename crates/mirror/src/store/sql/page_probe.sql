-- Counts what page_upsert.sql would insert and update.
select count(*) filter (where o.odoo_id is null), count(*) filter (where o.odoo_id is not null)
{changed}
