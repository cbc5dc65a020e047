-- Refuses a database whose texts are not UTF-8, as those of Odoo are.

do $$
begin
    if pg_catalog.getdatabaseencoding() operator(pg_catalog.<>) 'UTF8' then
        raise exception 'ipai_sync needs a database with the encoding UTF8'
            using errcode = 'feature_not_supported',
                  detail = pg_catalog.format('The encoding of this database is %s.',
                                             pg_catalog.getdatabaseencoding()),
                  hint = 'Use a database made with: create database ... template template0 '
                         'encoding ''UTF8'';';
    end if;
end
$$;
