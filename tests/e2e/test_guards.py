"""What a run refuses to do, because a person should look first: another database behind the same address, and mass deletions."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg
import pytest

from harness.odoo import Odoo
from support.faulty import FaultyOdoo, fault, metric, respond_normally, returning, status
from support.reliability import Section
from support.supabase import Supabase

SECTION = Section("Guards")

ROWS = 150
RECORDS = [metric(number) for number in range(1, ROWS + 1)]
FIRST, SECOND = "2026-01-01 08:00:00", "2026-01-02 08:00:00"
RUN = "call ipai.run_sync('sample_metrics')"


@pytest.fixture
def erp() -> Iterator[FaultyOdoo]:
    """Without the addon."""
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
    told: str | None = supabase.row(f"select {at} as at from ipai.mirrors")["at"]
    return told


def refused(supabase: Supabase, statement: str) -> psycopg.Error:
    """The error of a statement that changes nothing."""
    before = rows(supabase)
    with pytest.raises(psycopg.Error) as raised:
        supabase.rows(statement)
    assert raised.value.sqlstate == "55000"
    assert rows(supabase) == before
    return raised.value


# Another database, without the addon ----------------------------------------------------------------------------------------------------


def same(_: FaultyOdoo) -> None:
    """Nothing but the company tells them apart."""


def newer(erp: FaultyOdoo) -> None:
    erp.records = [metric(number, name="Of another", write_date="2026-02-01 00:00:00") for number in range(1, 5)]


def older(erp: FaultyOdoo) -> None:
    erp.records = [metric(number, name="Of another", write_date="2025-02-01 00:00:00") for number in range(1, ROWS + 1)]


def fewer(erp: FaultyOdoo) -> None:
    """What the next run reads is as it was."""
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
    assert "'full', max_delete_ratio => 1" in str(error.diag.message_hint)
    assert company(filled) == FIRST
    # Back again it goes on.
    erp.company, erp.records = FIRST, RECORDS
    assert filled.run()["state"] == "succeeded"
    assert rows(filled) == before


def test_another_database_is_refused_by_a_sync_in_a_transaction(filled: Supabase, erp: FaultyOdoo) -> None:
    erp.company = SECOND
    for arguments in ("'sample_metrics'", "'sample_metrics', since => '2026-01-01'", "'sample_metrics', dry_run => true"):
        refused(filled, f"select * from ipai.sync_mirror({arguments})")


def test_nothing_is_noted_of_another_database(filled: Supabase, erp: FaultyOdoo) -> None:
    noted = "select drift, fingerprint, cursor, settled_id, filled_as, filled_from, filled_company from ipai.mirror_state"
    before = filled.rows(noted)
    erp.company = SECOND
    # It has none of the fields.
    erp.on("fields_get", returning({}))
    refused(filled, "call ipai.run_sync('sample_metrics', 'full')")
    assert filled.rows(noted) == before


def test_a_first_run_that_was_cut_is_not_gone_on_with_from_another(supabase: Supabase, erp: FaultyOdoo) -> None:
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
    # Who means the other one begins anew.
    erp.records = [metric(number, name="Of another") for number in range(1, 8)]
    run = supabase.run("'sample_metrics', 'full', max_delete_ratio => 1")
    assert (run["updated"], run["deleted"], company(supabase)) == (7, 43, SECOND)


@pytest.mark.parametrize("other", ["known to be another", "not known to be the same"])
def test_who_begins_anew_goes_on_with_nothing(supabase: Supabase, erp: FaultyOdoo, other: str) -> None:
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


def test_a_first_run_that_reads_nothing_binds_to_nothing(supabase: Supabase, erp: FaultyOdoo) -> None:
    supabase.server(erp.url)
    erp.on("search_read", status(500))
    with pytest.raises(psycopg.Error):
        supabase.rows(RUN)
    erp.clear_faults()
    erp.company = SECOND
    assert supabase.run()["inserted"] == ROWS
    assert company(supabase) == SECOND


def test_one_that_is_allowed_and_reads_nothing_binds_to_nothing(supabase: Supabase, erp: FaultyOdoo) -> None:
    supabase.server(erp.url)
    supabase.register(page_size=50)
    for good in (1, 0):
        # Of the first database a page comes, of the other none.
        erp.on("search_read", respond_normally, times=good)
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


def test_a_part_of_another_database_is_refused(filled: Supabase, erp: FaultyOdoo) -> None:
    erp.company = SECOND
    refused(filled, "select * from ipai.sync_mirror('sample_metrics', max_rows => 10, max_delete_ratio => 1)")


def test_a_quiet_run_that_meets_the_addon_forgets_nothing(filled: Supabase, erp: FaultyOdoo) -> None:
    erp.addon = True
    filled.rows("update ipai.odoo_logins set addon = true")
    filled.run()
    assert "export" in erp.take_calls()
    assert company(filled) == FIRST
    # Another one, without it.
    erp.addon, erp.company = False, SECOND
    newer(erp)
    refused(filled, "call ipai.run_sync('sample_metrics', 'incremental')")


@pytest.mark.parametrize("mode", ["auto", "incremental", "reconcile"])
def test_only_a_full_run_may_read_another_database(filled: Supabase, erp: FaultyOdoo, mode: str) -> None:
    erp.company = SECOND
    newer(erp)
    error = refused(filled, f"call ipai.run_sync('sample_metrics', '{mode}', max_delete_ratio => 1)")
    assert "'full', max_delete_ratio => 1" in str(error.diag.message_hint)


def test_the_question_does_not_count_for_the_size_of_pages(filled: Supabase, erp: FaultyOdoo) -> None:
    erp.records = [metric(number, notes="x" * 4_000, write_date="2026-02-01 00:00:00") for number in range(1, 5_200)]
    assert filled.run()["inserted"] == 5_199 - ROWS
    first, second = (request.kwargs["limit"] for request in erp.received("search_read"))
    # 10 MB a page.
    assert first == 5_000 and 1_000 < second < 3_000


def test_who_means_another_database_says_so(filled: Supabase, erp: FaultyOdoo) -> None:
    erp.company = SECOND
    erp.records = [metric(number, name="Of another") for number in range(1, 8)]
    run = filled.run("'sample_metrics', 'full', max_delete_ratio => 1")
    assert (run["updated"], run["deleted"]) == (7, ROWS - 7)
    assert company(filled) == SECOND
    assert filled.run("'sample_metrics', 'full'")["unchanged"] == 7
    erp.company = FIRST
    refused(filled, "call ipai.run_sync('sample_metrics', 'full')")


def test_a_run_with_changes_asks_once_more_and_one_without_does_not(filled: Supabase, erp: FaultyOdoo) -> None:
    for settled in ("settled_id", "null"):
        filled.rows(f"update ipai.mirror_state set settled_id = {settled}")
        erp.requests.clear()
        filled.run()
        assert erp.take_calls() == ["search_read", *["search_count"] * 3]
    erp.records = [metric(1, name="Edited", write_date="2026-02-01 00:00:00"), *RECORDS[1:]]
    assert filled.run()["updated"] == 1
    assert erp.take_calls()[:3] == ["search_read", "read", "search_count"]


@pytest.mark.parametrize("unreadable", ["an access error", "not there"])
def test_a_user_who_cannot_see_the_company_syncs_unguarded(supabase: Supabase, erp: FaultyOdoo, unreadable: str) -> None:
    erp.company = None if unreadable == "an access error" else ""
    supabase.server(erp.url)
    assert supabase.run()["inserted"] == ROWS
    assert company(supabase) is None
    erp.records = [metric(1, name="Edited", write_date="2026-02-01 00:00:00"), *RECORDS[1:]]
    erp.requests.clear()
    assert supabase.run()["updated"] == 1
    assert "read" not in erp.take_calls()
    # Once it is seen it counts.
    erp.company = FIRST
    supabase.run("'sample_metrics', 'full'")
    assert company(supabase) == FIRST
    # Known and not seen any more: nothing proves that it is another one.
    erp.company = None
    assert supabase.run("'sample_metrics', 'full'")["unchanged"] == ROWS
    assert company(supabase) == FIRST


def test_the_addon_comes_and_goes(filled: Supabase, erp: FaultyOdoo) -> None:
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
    # What was known of the one does not hold for the other.
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
def test_another_database_with_the_addon_or_without_it(supabase: Supabase, erp: FaultyOdoo, mode: str, addon: bool) -> None:
    erp.addon = addon
    supabase.server(erp.url)
    supabase.run()
    erp.addon, erp.company, erp.uuid = not addon, SECOND, "5f0a2f5e-0000-11f1-8000-00000000000f"
    newer(erp)
    refused(supabase, f"call ipai.run_sync('sample_metrics', '{mode}')")


def test_a_uuid_that_is_only_remembered_proves_nothing(supabase: Supabase, erp: FaultyOdoo) -> None:
    erp.addon = True
    supabase.server(erp.url)
    supabase.run()
    erp.company = SECOND
    newer(erp)
    erp.on("export", status(500))
    with pytest.raises(psycopg.Error):
        supabase.rows("call ipai.run_sync('sample_metrics', 'incremental')")
    erp.clear_faults()
    # The addon of the other one fails, so that its records come without it.
    erp.on("export", fault(4, "You are not allowed to"))
    refused(supabase, "call ipai.run_sync('sample_metrics', 'incremental')")


def test_a_real_odoo_tells_it_to_an_ordinary_user(supabase: Supabase, odoo: Odoo) -> None:
    login = "of the guards"
    if not odoo.rpc("res.users", "search_count", [("login", "=", login)]):
        odoo.create_user(login, "guards' password")
    supabase.server(odoo.url, user=login, password="guards' password", addon="false")
    supabase.run()
    (told,) = odoo.rpc("res.company", "read", [1], ["create_date"])
    assert company(supabase) == told["create_date"]


# Mass deletions -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("cause", "left"), [("record rules hide everything", 0), ("record rules hide most", 20), ("most are deleted", 20)])
@pytest.mark.parametrize("addon", [False, True])
def test_a_mass_deletion_is_refused(supabase: Supabase, erp: FaultyOdoo, cause: str, left: int, addon: bool) -> None:
    erp.addon = addon
    supabase.server(erp.url)
    supabase.run()
    erp.records = RECORDS[:left]
    with SECTION.trial(cause + (", with the addon" if addon else "")) as trial:
        error = refused(supabase, RUN)
        trial.record_outcome(error)
    assert f"refused to delete {ROWS - left} of the {ROWS} rows" in str(error)
    assert "max_delete_ratio => 1" in str(error.diag.message_hint)
    if cause == "most are deleted":
        assert supabase.run("'sample_metrics', max_delete_ratio => 1")["deleted"] == ROWS - left
    else:
        erp.records = RECORDS
        assert supabase.run()["mirror_count"] == ROWS


def test_another_user_who_sees_less_deletes_nothing(filled: Supabase, erp: FaultyOdoo) -> None:
    erp.login = "clerk"
    filled.rows("alter user mapping for postgres server odoo options (set user 'clerk')")
    erp.records = RECORDS[1:]
    with SECTION.trial("another login, which sees less") as trial:
        trial.record_outcome(refused(filled, RUN))


@pytest.mark.whole_file
def test_the_page_shows_what_was_found() -> None:
    SECTION.compare()
