"""Tests that a session that keeps a follower from its mirrors is named."""

from __future__ import annotations

import re

from harness import shell
from support.definitions import ScriptedOdoo, execute
from support.hostile import Attacker
from support.supabase import Supabase

FOLLOW = "call ipai.follow_sync(during => '2 seconds')"


def test_follower_names_the_session_that_holds_its_lock(supabase: Supabase, attacker: Attacker, erp: ScriptedOdoo) -> None:
    """Postgres has no privilege for advisory locks."""
    supabase.register()
    stranger = supabase.connect(attacker.name)
    execute(stranger, "select pg_advisory_lock(hashtext('ipai_sync follow'), hashtext('odoo'))")
    warned: list[tuple[str | None, str]] = []
    session = supabase.connect()
    session.add_notice_handler(lambda notice: warned.append((notice.message_primary, notice.message_hint or "")))
    execute(session, FOLLOW)
    # It says so once, and not with each poll.
    ((message, hint),) = warned
    assert message == 'another session follows Odoo server "odoo"'
    assert hint.startswith(f"Process {stranger.info.backend_pid} holds the lock as role {attacker.name}")
    assert erp.received("search_read") == [] and supabase.mirror() == []
    (end,) = re.findall(r"end it: (select .*;)$", hint)
    supabase.rows(end)
    shell.wait_until(lambda: not supabase.rows("select from pg_locks where locktype = 'advisory'"), "the lock to be free")
    execute(session, FOLLOW)
    assert len(warned) == 1 and len(supabase.mirror()) == 6
