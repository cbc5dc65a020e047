"""Tests that a run refuses another database at the same address, and mass deletions."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg
import pytest

from harness.odoo import Odoo
from support.faulty import FaultyOdoo, fault, metric, respond_normally, returning, status
from support.reliability import Section
from support.supabase import Supabase

pytestmark = pytest.mark.both_hosts

SECTION = Section("Guards")

ROWS = 150
RECORDS = [metric(number) for number in range(1, ROWS + 1)]
FIRST, SECOND = "2026-01-01 08:00:00", "2026-01-02 08:00:00"
RUN = "call ipai.run_sync('sample_metrics')"
#: The call that the hint recommends.
CONFIRM = "call ipai.run_sync('sample_metrics', 'full', max_delete_ratio => 1)"


@pytest.fixture
def erp() -> Iterator[FaultyOdoo]:
    """A scripted Odoo without the addon."""
    with FaultyOdoo(RECORDS) as server:
        yield server


@pytest.fixture
def filled(supabase: Supabase, erp: FaultyOdoo) -> Supabase:
    supabase.server(erp.url)
    supabase.run()
    erp.requests.clear()
    return supabase


def rows(supabase: Supabase) -> list[dict[str, object]]:
    return supabase.mirror("odoo_id, xmin::text, ctid::text")


def company(supabase: Supabase) -> str | None:
    at = "to_char(filled_company at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS')"
    created: str | None = supabase.row(f"select {at} as at from ipai.mirror_state")["at"]
    return created


def refused(supabase: Supabase, statement: str) -> psycopg.Error:
    """Runs a statement that must fail without changing a row, and returns its error."""
    before = rows(supabase)
    with pytest.raises(psycopg.Error) as raised:
        supabase.rows(statement)
    assert raised.value.sqlstate == "55000"
    assert rows(supabase) == before
    return raised.value


# Another database, without the addon --------------------------------------------------------------


def same(_: FaultyOdoo) -> None:
    """Only the company differs between the databases."""


def newer(erp: FaultyOdoo) -> None:
    erp.records = [metric(number, name="Of another", write_date="2026-02-01 00:00:00") for number in range(1, 5)]


def older(erp: FaultyOdoo) -> None:
    erp.records = [metric(number, name="Of another", write_date="2025-02-01 00:00:00") for number in range(1, ROWS + 1)]


def fewer(erp: FaultyOdoo) -> None:
    """The records that the next incremental run reads are unchanged."""
    erp.records = RECORDS[ROWS // 2 :]


def no(erp: FaultyOdoo) -> None:
    erp.records = []


@pytest.mark.parametrize("settled", [False, True])
@pytest.mark.parametrize(
    ("other", "mode"),
    [(same, "full"), (same, "reconcile"), (newer, "incremental"), (older, "incremental"), (fewer, "incremental"), (no, "incremental")],
)
def test_another_database_is_refused(
    filled: Supabase, erp: FaultyOdoo, other: Callable[[FaultyOdoo], None], mode: str, settled: bool
) -> None:
    assert company(filled) == FIRST
    assert filled.row("select settled_id from ipai.mirror_state") == {"settled_id": ROWS}
    if not settled:
        filled.rows("update ipai.mirror_state set settled_id = null")
    before = rows(filled)
    erp.company = SECOND
    other(erp)
    what = f"another database at the same address ({other.__name__} records), {mode} run"
    with SECTION.trial(what + (", settled" if settled else "")) as trial:
        error = refused(filled, f"call ipai.run_sync('sample_metrics', '{mode}')")
        trial.record_outcome(error)
    assert str(error.diag.message_primary) == 'Odoo\'s database is not the one that mirror "sample_metrics" was filled from'
    assert "first company" in str(error.diag.message_detail)
    assert filled.hint(CONFIRM) in str(error.diag.message_hint)
    assert company(filled) == FIRST
    # After the return of the first database, runs succeed again.
    erp.company, erp.records = FIRST, RECORDS
    assert filled.run()["state"] == "succeeded"
    assert rows(filled) == before


def test_sync_in_a_transaction_refuses_another_database(filled: Supabase, erp: FaultyOdoo) -> None:
    erp.company = SECOND
    for arguments in ("'sample_metrics'", "'sample_metrics', since => '2026-01-01'", "'sample_metrics', dry_run => true"):
        refused(filled, f"select * from ipai.sync_mirror({arguments})")


def test_refused_run_records_nothing_of_another_database(filled: Supabase, erp: FaultyOdoo) -> None:
    state = "select drift, fingerprint, cursor, settled_id, filled_as, filled_from, filled_company from ipai.mirror_state"
    before = filled.rows(state)
    erp.company = SECOND
    # The other database has none of the fields.
    erp.on("fields_get", returning({}))
    refused(filled, "call ipai.run_sync('sample_metrics', 'full')")
    assert filled.rows(state) == before


def test_first_run_is_not_resumed_from_another_database(supabase: Supabase, erp: FaultyOdoo) -> None:
    supabase.server(erp.url)
    supabase.register(page_size=50)
    erp.on("search_read", respond_normally, times=1)
    erp.on("search_read", status(500))
    with pytest.raises(psycopg.Error):
        supabase.rows(RUN)
    assert len(rows(supabase)) == 50
    erp.clear_faults()
    erp.company = SECOND
    refused(supabase, RUN)
    # max_delete_ratio => 1 confirms the other database, and the run starts from the beginning.
    erp.records = [metric(number, name="Of another") for number in range(1, 8)]
    run = supabase.run("'sample_metrics', 'full', max_delete_ratio => 1")
    assert (run["updated"], run["deleted"], company(supabase)) == (7, 43, SECOND)


@pytest.mark.parametrize("other", ["known to be another", "not known to be the same"])
def test_confirmed_database_change_does_not_resume_a_run(supabase: Supabase, erp: FaultyOdoo, other: str) -> None:
    supabase.server(erp.url)
    supabase.register(page_size=50)
    if other == "not known to be the same":
        erp.addon, erp.company = True, None
    erp.on("export" if erp.addon else "search_read", respond_normally, times=1)
    erp.on("export" if erp.addon else "search_read", status(500))
    erp.on("search_read", status(500))
    with pytest.raises(psycopg.Error):
        supabase.rows(RUN)
    assert len(rows(supabase)) == 50
    erp.clear_faults()
    erp.addon, erp.company = False, SECOND
    erp.records = [metric(number, name="Of another") for number in range(1, 8)]
    run = supabase.run("'sample_metrics', max_delete_ratio => 1")
    assert (run["mode"], run["resumes"], run["updated"], run["deleted"], company(supabase)) == ("full", None, 7, 43, SECOND)


def test_failed_run_without_a_page_does_not_bind_the_database(supabase: Supabase, erp: FaultyOdoo) -> None:
    supabase.server(erp.url)
    erp.on("search_read", status(500))
    with pytest.raises(psycopg.Error):
        supabase.rows(RUN)
    erp.clear_faults()
    erp.company = SECOND
    assert supabase.run()["inserted"] == ROWS
    assert company(supabase) == SECOND


def test_confirmed_run_without_a_page_does_not_bind_the_database(supabase: Supabase, erp: FaultyOdoo) -> None:
    supabase.server(erp.url)
    supabase.register(page_size=50)
    for pages in (1, 0):
        # The first run reads a page of the first database, and the second run reads none of the
        # other.
        erp.on("search_read", respond_normally, times=pages)
        erp.on("search_read", status(500))
        with pytest.raises(psycopg.Error):
            supabase.rows("call ipai.run_sync('sample_metrics', 'full', max_delete_ratio => 1)")
        erp.clear_faults()
        assert company(supabase) == FIRST
        erp.company = SECOND
    refused(supabase, RUN)
    erp.company = FIRST
    supabase.run()
    assert supabase.row("select count(*) as rows from ipai.ipai_sample_metrics") == {"rows": ROWS}


def test_sync_with_max_rows_refuses_another_database(filled: Supabase, erp: FaultyOdoo) -> None:
    erp.company = SECOND
    refused(filled, "select * from ipai.sync_mirror('sample_metrics', max_rows => 10, max_delete_ratio => 1)")


def test_run_with_the_addon_keeps_the_known_company(filled: Supabase, erp: FaultyOdoo) -> None:
    erp.addon = True
    filled.rows("update ipai.odoo_logins set addon = true")
    filled.run()
    assert "export" in erp.take_calls()
    assert company(filled) == FIRST
    # Then another database without the addon answers.
    erp.addon, erp.company = False, SECOND
    newer(erp)
    refused(filled, "call ipai.run_sync('sample_metrics', 'incremental')")


@pytest.mark.parametrize("mode", ["auto", "incremental", "reconcile"])
def test_only_a_full_run_can_confirm_another_database(filled: Supabase, erp: FaultyOdoo, mode: str) -> None:
    erp.company = SECOND
    newer(erp)
    error = refused(filled, f"call ipai.run_sync('sample_metrics', '{mode}', max_delete_ratio => 1)")
    assert filled.hint(CONFIRM) in str(error.diag.message_hint)


def test_identity_check_does_not_affect_the_page_size(filled: Supabase, erp: FaultyOdoo) -> None:
    erp.records = [metric(number, notes="x" * 4_000, write_date="2026-02-01 00:00:00") for number in range(1, 5_200)]
    assert filled.run()["inserted"] == 5_199 - ROWS
    first, second = (request.kwargs["limit"] for request in erp.received("search_read"))
    # A page has about 10 MB.
    assert first == 5_000 and 1_000 < second < 3_000


def test_max_delete_ratio_of_one_confirms_another_database(filled: Supabase, erp: FaultyOdoo) -> None:
    erp.company = SECOND
    erp.records = [metric(number, name="Of another") for number in range(1, 8)]
    run = filled.run("'sample_metrics', 'full', max_delete_ratio => 1")
    assert (run["updated"], run["deleted"]) == (7, ROWS - 7)
    assert company(filled) == SECOND
    assert filled.run("'sample_metrics', 'full'")["unchanged"] == 7
    erp.company = FIRST
    refused(filled, "call ipai.run_sync('sample_metrics', 'full')")


def test_run_verifies_the_database_only_if_records_changed(filled: Supabase, erp: FaultyOdoo) -> None:
    for settled in ("settled_id", "null"):
        filled.rows(f"update ipai.mirror_state set settled_id = {settled}")
        erp.requests.clear()
        filled.run()
        assert erp.take_calls() == ["search_read", "search_count"]
    erp.records = [metric(1, name="Edited", write_date="2026-02-01 00:00:00"), *RECORDS[1:]]
    assert filled.run()["updated"] == 1
    assert erp.take_calls()[:3] == ["search_read", "read", "search_count"]


@pytest.mark.parametrize("unreadable", ["an access error", "not there"])
def test_user_without_access_to_the_company_syncs_unverified(supabase: Supabase, erp: FaultyOdoo, unreadable: str) -> None:
    erp.company = None if unreadable == "an access error" else ""
    supabase.server(erp.url)
    assert supabase.run()["inserted"] == ROWS
    assert company(supabase) is None
    erp.records = [metric(1, name="Edited", write_date="2026-02-01 00:00:00"), *RECORDS[1:]]
    erp.requests.clear()
    assert supabase.run()["updated"] == 1
    assert "read" not in erp.take_calls()
    # Once the user can see the company, it identifies the database.
    erp.company = FIRST
    supabase.run("'sample_metrics', 'full'")
    assert company(supabase) == FIRST
    # If the user can no longer see the company, the database is not refused.
    erp.company = None
    assert supabase.run("'sample_metrics', 'full'")["unchanged"] == ROWS
    assert company(supabase) == FIRST


def test_addon_is_installed_and_removed(filled: Supabase, erp: FaultyOdoo) -> None:
    def known() -> tuple[str | None, str | None]:
        return filled.row("select filled_from as uuid from ipai.mirror_state")["uuid"], company(filled)

    assert known() == (None, FIRST)
    erp.addon = True
    filled.run("'sample_metrics', 'full'")
    assert known() == (erp.uuid, FIRST)
    erp.addon = False
    filled.run("'sample_metrics', 'full'")
    assert known() == (erp.uuid, FIRST)
    erp.company = SECOND
    refused(filled, "call ipai.run_sync('sample_metrics', 'full')")
    # Values known of the first database do not apply to the other.
    filled.run("'sample_metrics', 'full', max_delete_ratio => 1")
    assert known() == (None, SECOND)
    erp.addon = True
    filled.run("'sample_metrics', 'full'")
    assert known() == (erp.uuid, SECOND)
    erp.uuid = "5f0a2f5e-0000-11f1-8000-00000000000f"
    filled.run("'sample_metrics', 'full', max_delete_ratio => 1")
    assert known() == (erp.uuid, SECOND)


@pytest.mark.parametrize("mode", ["full", "incremental", "reconcile"])
@pytest.mark.parametrize("addon", [False, True])
def test_another_database_is_refused_if_the_addon_differs(supabase: Supabase, erp: FaultyOdoo, mode: str, addon: bool) -> None:
    erp.addon = addon
    supabase.server(erp.url)
    supabase.run()
    erp.addon, erp.company, erp.uuid = not addon, SECOND, "5f0a2f5e-0000-11f1-8000-00000000000f"
    newer(erp)
    refused(supabase, f"call ipai.run_sync('sample_metrics', '{mode}')")


def test_remembered_uuid_does_not_verify_the_database(supabase: Supabase, erp: FaultyOdoo) -> None:
    erp.addon = True
    supabase.server(erp.url)
    supabase.run()
    erp.company = SECOND
    newer(erp)
    erp.on("export", status(500))
    with pytest.raises(psycopg.Error):
        supabase.rows("call ipai.run_sync('sample_metrics', 'incremental')")
    erp.clear_faults()
    # The other database's addon fails, so the run reads its records without the addon.
    erp.on("export", fault(4, "You are not allowed to"))
    refused(supabase, "call ipai.run_sync('sample_metrics', 'incremental')")


def test_ordinary_user_of_a_real_odoo_reads_the_company(supabase: Supabase, odoo: Odoo) -> None:
    login = "of the guards"
    if not odoo.rpc("res.users", "search_count", [("login", "=", login)]):
        odoo.create_user(login, "guards' password")
    supabase.server(odoo.url, user=login, password="guards' password", addon="false")
    supabase.run()
    (company_1,) = odoo.rpc("res.company", "read", [1], ["create_date"])
    assert company(supabase) == company_1["create_date"]


# Mass deletions -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("cause", "left"), [("record rules hide everything", 0), ("record rules hide most", 20), ("most are deleted", 20)])
@pytest.mark.parametrize("addon", [False, True])
def test_mass_deletion_is_refused(supabase: Supabase, erp: FaultyOdoo, cause: str, left: int, addon: bool) -> None:
    erp.addon = addon
    supabase.server(erp.url)
    supabase.run()
    erp.records = RECORDS[:left]
    with SECTION.trial(cause + (", with the addon" if addon else "")) as trial:
        error = refused(supabase, RUN)
        trial.record_outcome(error)
    assert f"refused to delete {ROWS - left} of the {ROWS} rows" in str(error)
    assert supabase.hint("max_delete_ratio => 1") in str(error.diag.message_hint)
    if cause == "most are deleted":
        assert supabase.run("'sample_metrics', max_delete_ratio => 1")["deleted"] == ROWS - left
    else:
        erp.records = RECORDS
        assert supabase.run()["mirror_count"] == ROWS


def test_run_of_another_user_who_sees_less_is_refused(filled: Supabase, erp: FaultyOdoo) -> None:
    erp.login = "clerk"
    filled.set_login("clerk")
    erp.records = RECORDS[1:]
    with SECTION.trial("another login that sees fewer records") as trial:
        trial.record_outcome(refused(filled, RUN))


@pytest.mark.whole_file
def test_page_matches_the_recorded_outcomes() -> None:
    SECTION.compare()
