-- Keeps what Odoo returned at the start of a run that reads everything, for a run that resumes it.
update ipai.run_log
set token = $2
where run = $1
