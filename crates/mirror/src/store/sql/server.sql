-- The foreign server $1: its oid, whether the current role may use it, and whether it belongs to
-- the wrapper $2.
select s.oid::bigint, pg_catalog.has_server_privilege(s.oid, 'usage'), w.fdwname = $2
from pg_catalog.pg_foreign_server s
join pg_catalog.pg_foreign_data_wrapper w on w.oid = s.srvfdw
where s.srvname = $1
