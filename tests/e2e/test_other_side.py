"""Tests that a many2many follows changes that Odoo makes from the other side of the relation.

Such a change sets the write date of the tag, not that of the contacts.
"""

from __future__ import annotations

import time
from typing import Any

import pytest

from harness.odoo import Odoo
from support.hostile import attacker_in
from support.proxy import Proxy
from support.supabase import Supabase

pytestmark = pytest.mark.no_mirrors

PARTNER, TAG = "res.partner", "res.partner.category"


class Contacts:
    """Ten contacts and three tags in Odoo, and their mirrors."""

    def __init__(self, supabase: Supabase, odoo: Odoo) -> None:
        self.supabase, self.odoo = supabase, odoo
        # Another test may have left some.
        self.call(TAG, "unlink", self.call(TAG, "search", []))
        self.tags: list[int] = self.call(TAG, "create", [{"name": name} for name in ("Gold", "Silver", "Bronze")])
        self.people: list[int] = self.call(PARTNER, "create", [{"name": f"Contact {i}"} for i in range(10)])
        self.call(PARTNER, "write", self.people[:4], {"category_id": [(6, 0, self.tags[:2])]})

    def call(self, model: str, method: str, *args: Any) -> Any:
        return self.odoo.rpc(model, method, *args, context={"active_test": False})

    def mirror(self, **options: Any) -> None:
        self.supabase.create_mirror(PARTNER, target="public.contacts", name="contacts", **options)
        self.supabase.create_mirror(TAG, target="public.tags", name="tags", **options)
        # Runs within the second of the last change would read its records again.
        time.sleep(1.1)
        self.supabase.rows("call ipai.run_sync()")
        # What was created just now is not read again.
        self.supabase.rows("select ipai.alter_mirror(name, overlap => '0 seconds') from ipai.mirrors")
        # The tags arrived after the contacts, which compare their lists with them once.
        self.sync()

    def sync(self) -> list[int]:
        """Runs the mirrors twice, so that each has seen what the other one read.

        Returns how many contacts each run fetched.
        """
        fetched = []
        for _ in range(2):
            self.supabase.rows("call ipai.run_sync(null, 'incremental')")
            fetched.append(self.supabase.last_run("contacts")["fetched"])
        return fetched

    def lists(self) -> dict[int, list[int]]:
        rows = self.supabase.rows("select odoo_id, category_id from contacts")
        return {row["odoo_id"]: sorted(row["category_id"] or []) for row in rows}

    def expected(self) -> dict[int, list[int]]:
        ids = self.call(PARTNER, "search", [("id", ">", 0)])
        return {record["id"]: sorted(record["category_id"]) for record in self.call(PARTNER, "read", ids, ["category_id"])}


@pytest.fixture(params=["true", "false"], ids=["addon", "plain"])
def contacts(supabase: Supabase, odoo: Odoo, request: pytest.FixtureRequest) -> Contacts:
    supabase.server(odoo.url, addon=request.param)
    contacts = Contacts(supabase, odoo)
    contacts.mirror()
    assert contacts.lists() == contacts.expected()
    return contacts


def test_list_follows_additions_and_removals_from_the_other_side(contacts: Contacts) -> None:
    gold, silver, bronze = contacts.tags
    contacts.call(TAG, "write", [gold], {"partner_ids": [(3, contacts.people[0]), (4, contacts.people[8])]})
    contacts.call(TAG, "write", [bronze], {"partner_ids": [(6, 0, contacts.people[1:3])]})
    new = contacts.call(TAG, "create", {"name": "New", "partner_ids": [(6, 0, contacts.people[:1])]})
    # One run reads the tags, and the next one the contacts that they name or no longer name.
    assert contacts.sync() == [1, 5]
    assert contacts.lists() == contacts.expected()
    assert contacts.lists()[contacts.people[0]] == [silver, new]


def test_list_loses_a_deleted_record(contacts: Contacts) -> None:
    contacts.call(TAG, "unlink", contacts.tags[:1])
    contacts.sync()
    assert contacts.lists() == contacts.expected()
    assert contacts.lists()[contacts.people[0]] == contacts.tags[1:2]


def test_list_of_a_marked_record_loses_it(supabase: Supabase, odoo: Odoo) -> None:
    supabase.server(odoo.url, addon="false")
    contacts = Contacts(supabase, odoo)
    contacts.mirror(on_delete="mark")
    contacts.call(TAG, "unlink", contacts.tags[:1])
    contacts.sync()
    assert contacts.lists() == contacts.expected()


