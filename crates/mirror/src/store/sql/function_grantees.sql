-- Everyone but the owner who has a privilege on the function $1.
select distinct case a.grantee
    when 0 then 'public'
    else pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee))
end
from pg_catalog.pg_proc p,
    pg_catalog.aclexplode(coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner))) a
where p.oid = $1::pg_catalog.regprocedure and a.grantee <> p.proowner
