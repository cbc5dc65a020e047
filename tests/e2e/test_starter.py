"""Tests the files of examples/mirrors against a real Odoo with the business modules."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from harness import paths
from harness.odoo import Odoo
from support.company import STARTER, Work, company
from support.definitions import execute
from support.model_comparison import assert_mirrors
from support.supabase import Supabase

pytestmark = pytest.mark.no_mirrors

AREAS = ("sales", "invoicing", "stock", "crm")
VIEWS = ("open_orders", "receivables_by_age", "stock_by_location", "pipeline")

#: The figures of each view, as Odoo's own tables have them.
EXPECTED = {
    "open_orders": """select sum(l.product_uom_qty - l.qty_delivered) from sale_order o join sale_order_line l on l.order_id = o.id
        where o.state = 'sale' and l.display_type is null and l.product_uom_qty > l.qty_delivered""",
    "receivables_by_age": """select sum(amount_residual_signed) from account_move
        where move_type in ('out_invoice', 'out_refund') and state = 'posted'""",
    "stock_by_location": """select sum(q.quantity) from stock_quant q join stock_location l on l.id = q.location_id where l.usage = 'internal'""",
    "pipeline": "select sum(expected_revenue) from crm_lead where type = 'opportunity' and active",
}
SHOWN = {
    "open_orders": "quantity_to_deliver",
    "receivables_by_age": "total",
    "stock_by_location": "on_hand",
    "pipeline": "expected_revenue",
}


@pytest.fixture(scope="module")
def erp() -> Iterator[Odoo]:
    with company(STARTER) as odoo:
        work = Work(odoo)
        work.prepare()
        work.day()
        yield odoo


def run_files(supabase: Supabase) -> None:
    for area in AREAS:
        supabase.cluster.psql((paths.PROJECT / f"examples/mirrors/{area}.sql").read_text(), user="postgres")


def seen(supabase: Supabase, view: str, companies: list[int]) -> list[dict[str, Any]]:
    """The rows of a view for a signed-in user of these companies."""
    claims = json.dumps({"app_metadata": {"ipai_company_ids": companies}})
    with supabase.connect("supabase_admin") as session:
        execute(session, "set role authenticated")
        session.execute("select set_config('request.jwt.claims', %s, false)", [claims])
        return execute(session, f"select * from ipai.{view}")


def test_starter_mirrors_the_business_of_a_company(supabase: Supabase, erp: Odoo) -> None:
    supabase.server(erp.url)
    problems = "select * from ipai.doctor() where state = 'problem'"
    known = supabase.rows(problems)
    try:
        run_files(supabase)
        supabase.rows("call ipai.run_sync()")
        mirrors = [row["name"] for row in supabase.rows("select name from ipai.mirrors order by 1")]
        assert len(mirrors) == 18
        for mirror in mirrors:
            assert_mirrors(supabase, erp, mirror)
        for view, statement in EXPECTED.items():
            rows = supabase.rows(f"select * from ipai.{view}")
            total = Decimal(erp.pg.psql(statement, dbname=erp.dbname))
            assert sum(Decimal(str(row[SHOWN[view]])) for row in rows) == pytest.approx(total), view
            assert rows and total, view
            # Signed-in users see their companies.
            assert len(seen(supabase, view, [1])) > 0, view
        assert [seen(supabase, view, [999]) for view in VIEWS[:2]] == [[], []]
        # A second run of the files changes no mirror and loses no row.
        defined = "select name, model, fields, relations, schedule from ipai.mirrors order by name"
        before = supabase.rows(defined)
        run_files(supabase)
        assert supabase.rows(defined) == before
        assert supabase.row("select count(*) from cron.job")["count"] == len(mirrors)
        published = supabase.rows(
            "select tablename::text as name from pg_publication_tables where pubname = 'supabase_realtime' order by 1"
        )
        assert {row["name"] for row in published} >= {"sale_order", "account_move", "stock_quant", "crm_lead"}
        assert [row for row in supabase.rows(problems) if row not in known] == []
    finally:
        supabase.rows("drop view if exists ipai.open_orders, ipai.receivables_by_age, ipai.stock_by_location, ipai.pipeline")
