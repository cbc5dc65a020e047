-- Stores when an API key of the Odoo user expires, for all mirrors of a server.
update ipai.mirror_state s
set key_expires = $2
from ipai.mirrors m
where m.name = s.mirror and m.server = $1 and s.key_expires is distinct from $2
