-- Stores what a complete run reached. Without a cursor ($2) the old cursor stays. Without a token
-- ($8) the old token stays, if it describes the same rows.
update ipai.mirror_state s
set cursor = n.cursor,
    settled_id = n.settled_id,
    fingerprint = $3,
    filled_as = $4,
    filled_from = $5,
    filled_company = $7,
    token = n.token
from (
    select coalesce($2, cursor) as cursor, case when $2 is null then settled_id else $6 end as settled_id,
        coalesce($8, case when (fingerprint, filled_as) = ($3, $4) then token end) as token
    from ipai.mirror_state
    where mirror = $1) n
where s.mirror = $1
    and (s.cursor, s.settled_id, s.fingerprint, s.filled_as, s.filled_from, s.filled_company, s.token)
        is distinct from (n.cursor, n.settled_id, $3, $4, $5, $7, n.token)
