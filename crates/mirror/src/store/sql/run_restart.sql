-- Sets what a run reads, after it found a change. If $3 is true, the run starts anew.
update ipai.run_log
set fingerprint = $2,
    position = case when $3 then 0 else position end,
    odoo_clock = case when not $3 then odoo_clock end,
    newest = case when not $3 then newest end,
    resumes = case when not $3 then resumes end
where run = $1
