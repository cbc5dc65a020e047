-- Writes the rows of a page that are new, differ or are marked. It compares before it writes: `on
-- conflict do update ... where` would lock every unchanged row, which costs WAL, a sequence value
-- each, and time.
with changed as materialized (
    select s.*, o.odoo_id is null as {is_new}
    {changed}),
written as (
    insert into {table} as t ({key}, {columns})
    select {values}s.odoo_id, {columns_s}
    from changed as s
    on conflict ({key}) do update set {assignments}{unmark}
    returning t.odoo_id)
select count(*) filter (where s.{is_new}), count(*) filter (where not s.{is_new})
from written as w
join changed as s on s.odoo_id = w.odoo_id
