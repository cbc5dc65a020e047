-- The privileges in $2 that the current role lacks on the table.
select p.privilege
from pg_catalog.string_to_table($2, ', ') as p (privilege)
where not pg_catalog.has_table_privilege($1::oid, p.privilege)
