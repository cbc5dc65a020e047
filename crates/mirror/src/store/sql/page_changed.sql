{sent}
-- The range of ids keeps a merge join from reading the table from its beginning for each page.
left join {only}{table} as o
    on o.odoo_id = s.odoo_id and o.odoo_id between {first} and {last}{mine_o}
where o.odoo_id is null
    or ({columns_o}) is distinct from ({columns_s}){marked}
