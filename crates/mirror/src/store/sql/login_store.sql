-- Stores what a run learned about a login. Writes nothing if it is stored already. $7: whether Odoo
-- lacks JSON-2, which runs find out again after a day; null if the run did not find out.
insert into ipai.odoo_logins (url, dbname, login, uid, addon, database_uuid, xmlrpc_until)
select $1, $2, $3, $4, $5, $6, case when $7 then pg_catalog.now() + interval '1 day' end
where not exists (
    select 1
    from ipai.odoo_logins l
    where (l.url, l.dbname, l.login, l.uid) = ($1, $2, $3, $4)
        and (l.addon, l.database_uuid) is not distinct from (coalesce($5, l.addon), coalesce($6, l.database_uuid))
        and case
            when $7 then coalesce(l.xmlrpc_until > pg_catalog.now(), false)
            else $7 is null or l.xmlrpc_until is null
        end)
on conflict (url, dbname, login) do update
set uid = excluded.uid,
    addon = coalesce(excluded.addon, odoo_logins.addon),
    database_uuid = coalesce(excluded.database_uuid, odoo_logins.database_uuid),
    xmlrpc_until = case when $7 is null then odoo_logins.xmlrpc_until else excluded.xmlrpc_until end
