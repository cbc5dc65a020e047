select count(*) from only {table} where odoo_id is not null{mine}
