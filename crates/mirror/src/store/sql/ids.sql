-- The first ids in ($1, $2]; not those of marked rows.
select t.odoo_id::bigint
from {only}{table} as t
where t.odoo_id > $1 and t.odoo_id <= $2{mine_t}{live}
order by t.odoo_id
limit 50000
