-- Writes the rows of a page that are new or differ. It compares before it writes: `on conflict do
-- update ... where` would lock every unchanged row, which costs WAL, a sequence value each, and
-- time.
with written as (
    insert into {table} as t ({key}, {columns})
    select {values}s.odoo_id, {columns_s}
    {changed}
    on conflict ({key}) do update set {assignments}
    returning (t.xmax = 0) as inserted)
select count(*) filter (where inserted), count(*) filter (where not inserted)
from written
