-- Stores what a run learned about a login. Writes nothing if it is stored already.
insert into ipai.odoo_logins (url, dbname, login, uid, addon, database_uuid)
select $1, $2, $3, $4, $5, $6
where not exists (
    select 1
    from ipai.odoo_logins l
    where (l.url, l.dbname, l.login, l.uid) = ($1, $2, $3, $4)
        and (l.addon, l.database_uuid) is not distinct from (coalesce($5, l.addon), coalesce($6, l.database_uuid)))
on conflict (url, dbname, login) do update
set uid = excluded.uid,
    addon = coalesce(excluded.addon, odoo_logins.addon),
    database_uuid = coalesce(excluded.database_uuid, odoo_logins.database_uuid)
