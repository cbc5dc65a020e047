-- Stores what a run learned about a login. Writes nothing if it is stored already. A run that has
-- not looked for the addon ($5 is null) keeps what is stored about it. $8: whether Odoo lacks JSON-2,
-- which runs find out again after a day; null if the run did not find out.
insert into ipai.odoo_logins (
    url, dbname, login, uid, addon, database_uuid, addon_problem, addon_tried_at, xmlrpc_until)
select $1, $2, $3, $4, $5, $6, $7, case when $7 is not null then pg_catalog.now() end,
    case when $8 then pg_catalog.now() + interval '1 day' end
where not exists (
    select 1
    from ipai.odoo_logins l
    where (l.url, l.dbname, l.login, l.uid) = ($1, $2, $3, $4)
        and (l.addon, l.database_uuid) is not distinct from (coalesce($5, l.addon), coalesce($6, l.database_uuid))
        and ($5 is null or l.addon_problem is not distinct from $7)
        -- A run that is due tries the addon.
        and (pg_catalog.now() - l.addon_tried_at > '1 day') is not true
        and case
            when $8 then coalesce(l.xmlrpc_until > pg_catalog.now(), false)
            else $8 is null or l.xmlrpc_until is null
        end)
on conflict (url, dbname, login) do update
set uid = excluded.uid,
    addon = coalesce(excluded.addon, odoo_logins.addon),
    database_uuid = coalesce(excluded.database_uuid, odoo_logins.database_uuid),
    addon_problem = case when excluded.addon is null then odoo_logins.addon_problem else excluded.addon_problem end,
    addon_tried_at = case when excluded.addon is null then odoo_logins.addon_tried_at else excluded.addon_tried_at end,
    xmlrpc_until = case when $8 is null then odoo_logins.xmlrpc_until else excluded.xmlrpc_until end
