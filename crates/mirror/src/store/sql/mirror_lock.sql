-- Locks a mirror and its state until the end of the transaction.
select true
from ipai.mirrors m
join ipai.mirror_state s on s.mirror = m.name
where m.name = $1
for update
