-- Records the end of a run that failed, perhaps after it had read everything ($7). The table limits
-- the length of texts.
update ipai.run_log
set state = $2, complete = $7, finished_at = pg_catalog.clock_timestamp(), sqlstate = $3,
    message = pg_catalog.left($4, 100000), detail = pg_catalog.left($5, 100000), hint = pg_catalog.left($6, 100000)
where run = $1
