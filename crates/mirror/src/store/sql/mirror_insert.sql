-- Registers a mirror, and its state. Options that are not listed take their defaults.
with registered as (
    insert into ipai.mirrors
        (name, server, model, target_schema, target_table, fields, page_size, max_delete_ratio, flag_field,
         domain, lang, company_ids, constants)
    values ($1, $2, $3, $4, $5, $6::jsonb, $7, $8, $9, $10::jsonb, $11, $12, $13::jsonb)
    on conflict (name) do nothing
    returning name)
insert into ipai.mirror_state (mirror, has_write_date)
select name, $14 from registered
returning true
