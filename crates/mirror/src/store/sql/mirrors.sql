select m.name, m.server, m.target_schema::text, m.target_table::text, m.model, m.domain::text, m.lang, m.company_ids,
    m.fields::text, m.page_size, m.max_delete_ratio, m.flag_field, m.constants::text,
    coalesce(s.has_write_date, true), coalesce(s.drift, '[]')::text,
    m.masks::text
from ipai.mirrors m
left join ipai.mirror_state s on s.mirror = m.name
