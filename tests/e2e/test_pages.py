"""The pages of a full run without the addon: each is asked for once, before the one before it is decoded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from support.faulty import FaultyOdoo, close_connection, metric, modified_value, respond_normally
from support.supabase import Supabase

SYNC = "select * from ipai.sync_sample_metrics()"
RECORDS = [metric(number) for number in range(1, 7)]


@pytest.fixture
def erp(supabase: Supabase) -> Iterator[FaultyOdoo]:
    """Pages have two records."""
    with FaultyOdoo(RECORDS) as server:
        supabase.server(server.url)
        supabase.register(page_size=2)
        yield server


def asked_after(erp: FaultyOdoo) -> list[Any]:
    """The ids that pages were asked to begin behind."""
    assert all(request.domain[0][:2] == ["id", ">"] for request in erp.received("search_read"))
    return [request.domain[0][2] for request in erp.received("search_read")]


def in_step(supabase: Supabase, run: dict[str, Any]) -> bool:
    rows = supabase.rows("select odoo_id, name from ipai.ipai_sample_metrics order by odoo_id")
    return run["delta"] == 0 and rows == [{"odoo_id": record["id"], "name": record["name"]} for record in RECORDS]


def test_each_page_is_asked_for_once(supabase: Supabase, erp: FaultyOdoo) -> None:
    assert in_step(supabase, supabase.row(SYNC))
    assert asked_after(erp) == [0, 2, 4, 6]
    erp.wait_until_disconnected(2)


def misleading(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The last record ends with the id of something else, in a field that nobody asked for."""
    return [*records[:-1], {**records[-1], "x_place": {"id": 5}}]


def test_a_wrong_guess_costs_one_call_and_nothing_else(supabase: Supabase, erp: FaultyOdoo) -> None:
    erp.on("search_read", modified_value(misleading), times=1)
    assert in_step(supabase, supabase.row(SYNC))
    erp.wait_until_disconnected(2)
    # Behind 5 is what the first page seemed to end with, where that was under way before it was given up.
    assert sorted(asked_after(erp)) in ([0, 2, 4, 6], [0, 2, 4, 5, 6])


def test_a_page_whose_call_is_cut_is_asked_for_again(supabase: Supabase, erp: FaultyOdoo) -> None:
    erp.on("search_read", respond_normally, times=1)
    erp.on("search_read", close_connection, times=1)
    assert in_step(supabase, supabase.row(SYNC))
    assert asked_after(erp) == [0, 2, 2, 4, 6]


def test_what_was_asked_for_ahead_is_given_up_with_a_page_that_is_wrong(supabase: Supabase, erp: FaultyOdoo) -> None:
    erp.on("search_read", modified_value(lambda records: [{**record, "value": "much"} for record in records]), times=1)
    with pytest.raises(Exception, match=r'value of ipai\.sample\.metric id 1 field "value" does not fit'):
        supabase.row(SYNC)
    erp.wait_until_disconnected(2)
    assert asked_after(erp) in ([0], [0, 2])
    assert in_step(supabase, supabase.row(SYNC))
