"""Tests that a hostile Odoo gains nothing by what it says has changed."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from support.definitions import ScriptedOdoo
from support.faulty import Record, Request, encode_export, metric, result
from support.supabase import Supabase

RUN = "call ipai.run_sync('sample_metrics')"
RECORDS = [metric(number) for number in range(1, 301)]
NEW = metric(1, name="changed")
#: Answers for a mirror that reads these fields.
Answer = Callable[[list[str]], dict[str, Any]]


class Changing(ScriptedOdoo):
    """An Odoo with an addon that can tell what has changed."""

    def __init__(self) -> None:
        super().__init__(RECORDS)
        self.addon = True
        self.reply: Answer | bytes = lambda fields: {"state": "unknown", "token": "first"}

    def answer(self, request: Request) -> bytes:
        if (request.model, request.method) == ("ipai.sync", "info"):
            return result({"protocol": 1, "version": "1.0.0", "uuid": self.uuid, "changes": 1})
        if (request.model, request.method) != ("ipai.sync", "changes"):
            return super().answer(request)
        body = self.reply
        if not isinstance(body, bytes):
            ((_, _, fields, *_),) = json.loads(zlib.decompress(base64.b64decode(request.args[0])))
            body = json.dumps({"uuid": self.uuid, "mirrors": [body(fields)]}).encode()
        return result(base64.b64encode(zlib.compress(body)).decode())


def changed(ids: list[int], page: list[Record] | None = None, digest: list[Any] | None = None, token: str = "next") -> Answer:
    def answer(fields: list[str]) -> dict[str, Any]:
        numbers = [record["id"] for record in RECORDS]
        sums = digest or [len(numbers), str(sum(numbers)), str(sum(number**2 for number in numbers))]
        rows = page and encode_export(page, ["id", *fields], "5f0a2f5e-0000-11f1-8000-000000000001")
        return {"state": "changed", "token": token, "ids": ids, "page": rows, "digest": sums}

    return answer


def same(token: str) -> Answer:
    return lambda fields: {"state": "same", "token": token}


#: What Odoo answers, and the error of the run; without one, the run finds the changes by itself.
ANSWERS: dict[str, tuple[Answer | bytes, str | None]] = {
    "rows that were not listed": (changed([1], [NEW, metric(301)]), "08P01"),
    "ids that descend": (changed([2, 1], [metric(1), metric(2)]), "08P01"),
    "an id twice": (changed([1, 1], [metric(1), metric(1)]), "08P01"),
    "rows that no run deletes": (changed([-5, 0], [metric(-5), metric(0)]), "08P01"),
    "ids that no run compares": (changed([-5, 0, 1]), None),
    "an id that is no bigint": (changed([2**64]), None),
    "more ids than any page has": (changed([*range(1, 200_001)]), None),
    "a digest without a record": (changed([], digest=[0, "0", "0"]), None),
    "a sum that is SQL": (changed([1], [NEW], [300, "1; drop table ipai.mirrors", "1"]), "08P01"),
    "a sum beyond all ids": (changed([1], [NEW], [300, "9" * 60, "9" * 60]), "08P01"),
    "a token of 10 MB": (same("x" * 10_000_000), None),
    "a token with a null byte": (same("a\0b"), None),
    "what expands to 400 MB": (b" " * 400_000_000, "54000"),
    "nested lists": (b'{"uuid": null, "mirrors": ' + b"[" * 1_000_000, None),
}


@pytest.fixture
def erp(supabase: Supabase) -> Iterator[Changing]:
    with Changing() as erp:
        supabase.server(erp.url)
        supabase.register(page_size=100)
        supabase.run()
        assert supabase.rows("select token from ipai.mirror_state") == [{"token": "first"}]
        yield erp


@pytest.mark.parametrize("name", ANSWERS)
def test_hostile_changes_are_refused_or_ignored(supabase: Supabase, erp: Changing, name: str) -> None:
    erp.reply, expected = ANSWERS[name]
    found = None
    try:
        supabase.rows(RUN)
    except psycopg.Error as error:
        found = error.sqlstate
    assert found == expected
    rows = supabase.mirror("odoo_id, name")
    assert {row["odoo_id"] for row in rows} == {record["id"] for record in RECORDS}
    assert "changed" not in {row["name"] for row in rows}
    assert supabase.row("select max(length(token)) < 10 as short from ipai.run_log")["short"] is not False
    assert supabase.rows("select token from ipai.mirror_state where token not in ('first', 'next')") == []


def test_deletions_that_changes_report_pass_the_guard(supabase: Supabase, erp: Changing) -> None:
    erp.records = RECORDS[200:]
    erp.reply = changed([*range(1, 201)], digest=[100, str(sum(range(201, 301))), str(sum(number**2 for number in range(201, 301)))])
    with pytest.raises(psycopg.Error) as refused:
        supabase.rows(RUN)
    assert refused.value.sqlstate == "55000" and "refused to delete 200 of the 300 rows" in str(refused.value)
    assert len(supabase.mirror()) == 300
