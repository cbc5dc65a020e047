-- The rejects of the mirror $1.
select odoo_id, refused, field, sqlstate, message from ipai.sync_rejects where mirror = $1
