-- What is stored about a login. The column after the problem is null unless the addon failed.
select uid, addon, database_uuid, addon_problem,
    case when addon_problem is not null then
        coalesce(pg_catalog.now() - addon_tried_at > '1 day', true)
    end,
    coalesce(xmlrpc_until > pg_catalog.now(), false)
from ipai.odoo_logins
where url = $1 and dbname = $2 and login = $3
