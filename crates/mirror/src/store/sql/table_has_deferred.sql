-- Whether the table $1 has constraints or triggers that wait for the commit.
select exists (select 1 from pg_catalog.pg_trigger g where g.tgrelid = $1::oid and g.tginitdeferred)
