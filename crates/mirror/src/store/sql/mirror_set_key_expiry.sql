-- Stores when an API key of the Odoo user expires.
update ipai.mirror_state
set key_expires = $2
where mirror = $1 and key_expires is distinct from $2
