-- The numbers of the columns, from 1, whose values differ from those of the page that was just
-- written: a trigger of the table has changed them.
select pg_catalog.array_remove(array[{altered}], null)
{sent}
join {only}{table} as o
    on o.odoo_id = s.odoo_id and o.odoo_id between {first} and {last}{mine_o}
