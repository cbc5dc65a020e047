-- Refuses a database whose texts are not UTF-8, as those of Odoo are, and a schema of another role,
-- which could replace what is in it. Also refuses the tables of the program ipai-sync.

do $$
begin
    if pg_catalog.getdatabaseencoding() operator(pg_catalog.<>) 'UTF8' then
        raise exception 'ipai_sync needs a database with the encoding UTF8'
            using errcode = 'feature_not_supported',
                  detail = pg_catalog.format('The encoding of this database is %s.',
                                             pg_catalog.getdatabaseencoding()),
                  hint = 'Use a database made with: create database ... template template0 '
                         'encoding ''UTF8'';';
    elsif exists (
        select from pg_catalog.pg_namespace n
        join pg_catalog.pg_roles r on r.oid operator(pg_catalog.=) n.nspowner
        where n.nspname operator(pg_catalog.=) 'ipai' and not r.rolsuper
          and r.rolname operator(pg_catalog.<>) all (array[current_user, session_user, 'postgres']))
    then
        raise exception 'schema "ipai" belongs to another role'
            using errcode = 'insufficient_privilege',
                  hint = 'Drop it, or change its owner: alter schema ipai owner to current_user;';
    elsif pg_catalog.to_regprocedure('ipai.schema_version()') is not null then
        raise exception 'this database was prepared by ipai-sync init'
            using errcode = 'duplicate_object',
                  hint = 'Run the mirrors with the program ipai-sync. To use the extension instead, '
                         'remove what init created: ipai-sync uninstall --yes (the mirror tables '
                         'stay). Then create the extension, and define the mirrors again.';
    end if;
end
$$;
