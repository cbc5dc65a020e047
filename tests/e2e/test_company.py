"""Tests that mirrors of a company's whole Odoo equal its tables before and after a day of business.

The expected values come from Odoo's database by SQL.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import psycopg
import pytest

from harness.odoo import Odoo
from support.company import MODULES, STARTER, Work, company
from support.model_comparison import compare, table_of
from support.supabase import Supabase

pytestmark = pytest.mark.no_mirrors


@pytest.fixture(scope="module", params=[STARTER, pytest.param(MODULES, marks=pytest.mark.slow)], ids=["starter", "company"])
def erp(request: pytest.FixtureRequest) -> Iterator[Odoo]:
    with company(request.param) as odoo:
        yield odoo


def mirror_all(supabase: Supabase) -> tuple[dict[str, str], dict[str, str]]:
    """Mirrors every readable model; returns the mirrors' models, and the messages of refused models."""
    supabase.rows("create schema if not exists company")
    mirrors, refused = {}, {}
    for row in supabase.rows("select model from ipai.odoo_models('odoo') order by 1"):
        model, name = row["model"], row["model"].replace(".", "_")
        try:
            supabase.create_mirror(model, target=f"company.{name}", name=name[:40])
            mirrors[name[:40]] = model
        except psycopg.Error as error:
            refused[model] = f"{error.diag.sqlstate} {error.diag.message_primary}"
    return mirrors, refused


def run_all(supabase: Supabase, mode: str) -> dict[str, str]:
    try:
        supabase.rows("call ipai.run_sync(null, %s)", mode)
    except psycopg.Error as error:
        print("RUN", error.diag.message_primary)
    return {
        row["mirror"]: f"{row['sqlstate']} {row['message']}"
        for row in supabase.rows(
            "select distinct on (mirror) mirror, state, sqlstate, message from ipai.sync_runs order by mirror, run desc"
        )
        if row["state"] != "succeeded"
    }


def differences(supabase: Supabase, erp: Odoo, mirrors: dict[str, str]) -> dict[str, str]:
    found = {}
    for mirror in mirrors:
        try:
            result = compare(supabase, erp, mirror)
        except Exception as error:
            found[mirror] = f"{type(error).__name__}: {str(error)[:200]}"
            continue
        if result.differences:
            fields = Counter(d.field or ("row", d.mirror is None) for d in result.differences)
            found[mirror] = f"{dict(fields)} such as {str(result.differences[:2])[:500]}"
    return found


@pytest.mark.parametrize("addon", ["true", "false"])
def test_explore(supabase: Supabase, erp: Odoo, addon: str) -> None:
    supabase.server(erp.url, addon=addon)
    mirrors, refused = mirror_all(supabase)
    print(len(mirrors), "mirrors;", len(refused), "refused")
    for model, why in refused.items():
        print("REFUSED", model, why)
    failed = run_all(supabase, "full")
    for mirror, why in failed.items():
        print("FAILED", mirror, why)
    for mirror, what in differences(supabase, erp, mirrors).items():
        print("FIRST", mirror, what)
    Work(erp).day()
    print("INCREMENTAL", run_all(supabase, "incremental"))
    for mirror, what in differences(supabase, erp, mirrors).items():
        print("DAY", mirror, what)
    print("FULL", run_all(supabase, "full"))
    for mirror, what in differences(supabase, erp, mirrors).items():
        print("AFTER", mirror, what)
