"""Tests the pages of a full run without the addon.

The run requests each page once, before it decodes the page before.
"""

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
    """The mirror reads pages of two records."""
    with FaultyOdoo(RECORDS) as server:
        supabase.server(server.url)
        supabase.register(page_size=2)
        yield server


def requested_after(erp: FaultyOdoo) -> list[Any]:
    """Returns the ids after which pages were requested."""
    assert all(request.domain[0][:2] == ["id", ">"] for request in erp.received("search_read"))
    return [request.domain[0][2] for request in erp.received("search_read")]


def is_equal(supabase: Supabase, run: dict[str, Any]) -> bool:
    rows = supabase.rows("select odoo_id, name from ipai.ipai_sample_metrics order by odoo_id")
    return run["delta"] == 0 and rows == [{"odoo_id": record["id"], "name": record["name"]} for record in RECORDS]


def test_each_page_is_requested_once(supabase: Supabase, erp: FaultyOdoo) -> None:
    assert is_equal(supabase, supabase.row(SYNC))
    assert requested_after(erp) == [0, 2, 4, 6]
    erp.wait_until_disconnected(2)


def misleading(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Adds another record's id at the end of the page, in a field that was not requested."""
    return [*records[:-1], {**records[-1], "x_place": {"id": 5}}]


def test_wrongly_predicted_page_costs_only_one_call(supabase: Supabase, erp: FaultyOdoo) -> None:
    erp.on("search_read", modified_value(misleading), times=1)
    assert is_equal(supabase, supabase.row(SYNC))
    erp.wait_until_disconnected(2)
    # The run may have requested the page after 5 before it decoded the first page.
    assert sorted(requested_after(erp)) in ([0, 2, 4, 6], [0, 2, 4, 5, 6])


def test_page_with_a_lost_response_is_requested_again(supabase: Supabase, erp: FaultyOdoo) -> None:
    erp.on("search_read", respond_normally, times=1)
    erp.on("search_read", close_connection, times=1)
    assert is_equal(supabase, supabase.row(SYNC))
    assert requested_after(erp) == [0, 2, 2, 4, 6]


def test_run_fails_if_no_record_has_a_valid_value(supabase: Supabase, erp: FaultyOdoo) -> None:
    erp.on("search_read", modified_value(lambda records: [{**record, "value": "much"} for record in records]))
    with pytest.raises(Exception, match=r'value of ipai\.sample\.metric id 1 field "value" does not fit'):
        supabase.row(SYNC)
    erp.wait_until_disconnected(2)
    erp.clear_faults()
    assert is_equal(supabase, supabase.row(SYNC))
