-- Records counts that were taken without a sync.
insert into ipai.run_log
    (mirror, mode, state, finished_at, odoo_count, odoo_active, odoo_flagged,
     mirror_count, mirror_active, mirror_flagged, flags)
values ($1, 'counts', 'succeeded', pg_catalog.clock_timestamp(), $2, $3, $4, $5, $6, $7, $8::text[])
