-- The parts of a name such as schema.table, or null if it is not one.
select case
    when $1 ~ E'^\\s*("([^"]|"")+"|[^".\\s]+)(\\s*\\.\\s*("([^"]|"")+"|[^".\\s]+))?\\s*$'
    then pg_catalog.parse_ident($1)
end
