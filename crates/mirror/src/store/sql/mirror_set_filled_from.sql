-- Stores from which Odoo database a mirror is filled.
update ipai.mirrors
set filled_from = $2, filled_company = $3
where name = $1 and (filled_from, filled_company) is distinct from ($2, $3)