def test_other_side_with_planted_code_is_not_read(supabase: Supabase, odoo: Odoo) -> None:
    """To plan a query, Postgres executes functions of the table's indexes."""
    supabase.server(odoo.url)
    contacts = Contacts(supabase, odoo)
    contacts.mirror()
    contacts.call(TAG, "write", contacts.tags[:1], {"partner_ids": [(4, contacts.people[8])]})
    supabase.rows("call ipai.run_sync('tags', 'incremental')")
    with attacker_in(supabase) as attacker:
        supabase.rows("create index planted on tags ((odoo_id::text || lair.same('x')))", user="supabase_admin")
        with attacker.planted_calls() as roles:
            supabase.rows("call ipai.run_sync('contacts', 'incremental')")
        assert roles == []
        assert contacts.lists() != contacts.expected()
        supabase.rows("drop index planted", user="supabase_admin")
    supabase.rows("call ipai.run_sync('contacts', 'full')")
    assert contacts.lists() == contacts.expected()


def test_list_keeps_archived_records(contacts: Contacts) -> None:
    contacts.call(TAG, "write", contacts.tags[:1], {"active": False})
    contacts.call(TAG, "write", contacts.tags[1:2], {"active": False, "partner_ids": [(4, contacts.people[9])]})
    contacts.sync()
    assert contacts.lists() == contacts.expected()
    assert contacts.tags[1] in contacts.lists()[contacts.people[9]]


def test_only_contacts_whose_list_differs_are_read(contacts: Contacts) -> None:
    before = contacts.supabase.rows("select odoo_id, updated_at from contacts order by 1")
    contacts.call(TAG, "write", contacts.tags, {"name": "Renamed"})
    assert contacts.sync() == [1, 1]
    assert contacts.supabase.rows("select odoo_id, updated_at from contacts order by 1") == before


def test_both_sides_follow_each_other(contacts: Contacts) -> None:
    contacts.call(PARTNER, "write", contacts.people[9:], {"category_id": [(4, contacts.tags[2])]})
    contacts.sync()
    (row,) = contacts.supabase.rows("select partner_ids from tags where odoo_id = %s", contacts.tags[2])
    assert row["partner_ids"] == contacts.people[9:]
    assert contacts.lists() == contacts.expected()


def test_lists_cost_no_request_while_nothing_changes(supabase: Supabase, odoo: Odoo) -> None:
    with Proxy(odoo.port, 1) as proxy:
        supabase.server(proxy.url, addon="false")
        contacts = Contacts(supabase, odoo)
        contacts.mirror()
        contacts.sync()
        before = sum(proxy.outcomes.values())
        contacts.sync()
        # Each run reads the newest record and counts.
        assert sum(proxy.outcomes.values()) - before <= 2 * 2 * 3


def test_failed_read_of_lists_is_repeated_by_the_next_run(contacts: Contacts) -> None:
    supabase = contacts.supabase
    contacts.call(TAG, "write", contacts.tags[2:], {"partner_ids": [(6, 0, contacts.people)]})
    supabase.rows("call ipai.run_sync('tags', 'incremental')")
    supabase.rows("alter table contacts add constraint no_tags check (cardinality(category_id) < 3) not valid")
    supabase.rows("select ipai.alter_mirror('contacts', max_rejects => 0)")
    with pytest.raises(Exception, match="no_tags"):
        supabase.rows("call ipai.run_sync('contacts', 'incremental')")
    supabase.rows("alter table contacts drop constraint no_tags")
    supabase.rows("call ipai.run_sync('contacts', 'incremental')")
    assert contacts.lists() == contacts.expected()


def test_role_that_may_not_read_the_other_side_syncs_without_it(contacts: Contacts) -> None:
    supabase = contacts.supabase
    supabase.rows("grant usage on foreign server odoo to service_role")
    supabase.rows("create user mapping for service_role server odoo options (user 'admin', password_secret 'odoo_password')")
    contacts.call(TAG, "write", contacts.tags[2:], {"partner_ids": [(6, 0, contacts.people[:3])]})
    supabase.rows("call ipai.run_sync('tags', 'incremental')")
    supabase.rows("revoke all on tags from service_role")
    connection = supabase.connect()
    connection.execute("set role service_role")
    before = contacts.lists()
    connection.execute("call ipai.run_sync('contacts', 'incremental')")
    assert contacts.lists() == before
