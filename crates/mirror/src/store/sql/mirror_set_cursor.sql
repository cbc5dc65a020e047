-- Stores what a run reached that failed after it had read everything. Without a cursor ($2) the old
-- cursor stays. Without a token ($5) the old token stays, if it describes the same rows.
update ipai.mirror_state s
set cursor = coalesce($2, s.cursor), settled_id = case when $2 is null then s.settled_id else $3 end,
    fingerprint = $4, token = coalesce($5, case when s.fingerprint = $4 then s.token end)
where s.mirror = $1
