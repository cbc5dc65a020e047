-- Inserts the rows of a page, none of which exists.
insert into {table} as t ({key}, {columns})
select {values}s.odoo_id, {columns_s}
{sent}
