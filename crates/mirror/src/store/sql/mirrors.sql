select m.name, m.server, m.target_schema::text, m.target_table::text, m.model, m.domain::text, m.lang, m.company_ids,
    m.fields::text, m.page_size, m.max_delete_ratio, m.flag_field, m.constants::text,
    coalesce(s.has_write_date, true), coalesce(s.drift, '[]')::text,
    m.max_rejects,
    exists (
        select 1
        from pg_catalog.pg_class c
        join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        where n.nspname = m.target_schema and c.relname = m.target_table and c.relkind = 'p'),
    m.masks::text,
    m.on_delete = 'mark'
from ipai.mirrors m
left join ipai.mirror_state s on s.mirror = m.name
