-- Deletes the rows with the ids $1.
delete from {only}{table} where odoo_id = any ($1::bigint[]){mine}
