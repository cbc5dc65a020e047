-- The first ids in ($1, $2].
select odoo_id::bigint
from only {table}
where odoo_id > $1 and odoo_id <= $2{mine}
order by odoo_id
limit 50000
