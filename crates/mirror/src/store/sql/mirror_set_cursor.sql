-- Stores what a run reached that failed after it had read everything. Without a cursor ($2) the old
-- cursor stays.
update ipai.mirror_state s
set cursor = coalesce($2, s.cursor), settled_id = case when $2 is null then s.settled_id else $3 end,
    fingerprint = $4
where s.mirror = $1
