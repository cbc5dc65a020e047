-- Disables a mirror with reported alerts, so that they are cleared.
update ipai.mirrors m
set enabled = false
where m.name = $1 and exists (select 1 from ipai.mirror_state s where s.mirror = m.name and s.alerts <> '{}')
