-- The roles whose privileges expose the table $1.$2 to API users, and the statement that revokes
-- them.
select e.grantee, e.privileges, e.revoke
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
cross join lateral ipai.api_exposure(c.oid) as e
where n.nspname = $1 and c.relname = $2
order by e.grantee
