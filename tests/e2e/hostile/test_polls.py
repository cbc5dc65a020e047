"""Tests that a hostile Odoo, and other roles, gain nothing while a follower is at work."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from support.changing import ChangingOdoo
from support.definitions import create_statement
from support.faulty import close_connection, metric
from support.hostile import Attacker, passwords_sent_to
from support.supabase import Supabase


@pytest.fixture
def erp(supabase: Supabase) -> Iterator[ChangingOdoo]:
    with ChangingOdoo(metric(number, notes="private") for number in range(1, 1001)) as erp:
        supabase.server(erp.url)
        supabase.register()
        supabase.run()
        yield erp


@contextmanager
def follower(supabase: Supabase, seconds: float) -> Iterator[Future[Any]]:
    """Follows all mirrors for this time, and waits for the end of it after the block."""
    with ThreadPoolExecutor(1) as executor:
        following = executor.submit(supabase.rows, f"call ipai.follow_sync(every => '0.2 seconds', during => '{seconds} seconds')")
        yield following
        following.result()


def follow_past(supabase: Supabase, erp: ChangingOdoo, event: Callable[[], object]) -> None:
    """Follows until Odoo has reported record 1 as changed; the event happens before it answers."""
    asked, has_happened = threading.Event(), threading.Event()

    def reply(fields: list[str]) -> dict[str, Any]:
        answer = erp.changed([1], fields)
        asked.set()
        assert has_happened.wait(20)
        # The follower ends with the run of this answer.
        time.sleep(1)
        return {**answer, "token": "first"}

    erp.reply = reply
    with follower(supabase, 1):
        assert asked.wait(10)
        event()
        has_happened.set()


def test_deletions_of_a_follower_raise_an_alert(supabase: Supabase, erp: ChangingOdoo) -> None:
    def reply(fields: list[str]) -> dict[str, Any]:
        gone = [record["id"] for record in erp.records[:90]] if len(erp.records) > 550 else []
        del erp.records[: len(gone)]
        return erp.changed(gone, fields)

    erp.reply = reply
    with follower(supabase, 4):
        pass
    assert len(supabase.mirror()) == len(erp.records) == 550
    assert supabase.rows("select kind from ipai.sync_alerts") == [{"kind": "deletions"}]


def test_answer_for_an_earlier_definition_is_not_used(supabase: Supabase, erp: ChangingOdoo) -> None:
    def redact() -> None:
        supabase.rows("""select ipai.alter_mirror('sample_metrics', masks => '{"notes": "redact"}')""")
        supabase.run("'sample_metrics', 'full'")

    follow_past(supabase, erp, redact)
    assert supabase.rows("select odoo_id from ipai.ipai_sample_metrics where notes is not null") == []


def test_answer_for_an_earlier_order_of_fields_changes_no_owner(supabase: Supabase, erp: ChangingOdoo) -> None:
    for record in erp.records:
        record.update(brand_id=1, store_id=2)
    supabase.rows(create_statement("owned", "ipai.owned", fields="write_date,active,name,store_id,brand_id"))
    supabase.run()

    def reorder() -> None:
        supabase.rows("select ipai.refresh_mirror('owned', drop_fields => '{store_id}')")
        supabase.rows("select ipai.refresh_mirror('owned', add_fields => '{store_id}')")
        supabase.run("'owned', 'full'")

    supabase.rows("update ipai.mirrors set enabled = name = 'owned'")
    follow_past(supabase, erp, reorder)
    assert supabase.rows("select distinct brand_id, store_id from ipai.owned") == [{"brand_id": 1, "store_id": 2}]


def test_definition_that_changes_during_a_poll_takes_effect(supabase: Supabase, erp: ChangingOdoo) -> None:
    erp.missing_fields = {"write_date"}
    supabase.rows(create_statement("dateless", "ipai.dateless", fields="name,notes"))
    supabase.run("'dateless'")
    supabase.rows("update ipai.mirrors set enabled = name = 'dateless'")
    follow_past(supabase, erp, lambda: supabase.rows("""select ipai.alter_mirror('dateless', masks => '{"notes": "redact"}')"""))
    supabase.run("'dateless'")
    assert supabase.rows("select odoo_id from ipai.dateless where notes is not null") == []


def test_page_is_not_used_after_a_field_has_gone(supabase: Supabase, erp: ChangingOdoo) -> None:
    supabase.rows(create_statement("owned", "ipai.owned", fields="write_date,active,name,store_id,brand_id"))
    supabase.run("'owned'")
    erp.records[0].update(name="changed", brand_id=1, store_id=2)
    # To compare the ids, the run reads this record without the field.
    erp.records.append(metric(1001))

    def reply(fields: list[str]) -> dict[str, Any]:
        answer = erp.changed([1], fields)
        erp.missing_fields = {"store_id"}
        return answer

    erp.reply = reply
    assert supabase.sync("owned")["mirror_count"] == 1001
    assert supabase.row("select name, brand_id from ipai.owned where odoo_id = 1") == {"name": "changed", "brand_id": 1}


def test_odoo_that_does_not_answer_is_not_live(supabase: Supabase, erp: ChangingOdoo) -> None:
    polled = "select polled_at, problem is not null as has_problem from ipai.followers"
    with follower(supabase, 24):
        time.sleep(2)
        erp.on(None, close_connection)
        before = supabase.row(polled)["polled_at"]
    assert supabase.row(polled) == {"polled_at": before, "has_problem": True}


def test_follower_learns_a_new_password(supabase: Supabase, erp: ChangingOdoo) -> None:
    with follower(supabase, 12):
        time.sleep(2)
        erp.password = "changed"
        time.sleep(1)
        polls = erp.polls
        supabase.rows("select ipai.set_odoo_password('odoo', 'changed')")
    assert erp.polls > polls


def test_follower_sends_no_secret_to_a_changed_server(supabase: Supabase, erp: ChangingOdoo) -> None:
    with ChangingOdoo(erp.records) as other:
        with follower(supabase, 5):
            time.sleep(2)
            supabase.rows(f"alter server odoo options (set url '{other.url}')")
            erp.reply = lambda fields: erp.changed([1], fields)
        assert passwords_sent_to(other) == set()
    assert supabase.last_run()["sqlstate"] == "42501"


def test_follower_runs_no_code_of_the_new_owner_of_a_table(supabase: Supabase, erp: ChangingOdoo, attacker: Attacker) -> None:
    supabase.add_mirror("other")
    supabase.run("'other'")
    supabase.cluster.psql(f"grant usage on schema ipai to {attacker.name}")
    with attacker.planted_calls() as roles, follower(supabase, 6):
        time.sleep(2)
        supabase.cluster.psql(f"alter table ipai.other_rows owner to {attacker.name}")
        attacker.sql("create trigger planted before insert or update on ipai.other_rows for each row execute function lair.trigger()")
        attacker.sql("grant all on ipai.other_rows to postgres")
        erp.records[0]["name"] = "changed"
        erp.reply = lambda fields: erp.changed([1], fields)
    supabase.cluster.psql(f"revoke usage on schema ipai from {attacker.name}")
    assert roles == []
    assert supabase.last_run("other")["sqlstate"] == "42501"
