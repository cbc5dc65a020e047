-- Stores the field by which the model archives records; empty: it has none.
update ipai.mirror_state
set active_field = $2
where mirror = $1 and active_field is distinct from $2
