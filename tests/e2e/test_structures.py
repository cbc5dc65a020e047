"""Tests binary fields of Odoo that hold structures instead, such as `tax_totals` of invoices."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest

from support.definitions import ScriptedOdoo, create_statement
from support.faulty import metric, recorded
from support.supabase import Supabase

pytestmark = pytest.mark.no_mirrors

TOTALS = {"subtotals": [{"name": "Untaxed", "amount": 1.5}], "currency": False}
CREATE = create_statement("metrics", "public.metrics", fields="name,tax_totals,picture")


@pytest.fixture
def erp(supabase: Supabase) -> Iterator[ScriptedOdoo]:
    """Most records have neither a structure nor a picture."""
    picture = base64.b64encode(b"picture").decode()
    records = [metric(number, tax_totals=False, picture=False) for number in range(1, 6)]
    records[2].update(tax_totals=TOTALS, picture=picture)
    with ScriptedOdoo(records) as server:
        server.extra_fields = {name: {"type": "binary", "store": False} for name in ("tax_totals", "picture")}
        supabase.server(server.url)
        yield server


def types(supabase: Supabase, statement: str) -> dict[str, Any]:
    return {row["field"]: row["column_type"] for row in supabase.rows(statement) if row["field"] in ("tax_totals", "picture")}


def test_computed_binary_with_structures_is_jsonb(supabase: Supabase, erp: ScriptedOdoo) -> None:
    assert types(supabase, CREATE) == {"tax_totals": "jsonb", "picture": "bytea"}
    for mode in ("full", "full"):
        run = supabase.sync("metrics", mode)
    assert run["unchanged"] == 5
    row = supabase.row("select tax_totals, picture from public.metrics where odoo_id = 3")
    assert (row["tax_totals"], bytes(row["picture"])) == (TOTALS, b"picture")


def test_structure_that_xml_rpc_cannot_carry_is_jsonb(supabase: Supabase, erp: ScriptedOdoo) -> None:
    erp.on("search_read", recorded("fault_method_returns_none"), times=2)
    assert types(supabase, CREATE) == {"tax_totals": "jsonb", "picture": "jsonb"}


def test_added_field_with_structures_is_jsonb(supabase: Supabase, erp: ScriptedOdoo) -> None:
    supabase.rows(create_statement("metrics", "public.metrics", fields="name"))
    added = types(supabase, "select * from ipai.refresh_mirror('metrics', add_fields => '{tax_totals,picture}') where status = 'added'")
    assert added == {"tax_totals": "jsonb", "picture": "bytea"}
