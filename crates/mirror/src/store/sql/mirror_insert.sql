-- Registers a mirror, and its state. Options take their defaults.
with registered as (
    insert into ipai.mirrors (name, server, model, target_schema, target_table, fields, constants)
    values ($1, $2, $3, $4, $5, $6::jsonb, $7::jsonb)
    on conflict (name) do nothing
    returning name)
insert into ipai.mirror_state (mirror, has_write_date)
select name, $8 from registered
returning true
