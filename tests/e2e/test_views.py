"""Tests which models of Odoo are refused because they are views of other models."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.definitions import ScriptedOdoo, create_statement, expect_error
from support.faulty import MODEL, FaultyOdoo, metric, recorded, returning
from support.supabase import Supabase

pytestmark = pytest.mark.no_mirrors

CREATE = create_statement("metrics", "public.metrics", fields="name,value")
HISTORY = {"create_date", "create_uid", "write_date", "write_uid"}


@pytest.fixture
def erp(supabase: Supabase) -> Iterator[ScriptedOdoo]:
    """A model without history and required fields, of which the user may create no records."""
    with ScriptedOdoo([metric(1)]) as server:
        server.missing_fields = set(HISTORY)
        server.extra_fields = {name: {"required": False} for name in ("name", "code", "value", "unit")}
        server.on("has_access", returning(False))
        supabase.server(server.url)
        yield server


def test_model_that_seems_to_be_a_view_is_refused(supabase: Supabase, erp: ScriptedOdoo) -> None:
    found = expect_error(supabase, CREATE)
    assert (found.sqlstate, found.message_primary) == (
        "22023",
        f'model "{MODEL}" cannot be mirrored: it seems to be a view of other models',
    )
    assert "no history" in (found.message_detail or "") and "addon ipai_sync" in (found.message_hint or "")


@pytest.mark.parametrize("evidence", ["history", "required", "create"])
def test_table_is_recognized_without_the_addon(supabase: Supabase, erp: ScriptedOdoo, evidence: str) -> None:
    match evidence:
        case "history":
            erp.missing_fields = set()
        case "required":
            erp.extra_fields["name"] = {"required": True}
        case "create":
            erp.clear_faults()
            erp.on("has_access", returning(True))
    supabase.rows(CREATE)
    assert [call for call in erp.take_calls() if call == "has_access"] == ["has_access"] * (evidence == "create")


@pytest.mark.parametrize("is_table", [True, False])
def test_addon_tells_a_table_from_a_view(supabase: Supabase, erp: ScriptedOdoo, is_table: bool) -> None:
    erp.addon = True
    erp.on("has_table", returning(is_table))
    if is_table:
        supabase.rows(CREATE)
    else:
        # Required fields do not change the answer.
        erp.extra_fields["name"] = {"required": True}
        found = expect_error(supabase, CREATE)
        assert found.message_primary == f'model "{MODEL}" cannot be mirrored: it is a view of other models'
        assert "addon" not in (found.message_hint or "")
    assert erp.received("has_access") == []


def test_earlier_addon_that_cannot_tell_is_not_an_error(supabase: Supabase, erp: ScriptedOdoo) -> None:
    erp.addon = True
    erp.on("has_table", recorded("fault_missing_method"))
    assert "seems to be a view" in (expect_error(supabase, CREATE).message_primary or "")


def test_values_of_the_present_time_are_written_by_full_runs_only(supabase: Supabase) -> None:
    """As a view computes them: they differ in each answer, and no write date shows it."""
    with FaultyOdoo([metric(n, write_date="2026-01-01 00:00:00") for n in (1, 2)]) as erp:
        supabase.server(erp.url)
        supabase.register()
        supabase.run()
        # The incremental runs read the newest record again.
        for mode, written in (("incremental", 1), ("full", 2), ("incremental", 1), ("full", 2)):
            for record in erp.records:
                record["value"] += 1
            run = supabase.run(f"'sample_metrics', '{mode}'")
            assert (run["mode"], run["updated"], run["odoo_count"]) == (mode, written, 2)
    assert [row["kind"] for row in supabase.rows("select kind from ipai.sync_alerts")] == []
