"""Fixtures of the hostile tests: the actors that attack a run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.definitions import ScriptedOdoo
from support.faulty import metric
from support.hostile import Attacker, attacker_in, server_owner_in
from support.supabase import Supabase


@pytest.fixture
def attacker(supabase: Supabase) -> Iterator[Attacker]:
    with attacker_in(supabase) as attacker:
        yield attacker


@pytest.fixture
def server_owner(supabase: Supabase) -> Iterator[str]:
    """The name of a role that may create servers, and user mappings of other roles for them."""
    with server_owner_in(supabase) as name:
        yield name


@pytest.fixture
def erp(supabase: Supabase) -> Iterator[ScriptedOdoo]:
    """A scripted Odoo with six metrics, which the server `odoo` of postgres names."""
    with ScriptedOdoo([metric(number) for number in range(1, 7)]) as server:
        supabase.server(server.url)
        yield server
