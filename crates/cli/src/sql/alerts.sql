select a.severity, a.kind, a.mirror, date_trunc('second', a.since) as since, a.message, ipai.command_hint(a.hint, true) as hint
from ipai.sync_alerts a
