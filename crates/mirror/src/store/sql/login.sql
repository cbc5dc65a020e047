-- What is stored about a login. The last column is null unless the addon failed.
select uid, addon, database_uuid, addon_problem,
    case when addon_problem is not null then
        coalesce(pg_catalog.now() - addon_tried_at > '1 day', true)
    end
from ipai.odoo_logins
where url = $1 and dbname = $2 and login = $3
