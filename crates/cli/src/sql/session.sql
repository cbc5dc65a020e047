-- Settings of a session that runs mirrors. If the machine of the program vanishes, the server ends
-- the session with its locks within a minute; behind a pooler that keeps it, within an hour.
select pg_catalog.set_config(s.name, s.value, false)
from (values
    ('idle_session_timeout', '1h'),
    ('tcp_keepalives_idle', '30s'),
    ('tcp_keepalives_interval', '10s'),
    ('tcp_keepalives_count', '3'),
    ('tcp_user_timeout', '60s')) s (name, value)
