-- Stores a reject. `since` stays: the record has been set aside since then.
insert into ipai.sync_rejects as r (mirror, odoo_id, refused, field, sqlstate, message)
values ($1, $2, $3, $4, $5, $6)
on conflict (mirror, odoo_id) do update
set refused = excluded.refused,
    field = excluded.field,
    sqlstate = excluded.sqlstate,
    message = excluded.message,
    last_tried = pg_catalog.clock_timestamp()
