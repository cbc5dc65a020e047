-- Digests of the ids in ($1[n], $1[n + 1]]: n, the number of ids, their sum, the sum of their
-- squares. A range without ids has no row. No id is greater than 2^31. (width_bucket includes its
-- lower threshold, a range its upper bound.)
select width_bucket(odoo_id - 1, $1::bigint[]), count(*), sum(odoo_id)::text, sum(odoo_id::bigint * odoo_id)::text
from {only}{table}
where odoo_id > ($1::bigint[])[1] and odoo_id <= ($1::bigint[])[cardinality($1)]{mine}{live}
group by 1
