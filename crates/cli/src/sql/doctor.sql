select d."check", d.object, d.state, d.finding, ipai.command_hint(d.remedy, true) as remedy
from ipai.doctor() d
