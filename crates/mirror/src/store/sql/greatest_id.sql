select coalesce(max(odoo_id), 0) from only {table} where odoo_id is not null{mine}
