-- The last scheduled run of a mirror, and whether the next run may resume it: it did not succeed,
-- and it ran with the mirror's current definition ($2). A refused run has read everything, so it is
-- not resumed.
select run, mode, bound, position, odoo_clock, newest,
    state not in ('succeeded', 'refused') and shape is not distinct from $2
from ipai.run_log
where mirror = $1
    and mode in ('full', 'incremental', 'reconcile')
    and (state <> 'succeeded' or complete)
order by run desc
limit 1
