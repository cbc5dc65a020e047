-- Marks the rows with the ids $1, whose records no longer exist in Odoo.
update {only}{table} set deleted_at = now() where odoo_id = any ($1::bigint[]){mine}{live}
