-- Records how far a run is. Finds no row in another session than the one that began the run.
update ipai.run_log
set mode = $2, bound = $3, position = $4, odoo_clock = $5, newest = $6, pages = $7, fetched = $8,
    total = $9, inserted = $10, updated = $11, unchanged = $12, deleted = $13,
    seconds_waiting = $14, seconds_writing = $15
where run = $1 and pid = pg_catalog.pg_backend_pid()
