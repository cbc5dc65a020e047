-- Stores from which Odoo database a mirror is filled.
update ipai.mirror_state
set filled_from = $2, filled_company = $3
where mirror = $1 and (filled_from, filled_company) is distinct from ($2, $3)
