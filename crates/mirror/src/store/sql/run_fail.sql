-- Records the end of a run that failed.
update ipai.run_log
set state = $2, finished_at = pg_catalog.clock_timestamp(), sqlstate = $3, message = $4, detail = $5, hint = $6
where run = $1
