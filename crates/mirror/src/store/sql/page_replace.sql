-- Deletes the rows of a page that differ, and inserts them with its values: so they may exchange
-- unique values. Their other columns stay. No row is inserted before all are deleted, because the
-- rows have to be sorted.
with changed as materialized (
    select s.*, o.odoo_id is null as {is_new}
    {changed}),
deleted as (
    delete from {only}{table} as t
    using changed as s
    where t.odoo_id = s.odoo_id and not s.{is_new}{mine_t}
    returning t.*)
insert into {table} as t ({key}, {columns}{others})
overriding system value
select {values}s.odoo_id, {columns_s}{others_d}
from deleted as d
join changed as s on s.odoo_id = d.odoo_id
order by -s.odoo_id
