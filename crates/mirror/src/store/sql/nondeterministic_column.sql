-- Whether the collation of column $2 of table $1 treats different texts as equal.
select true
from pg_catalog.pg_attribute a
join pg_catalog.pg_collation c on c.oid = a.attcollation
where a.attrelid = $1::pg_catalog.regclass and a.attname = $2 and not c.collisdeterministic
