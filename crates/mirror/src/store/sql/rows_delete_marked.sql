-- Deletes the marked rows. Rows without an id of Odoo belong to the user.
delete from {only}{table} where odoo_id is not null and deleted_at is not null{mine}
