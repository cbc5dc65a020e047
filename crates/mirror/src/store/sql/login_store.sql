-- Stores what a run learned about a login.
insert into ipai.odoo_logins (url, dbname, login, uid, addon, database_uuid)
values ($1, $2, $3, $4, $5, $6)
on conflict (url, dbname, login) do update
set uid = excluded.uid,
    addon = coalesce(excluded.addon, odoo_logins.addon),
    database_uuid = coalesce(excluded.database_uuid, odoo_logins.database_uuid)
