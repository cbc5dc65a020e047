-- Stores what has become of the mirrored fields.
update ipai.mirror_state
set drift = $2::jsonb
where mirror = $1 and drift is distinct from $2::jsonb
