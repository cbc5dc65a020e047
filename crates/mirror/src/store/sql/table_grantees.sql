-- Everyone but the owner who has a privilege on the table $1.
select distinct case a.grantee
    when 0 then 'public'
    else pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee))
end
from pg_catalog.pg_class c, pg_catalog.aclexplode(c.relacl) a
where c.oid = $1::pg_catalog.regclass and a.grantee <> c.relowner
