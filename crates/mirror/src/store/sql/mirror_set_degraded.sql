-- Stores why the last run did not use the addon; null if it did, or if Odoo does not have it.
update ipai.mirror_state
set degraded = pg_catalog."left"($2, 1000),
    degraded_since = case when $2 is not null then coalesce(degraded_since, pg_catalog.now()) end
where mirror = $1 and degraded is distinct from pg_catalog."left"($2, 1000)
