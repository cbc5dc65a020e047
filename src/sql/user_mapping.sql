-- Whether the mapping that applies to the current user on server $1 is their own, and not the one
-- for PUBLIC.
select u.umuser <> 0
from pg_catalog.pg_user_mappings u
where u.srvid = $1::oid
    and (u.umuser = 0 or u.umuser = (select r.oid from pg_catalog.pg_roles r where r.rolname = current_user))
order by 1 desc
limit 1
