"""Tests that fields with secrets or private data are mirrored only if the caller names them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.definitions import ScriptedOdoo, create_statement
from support.faulty import MODEL, metric
from support.supabase import Supabase

pytestmark = pytest.mark.no_mirrors

SECRETS = {"access_token", "adyen_api_key"}
PRIVATE = {"private_street"}


@pytest.fixture
def erp(supabase: Supabase) -> Iterator[ScriptedOdoo]:
    values = {"access_token": "t0ken", "adyen_api_key": "k3y", "private_street": "1 Home Street", "key": "view"}
    with ScriptedOdoo([metric(1, **values)]) as server:
        server.extra_fields = {name: {} for name in values}
        supabase.server(server.url)
        yield server


def test_secrets_and_private_data_are_left_out_by_default(supabase: Supabase, erp: ScriptedOdoo) -> None:
    fields = {row["field"] for row in supabase.create_mirror(MODEL, target="public.metrics")}
    assert {"name", "key"} <= fields and not fields & (SECRETS | PRIVATE)
    # Also in a table of the user's own that has such a column.
    supabase.rows("create table public.own (odoo_id bigint primary key, name text, access_token text)")
    made = supabase.create_mirror(MODEL, target="public.own", columns={})
    assert [row["field"] for row in made] == ["name"]
    found = supabase.rows("select field, by_default, note from ipai.odoo_fields('odoo', %s) where note ~ 'looks like'", MODEL)
    notes = {row["field"]: row["note"] for row in found if not row["by_default"]}
    assert notes == {
        **dict.fromkeys(SECRETS, "left out by default: it looks like a password, token or key"),
        **dict.fromkeys(PRIVATE, "left out by default: it looks like private data of a person"),
    }


def test_named_secret_is_mirrored_with_a_warning(supabase: Supabase, erp: ScriptedOdoo) -> None:
    [warning] = supabase.warnings(create_statement("metrics", "public.metrics", fields="name,access_token"))
    assert warning == f'field "access_token" of model "{MODEL}" looks like a password, token or key'
    supabase.sync("metrics")
    assert supabase.row("select access_token from public.metrics")["access_token"] == "t0ken"
    [warning] = supabase.warnings("select ipai.refresh_mirror('metrics', add_fields => '{notes,private_street}')")
    assert warning == f'field "private_street" of model "{MODEL}" looks like private data of a person'
