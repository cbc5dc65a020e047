"""Tests that changes in a company's Odoo arrive with the next poll after their commit.

Each test makes a change and polls once. The mirrors must equal Odoo's tables then.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from harness.odoo import Odoo
from support.company import STARTER, Work, company
from support.comparison import sql
from support.model_comparison import compare
from support.supabase import Supabase

pytestmark = pytest.mark.no_mirrors

#: Models with fields, of which `res.users` has some from `res.partner`.
MIRRORS: dict[str, list[str]] = {
    "res.partner": ["name", "active", "parent_id", "category_id", "customer_rank", "commercial_partner_id", "user_id"],
    "res.partner.category": ["name", "partner_ids"],
    "sale.order": ["name", "state", "partner_id", "partner_invoice_id", "partner_shipping_id", "order_line", "amount_total"],
    "sale.order.line": ["order_id", "name", "price_unit", "product_uom_qty"],
    "account.move": ["name", "state", "partner_id", "commercial_partner_id", "payment_state", "amount_residual"],
    "crm.lead": ["name", "partner_id", "tag_ids", "stage_id", "team_id", "lead_properties"],
    "crm.tag": ["name"],
}
DRAFTS = "drafts"
#: One poll. Odoo may search for a twentieth of the pause, so a busy machine examines all mirrors.
POLL = "call ipai.follow_sync(every => '20 seconds', during => '1 millisecond')"
#: How long a transaction stays open, in seconds.
OPEN, HALF_AN_HOUR = 10, 1_800


@pytest.fixture(scope="module")
def erp() -> Iterator[Odoo]:
    with company(STARTER) as odoo:
        yield odoo


@pytest.fixture(scope="module")
def work(erp: Odoo) -> Work:
    return Work(erp)


def named(model: str) -> str:
    return model.replace(".", "_")


@pytest.fixture
def followed(supabase: Supabase, erp: Odoo) -> Supabase:
    """Mirrors that are equal to Odoo and have tokens."""
    supabase.server(erp.url)
    for model, fields in MIRRORS.items():
        supabase.create_mirror(model, name=named(model), target=f"ipai.{named(model)}", fields=fields, max_delete_ratio=1.0)
    supabase.create_mirror("res.users", name="res_users", target="ipai.res_users", fields=["login", "name", "email"])
    domain = [["state", "=", "draft"]]
    supabase.create_mirror("sale.order", name=DRAFTS, target="ipai.drafts", fields=["name", "state"], domain=domain, max_delete_ratio=1.0)
    supabase.rows("call ipai.run_sync()")
    assert_equal(supabase, erp)
    return supabase


def assert_equal(supabase: Supabase, erp: Odoo) -> None:
    for model in MIRRORS:
        assert compare(supabase, erp, named(model)).differences == [], model
    assert compare(supabase, erp, DRAFTS, where="r.state = 'draft'").differences == []
    users = erp.pg.psql(
        "select u.id, login, p.name, p.email from res_users u join res_partner p on p.id = partner_id order by 1", dbname="odoo"
    )
    rows = supabase.rows("select odoo_id, login, name, email from ipai.res_users order by 1")
    assert ["|".join(str(value or "") for value in row.values()) for row in rows] == users.splitlines()


def poll(supabase: Supabase) -> list[dict[str, Any]]:
    """Polls once, and returns the runs, which must only have applied what Odoo reports."""
    before = supabase.row("select coalesce(max(run), 0) as run from ipai.run_log")["run"]
    # The log has one row for the runs of a minute.
    supabase.cluster.psql("delete from ipai.run_log where mode = 'live'")
    supabase.rows(POLL)
    runs = supabase.rows("select mirror, mode, state, fetched, inserted, updated, deleted from ipai.sync_runs where run > %s", before)
    assert {(run["mode"], run["state"]) for run in runs} <= {("live", "succeeded")}, runs
    return runs


def assert_arrives(supabase: Supabase, erp: Odoo, *models: str) -> None:
    """Polls once; the mirrors of the models must have changed, and all must be equal."""
    changed = {run["mirror"] for run in poll(supabase) if run["inserted"] + run["updated"] + run["deleted"]}
    assert changed >= {named(model) for model in models}, changed
    assert_equal(supabase, erp)


def test_merged_contacts(followed: Supabase, erp: Odoo, work: Work) -> None:
    ada, twin = work.customer("Ada Lovelace"), work.customer("Ada L.")
    work.order(twin)
    work.invoice(twin)
    work.lead(twin)
    poll(followed)
    assert_equal(followed, erp)
    work.merge([ada, twin])
    assert_arrives(followed, erp, "res.partner", "sale.order", "account.move", "crm.lead")


def test_customer_rank(followed: Supabase, erp: Odoo, work: Work) -> None:
    customer = work.customer("Carl Code")
    poll(followed)
    rank = "select customer_rank from ipai.res_partner where odoo_id = %s"
    before = followed.row(rank, customer)["customer_rank"]
    work.payment(work.invoice(customer))
    assert_arrives(followed, erp, "res.partner", "account.move")
    assert followed.row(rank, customer)["customer_rank"] > before


def test_tags_from_both_sides(followed: Supabase, erp: Odoo, work: Work) -> None:
    bob, carl = work.customer("Bob Byte"), work.customer("Carl Code")
    tag = work.call("res.partner.category", "create", {"name": f"Key account {bob}", "partner_ids": [(6, 0, [bob])]})
    assert_arrives(followed, erp, "res.partner", "res.partner.category")
    work.call("res.partner", "write", [carl], {"category_id": [(4, tag)]})
    assert_arrives(followed, erp, "res.partner", "res.partner.category")
    work.call("res.partner.category", "write", [tag], {"partner_ids": [(3, bob)]})
    assert_arrives(followed, erp, "res.partner", "res.partner.category")
    work.call("res.partner.category", "unlink", [tag])
    assert_arrives(followed, erp, "res.partner", "res.partner.category")


def test_changed_definition_of_properties(followed: Supabase, erp: Odoo, work: Work) -> None:
    (team,) = work.find("crm.team")
    define = [{"name": "a1", "type": "char", "string": "Slogan"}, {"name": "b2", "type": "integer", "string": "Shops"}]
    work.call("crm.team", "write", [team], {"lead_properties_definition": define})
    lead = work.call("crm.lead", "create", {"name": "With properties", "team_id": team, "lead_properties": {"a1": "Hello", "b2": 3}})
    poll(followed)
    for changed in ([{**define[0], "string": "Motto"}, define[1]], define[:1]):
        work.call("crm.team", "write", [team], {"lead_properties_definition": changed})
        assert "crm_lead" in {run["mirror"] for run in poll(followed)}
        (read,) = work.call("crm.lead", "read", [lead], ["lead_properties"])
        (row,) = followed.rows("select lead_properties from ipai.crm_lead where odoo_id = %s", lead)
        assert row["lead_properties"] == read["lead_properties"]
        assert [(entry["string"], entry["name"]) for entry in read["lead_properties"]] == [
            (entry["string"], entry["name"]) for entry in changed
        ]
    # The comparison of tables does not know that values without a definition are invisible.
    work.call("crm.lead", "unlink", [lead])


def test_updates_by_sql(followed: Supabase, erp: Odoo) -> None:
    sql(erp, "update crm_lead set name = 'SQL ' || id where id % 2 = 0; update sale_order_line set name = name || '!' where id % 3 = 0")
    assert_arrives(followed, erp, "crm.lead", "sale.order.line")


def test_order_leaves_a_domain_while_another_enters(followed: Supabase, erp: Odoo, work: Work) -> None:
    leaving, entering = (int(work.call("sale.order", "create", {"partner_id": work.customer(name)})) for name in ("Dan", "Eve"))
    work.call("sale.order", "action_cancel", [entering])
    poll(followed)
    sql(erp, f"update sale_order set state = case id when {leaving} then 'sale' else 'draft' end where id in ({leaving}, {entering})")
    (run,) = [run for run in poll(followed) if run["mirror"] == DRAFTS]
    assert (run["inserted"], run["deleted"]) == (1, 1)
    assert_equal(followed, erp)


def test_delegated_fields(followed: Supabase, erp: Odoo, work: Work) -> None:
    (user,) = work.find("res.users", ("login", "=", "demo"))
    work.call("res.users", "write", [user], {"name": f"Renamed {time.monotonic()}"})
    assert_arrives(followed, erp, "res.users", "res.partner")
    sql(erp, f"update res_partner set email = 'by@sql.example' where id = (select partner_id from res_users where id = {user})")
    assert_arrives(followed, erp, "res.users")


@pytest.mark.parametrize("seconds", [OPEN, pytest.param(HALF_AN_HOUR, marks=pytest.mark.slow)])
def test_transaction_that_stays_open(followed: Supabase, erp: Odoo, work: Work, seconds: float) -> None:
    """Polls read no more while it is open, and the next poll after its commit reads its changes."""
    leads = work.find("crm.lead", limit=8)
    (tag,) = work.find("crm.tag")
    # The first poll after a full run reads its records again.
    sql(erp, "select txid_current()")
    poll(followed)
    with psycopg.connect(erp.pg.dsn(erp.dbname)) as late:
        late.execute("update crm_lead set name = 'Late' where id = %s", [leads[0]])
        ends, number = time.monotonic() + seconds, 0
        while time.monotonic() < ends:
            number += 1
            # Each savepoint is a transaction of its own, whose number no snapshot lists.
            with late.transaction():
                late.execute("update crm_lead set name = %s where id = any (%s)", [f"Late {number}", leads[1:4]])
                with late.transaction():
                    late.execute("delete from crm_tag_rel where lead_id = %s", [leads[1]])
                    late.execute("insert into crm_tag_rel (lead_id, tag_id) values (%s, %s)", [leads[1], tag])
                with late.transaction():
                    late.execute("delete from crm_lead where id = %s", [leads[4]])
                    raise psycopg.Rollback
            sql(erp, "select txid_current();" * 50)
            sql(erp, f"update crm_lead set name = 'Meanwhile {number}' where id = {leads[5]}")
            (run,) = [run for run in poll(followed) if run["mirror"] == "crm_lead"]
            assert (run["fetched"], run["updated"]) == (1, 1)
            assert_equal(followed, erp)
        assert number > 3
        late.commit()
    assert_arrives(followed, erp, "crm.lead")
    assert poll(followed) == []
