select coalesce(max(odoo_id), 0)::bigint from {only}{table} where odoo_id is not null{mine}{live}
