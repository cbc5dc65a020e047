-- Registers a mirror. Options that are not listed take their defaults.
insert into ipai.mirrors
    (name, server, model, target_schema, target_table, fields, page_size, max_delete_ratio, alert_field,
     domain, lang, company_ids, constants, has_write_date)
values ($1, $2, $3, $4, $5, $6::jsonb, $7, $8, $9, $10::jsonb, $11, $12, $13::jsonb, $14)
on conflict (name) do nothing
returning true
