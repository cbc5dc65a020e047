-- What the table of the mirror $1 refuses.
select odoo_id, refused, field, sqlstate, message from ipai.sync_rejects where mirror = $1
