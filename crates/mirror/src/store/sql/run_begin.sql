-- Inserts the row of a run that begins.
insert into ipai.run_log
    (mirror, mode, state, resumes, fingerprint, bound, position, odoo_clock, newest, cursor_before)
values ($1, $2, 'running', $3, $4, $5, $6, $7, $8, $9)
returning run
