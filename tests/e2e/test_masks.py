"""Tests that masked fields never reach the table, and still join."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from typing import Any

import pytest

from support.definitions import ScriptedOdoo, create_statement, expect_error
from support.faulty import MODEL, metric
from support.supabase import Supabase

pytestmark = pytest.mark.no_mirrors

TABLE = "public.metrics"
NOTES: list[str | bool] = ["ann@example.com", "bob@example.com", "ann@example.com", False, ""]
MASKS = '{"notes": "hmac", "code": "redact", "brand_id": "redact"}'
CREATE = create_statement("metrics", TABLE, fields="name,notes,code,brand_id", more=f", masks => '{MASKS}'")


@pytest.fixture(params=["plain", "addon"])
def erp(supabase: Supabase, request: pytest.FixtureRequest) -> Iterator[ScriptedOdoo]:
    with ScriptedOdoo([metric(number, notes=notes, brand_id=7) for number, notes in enumerate(NOTES, 1)]) as server:
        server.addon = request.param == "addon"
        supabase.server(server.url)
        yield server


def set_key(supabase: Supabase, key: str) -> None:
    supabase.rows("delete from vault.secrets where name = 'ipai_mask_key'")
    supabase.rows("select vault.create_secret(%s, 'ipai_mask_key')", key)


@pytest.fixture
def masked(supabase: Supabase, erp: ScriptedOdoo) -> Supabase:
    set_key(supabase, "first key")
    supabase.rows(CREATE)
    assert supabase.sync("metrics")["inserted"] == len(NOTES)
    return supabase


def rows(supabase: Supabase) -> list[dict[str, Any]]:
    return supabase.rows(f"select name, notes, code, brand_id from {TABLE} order by odoo_id")


def expected(key: str) -> list[dict[str, Any]]:
    def mask(text: str | bool) -> str | None:
        return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest() if isinstance(text, str) else None

    return [{"name": f"Metric {number}", "notes": mask(text), "code": None, "brand_id": None} for number, text in enumerate(NOTES, 1)]


def test_masked_values_are_stored_as_hmac_or_null(masked: Supabase) -> None:
    assert rows(masked) == expected("first key")
    assert masked.sync("metrics", "full")["unchanged"] == len(NOTES)
    assert masked.row("select masks from ipai.mirrors")["masks"] == {"notes": "hmac", "code": "redact", "brand_id": "redact"}


def test_change_of_masks_or_of_the_key_rewrites_all_rows(masked: Supabase) -> None:
    assert masked.sync("metrics")["mode"] == "incremental"
    set_key(masked, "second key")
    assert (masked.sync("metrics")["mode"], rows(masked)) == ("full", expected("second key"))
    masked.rows("""select ipai.alter_mirror('metrics', masks => '{"code": "redact"}')""")
    assert masked.sync("metrics")["mode"] == "full"
    found = rows(masked)
    assert [row["notes"] for row in found] == [None if notes is False else notes for notes in NOTES]
    assert {(row["code"], row["brand_id"]) for row in found} == {(None, 7)}
    masked.rows("select ipai.alter_mirror('metrics', masks => '{}')")
    masked.sync("metrics")
    assert {row["code"] for row in rows(masked)} == {"METRIC"}


def test_missing_key_is_an_error_with_the_statement(supabase: Supabase, erp: ScriptedOdoo) -> None:
    found = expect_error(supabase, CREATE)
    assert (found.sqlstate, found.message_primary) == ("42704", 'Vault has no secret named "ipai_mask_key", the key of the mask hmac')
    assert supabase.rows("select from ipai.mirrors") == []
    supabase.rows(found.message_hint or "")
    supabase.rows(CREATE)
    supabase.sync("metrics")
    supabase.rows("delete from vault.secrets where name = 'ipai_mask_key'")
    before = rows(supabase)
    assert expect_error(supabase, "call ipai.run_sync('metrics')").sqlstate == "42704"
    assert (supabase.last_run("metrics")["state"], rows(supabase)) == ("failed", before)


@pytest.mark.parametrize(
    ("masks", "words"),
    [
        ('{"notes": "rot13"}', "not valid"),
        ('["notes"]', "not valid"),
        ('{"nope": "hmac"}', "not mirrored"),
        ('{"brand_id": "hmac"}', "cannot hold an HMAC"),
        ('{"active": "redact"}', "counts its values"),
    ],
)
def test_invalid_masks_are_refused(masked: Supabase, masks: str, words: str) -> None:
    found = expect_error(masked, "select ipai.alter_mirror('metrics', masks => %s)", masks)
    assert (found.sqlstate, words in (found.message_primary or "")) == ("22023", True), found.message_primary


def test_error_of_a_refused_row_shows_no_masked_value(masked: Supabase, erp: ScriptedOdoo) -> None:
    masked.rows(f"alter table {TABLE} add check (notes !~ '^x' and length(notes) < 10) not valid")
    erp.records[0].update(notes="secret@example.com", write_date="2026-01-07 08:00:00")
    masked.rows("call ipai.run_sync('metrics')")
    shown = masked.rows("select * from ipai.run_log order by run desc limit 1") + masked.rows("select * from ipai.sync_rejects")
    assert len(shown) == 2 and "secret@example.com" not in str(shown)
    masked.rows("select ipai.alter_mirror('metrics', max_rejects => 0)")
    expect_error(masked, "call ipai.run_sync('metrics')")
    run = masked.row("select * from ipai.run_log order by run desc limit 1")
    assert run["state"] == "failed" and "secret@example.com" not in str(run)


def test_masked_secret_needs_no_warning(supabase: Supabase, erp: ScriptedOdoo) -> None:
    set_key(supabase, "key")
    erp.extra_fields = {"access_token": {}}
    create = create_statement("metrics", TABLE, fields="name,access_token", more=""", masks => '{"access_token": "hmac"}'""")
    assert supabase.warnings(create) == []
    assert MODEL in str(supabase.rows("select model from ipai.mirrors"))
