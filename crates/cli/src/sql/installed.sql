-- Whether the database has tables of ipai_sync, and the version that `ipai-sync init` recorded.
-- The version is the text that the function returns. The function is not called, because another
-- role may own it.
select pg_catalog.to_regclass('ipai.mirrors') is not null,
    (select pg_catalog.substring(p.prosrc, '''([^'']+)''')
     from pg_catalog.pg_proc p
     where p.oid = pg_catalog.to_regprocedure('ipai.schema_version()'))
