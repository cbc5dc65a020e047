-- The names of the foreign servers of the wrapper $1.
select s.srvname::text
from pg_catalog.pg_foreign_server s
join pg_catalog.pg_foreign_data_wrapper w on w.oid = s.srvfdw
where w.fdwname = $1
order by 1
