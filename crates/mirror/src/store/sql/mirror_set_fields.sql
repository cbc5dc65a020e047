-- Stores the fields of a mirror and what has become of them. If a field came back ($5), the next
-- run is full.
update ipai.mirrors
set fields = $2::jsonb,
    drift = $3::jsonb,
    has_write_date = $4,
    cursor = case when not $5 then cursor end
where name = $1 and (fields, drift, has_write_date) is distinct from ($2::jsonb, $3::jsonb, $4)
