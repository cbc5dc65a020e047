-- Records the end of a run that succeeded. run_progress.sql has recorded its figures.
update ipai.run_log
set state = 'succeeded', finished_at = pg_catalog.clock_timestamp(), complete = $2, cursor_after = $3,
    odoo_count = $4, odoo_active = $5, odoo_flagged = $6,
    mirror_count = $7, mirror_active = $8, mirror_flagged = $9, flags = $10::text[]
where run = $1
