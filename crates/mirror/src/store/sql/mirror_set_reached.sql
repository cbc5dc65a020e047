-- Stores what a complete run reached. Without a cursor ($2) the old cursor stays.
update ipai.mirrors m
set cursor = n.cursor,
    settled_id = n.settled_id,
    shape = n.shape,
    filled_as = n.filled_as,
    filled_from = n.filled_from,
    filled_company = n.filled_company
from (
    select coalesce($2, cursor) as cursor,
        case when $2 is null then settled_id else $6 end as settled_id,
        $3 as shape, $4 as filled_as, $5 as filled_from, $7 as filled_company
    from ipai.mirrors
    where name = $1) n
where m.name = $1
    and (m.cursor, m.settled_id, m.shape, m.filled_as, m.filled_from, m.filled_company)
        is distinct from (n.cursor, n.settled_id, n.shape, n.filled_as, n.filled_from, n.filled_company)
