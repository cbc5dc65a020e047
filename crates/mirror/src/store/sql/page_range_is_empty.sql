-- Whether no row, marked or not, has an id from $1 to $2.
select not exists (select 1 from {only}{table} where odoo_id between $1 and $2{mine})
