-- Stores what has become of the mirrored fields.
update ipai.mirrors
set drift = $2::jsonb
where name = $1 and drift is distinct from $2::jsonb
