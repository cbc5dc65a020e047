-- Inserts the row of a run that begins, and the state of a mirror that was inserted without one.
with state as (
    insert into ipai.mirror_state (mirror) values ($1) on conflict do nothing)
insert into ipai.run_log
    (mirror, mode, state, resumes, fingerprint, bound, position, odoo_clock, newest, cursor_before)
values ($1, $2, 'running', $3, $4, $5, $6, $7, $8, $9)
returning run
