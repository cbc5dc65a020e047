-- What is stored about a login.
select uid, addon, database_uuid, coalesce(xmlrpc_until > pg_catalog.now(), false)
from ipai.odoo_logins
where url = $1 and dbname = $2 and login = $3
