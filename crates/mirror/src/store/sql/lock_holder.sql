-- The session that holds an advisory lock with the keys $1 and $2 of lock.rs. Only members of the
-- session's role and of pg_read_all_stats see when its last statement started.
select l.pid,
    pg_catalog.concat(
        'Process ', l.pid, ' holds the lock', ' as role ' || pg_catalog.quote_ident(a.usename),
        ', application ' || pg_catalog.quote_literal(nullif(a.application_name, '')), '.',
        ' Its transaction started at ' || a.xact_start || '.', ' Its last statement started at ' || a.query_start || '.')
from pg_catalog.pg_locks l
left join pg_catalog.pg_stat_activity a on a.pid = l.pid
where l.locktype = 'advisory' and l.granted and l.objsubid = 2 and l.pid is not null
    and l.database = (select d.oid from pg_catalog.pg_database d where d.datname = pg_catalog.current_database())
    and l.classid = pg_catalog.hashtext($1)::oid
    and l.objid = pg_catalog.hashtext($2)::oid
limit 1
