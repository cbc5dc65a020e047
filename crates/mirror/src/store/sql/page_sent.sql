from (
    select r.odoo_id, {casts}
    from unnest($1::bigint[], {arrays}) as r (odoo_id, {columns})) as s
