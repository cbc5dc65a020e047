-- Whether the database has tables of ipai_sync, and the version that `ipai-sync init` recorded.
-- The version is the text that the function returns. The function is not called, because another
-- role may own it. There is no version if the schema, the function or the table of mirrors belongs
-- to a role that this one does not trust: all functions in the schema could be planted.
select pg_catalog.to_regclass('ipai.mirrors') is not null,
    (select pg_catalog.substring(p.prosrc, '''([^'']+)''')
     from pg_catalog.pg_proc p
     join pg_catalog.pg_namespace n on n.oid = p.pronamespace
     join pg_catalog.pg_class c on c.oid = pg_catalog.to_regclass('ipai.mirrors')
     where p.oid = pg_catalog.to_regprocedure('ipai.schema_version()')
        and not exists (
            select 1
            from pg_catalog.pg_roles r
            where r.oid in (n.nspowner, p.proowner, c.relowner)
                and not r.rolsuper
                and not pg_catalog.pg_has_role(r.oid, current_user::pg_catalog.regrole, 'member')
                and r.rolname <> 'postgres'
                and r.oid <> (
                    select d.datdba
                    from pg_catalog.pg_database d
                    where d.datname = pg_catalog.current_database())))
