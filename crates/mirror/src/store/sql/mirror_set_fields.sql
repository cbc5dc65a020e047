-- Stores the fields of a mirror and what has become of them. If a field came back ($5), the next
-- run is full.
with defined as (
    update ipai.mirrors set fields = $2::jsonb where name = $1 and fields is distinct from $2::jsonb)
update ipai.mirror_state
set drift = $3::jsonb,
    has_write_date = $4,
    cursor = case when not $5 then cursor end,
    fingerprint = case when not $5 then fingerprint end
where mirror = $1 and (drift, has_write_date) is distinct from ($3::jsonb, $4)
