name, server, target_schema::text, target_table::text, model, domain::text, lang, company_ids,
fields::text, page_size, max_delete_ratio, alert_field, constants::text, has_write_date, drift::text
