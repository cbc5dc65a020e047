-- The ids of rows whose list {list} disagrees with the list {other_list} of rows of the mirror of
-- the other side that have changed since $1. If $2, also those that list a row that it no longer
-- has.
with changed as materialized (
    select t.odoo_id, t.{other_list} as list
    from {other_only}{other} as t
    where t.updated_at >= $1{other_mine_t}{other_live}),
theirs as materialized (
    select l.id as odoo_id, c.odoo_id as other
    from changed as c
    cross join unnest(c.list) as l (id)),
ours as materialized (
    select t.odoo_id, l.id as other
    from {only}{table} as t
    cross join unnest(t.{list}) as l (id)
    where (l.id in (select c.odoo_id from changed as c)
        or $2 and not exists (
            select 1 from {other_only}{other} as t where t.odoo_id = l.id{other_mine_t}{other_live}))
        {mine_t}{live})
select t.odoo_id::bigint
from {only}{table} as t
where t.odoo_id in (
        select d.odoo_id
        from ((select * from ours except select * from theirs)
            union all (select * from theirs except select * from ours)) as d)
    {mine_t}{live}
order by 1
