# Copyright 2026 ipai_sync contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).

import base64
import json
import zlib
from contextlib import closing, contextmanager
from unittest.mock import patch

import psycopg2
from odoo.exceptions import UserError
from odoo.sql_db import connection_info_for, db_connect
from odoo.tests import new_test_user

from ..capture import mirror as capture
from ..capture import scan, sources, tokens
from ..models import ipai_sync_changes
from .common import ExportCase, decode

CATEGORY = "res.partner.category"
RELATION = "res_partner_res_partner_category_rel"


def encode(requests):
    return base64.b64encode(zlib.compress(json.dumps(requests).encode())).decode()


class Mirror:
    """A mirror of a client: what it reads, its token and its last answer."""

    def __init__(self, model, domain=(), names=("id",), **context):
        self.request = [model, list(domain), list(names), {"active_test": False, **context}]
        self.token = None
        self.answer = None

    @property
    def state(self):
        return self.answer["state"]

    @property
    def ids(self):
        return self.answer["ids"]

    @property
    def rows(self):
        return {row["id"]: row for row in decode(self.answer["page"])[1]}


class ChangesCase(ExportCase):
    """Calls `changes` in transactions of its own. Everything that the tests write is committed."""

    def setUp(self):
        super().setUp()
        self.uid = self.env.ref("base.user_admin").id
        self.other = self.connection()
        self.other.autocommit = True
        # Fail instead of waiting for a lock that the test itself holds.
        self.execute("SET lock_timeout = '5s'")

    def connection(self):
        connection = psycopg2.connect(**connection_info_for(self.cr.dbname)[1])
        self.addCleanup(connection.close)
        return connection

    def execute(self, query, *params):
        """Execute and commit a statement, and return its rows."""
        with self.other.cursor() as cr:
            cr.execute(query, params)
            return cr.fetchall() if cr.description else []

    def ids(self, query, *params):
        return [row[0] for row in self.execute(query, *params)]

    @contextmanager
    def committed(self):
        """Yield an environment whose transaction is committed at the end."""
        with closing(db_connect(self.cr.dbname).cursor()) as cr:
            yield self.env(cr=cr)
            # Other transactions must see what the test has written.
            cr.commit()  # pylint: disable=invalid-commit

    def category(self, name="Changes", count=1):
        """Commit categories by SQL and return their ids."""
        ids = self.ids(
            "INSERT INTO res_partner_category (name, active) SELECT jsonb_build_object('en_US', %s), true"
            " FROM generate_series(1, %s) RETURNING id",
            name,
            count,
        )
        self.addCleanup(self.execute, "DELETE FROM res_partner_category WHERE id = ANY(%s)", ids)
        return ids

    def partner(self, count=1, **values):
        """Commit contacts with the ORM and return their ids."""
        with self.committed() as env:
            ids = env["res.partner"].create([{"name": "Changes", **values}] * count).ids
        self.addCleanup(self.execute, "DELETE FROM res_partner WHERE id = ANY(%s)", ids)
        return ids

    def tag(self, *pairs):
        for pair in pairs:
            self.execute(f"INSERT INTO {RELATION} (partner_id, category_id) VALUES (%s, %s)", *pair)

    def poll(self, *mirrors, budget=0, uid=None, before=None):
        """Call `changes` for the mirrors, which keep their tokens, and return their states.

        before: called after the transaction has taken its snapshot
        """
        with closing(db_connect(self.cr.dbname).cursor()) as cr:
            if before:
                self.execute("SELECT txid_current()")
                cr.execute("SELECT 1")
                before()
            sync = self.env(cr=cr, user=uid or self.uid)["ipai.sync"]
            answer = sync.changes(encode([[*mirror.request, mirror.token] for mirror in mirrors]), budget)
        answer = json.loads(zlib.decompress(base64.b64decode(answer)))
        self.assertEqual(len(answer["mirrors"]), len(mirrors))
        for mirror, mirror.answer in zip(mirrors, answer["mirrors"], strict=True):
            mirror.token = mirror.answer.get("token", mirror.token)
        return [mirror.state for mirror in mirrors]

    def read_all(self, *args, **kwargs):
        """Return a mirror that has a token, and reads all records now."""
        mirror = Mirror(*args, **kwargs)
        self.assertEqual(self.poll(mirror), ["unknown"])
        return mirror

    def follow(self, *args, **kwargs):
        """Return a mirror that has a token, and has the records as they are now."""
        mirror = self.read_all(*args, **kwargs)
        self.execute("SELECT txid_current()")
        self.assertEqual(self.poll(mirror), ["changed"], mirror.answer)
        return mirror

    def assertChanged(self, mirror, ids, **kwargs):
        self.assertEqual(self.poll(mirror, **kwargs), ["changed"], mirror.answer)
        self.assertEqual(mirror.ids, sorted(ids))
        return mirror

    def assertSame(self, mirror):
        # Another transaction makes the snapshot a new one.
        self.execute("SELECT txid_current()")
        self.assertEqual(self.poll(mirror), ["same"], mirror.answer)

    def digest(self, ids):
        return [len(ids), str(sum(ids)), str(sum(id_ * id_ for id_ in ids))]


class TestChanges(ChangesCase):
    def test_raw_sql_update_arrives_with_its_row(self):
        first, second = self.category(count=2)
        mirror = self.follow(CATEGORY, [("id", "in", [first, second])], ["name", "color"])
        self.assertSame(mirror)
        self.execute("UPDATE res_partner_category SET color = 7 WHERE id = %s", second)
        self.assertChanged(mirror, [second])
        self.assertEqual(mirror.rows, {second: {"id": second, "name": "Changes", "color": 7}})
        self.assertEqual(mirror.answer["digest"], self.digest([first, second]))
        self.assertSame(mirror)

    def test_pair_that_only_a_full_run_saw_is_read_again(self):
        [category], [partner, other] = self.category(), self.partner(2)
        mirror = self.read_all("res.partner", [("id", "in", [partner, other])], ["category_id"])
        self.tag((partner, category))
        # The client reads the contacts here.
        self.execute(f"DELETE FROM {RELATION} WHERE category_id = %s", category)
        self.assertEqual(self.poll(mirror), ["changed"])
        self.assertEqual(mirror.rows, {partner: {"id": partner, "category_id": []}, other: {"id": other, "category_id": []}})
        self.assertSame(mirror)

    def test_record_that_only_a_full_run_saw_changes_the_digest(self):
        [category] = self.category()
        mirror = self.read_all(CATEGORY, [("id", ">=", category)], ["name"])
        [gone] = self.category()
        self.execute("DELETE FROM res_partner_category WHERE id = %s", gone)
        self.assertChanged(mirror, [])
        self.assertEqual(mirror.answer["digest"], self.digest([category]))
        self.assertSame(mirror)

    def test_ids_without_a_page_are_read_again(self):
        [category], partners = self.category(), self.partner(2)
        domain = [("id", "in", partners)]
        mirror = self.follow("res.partner", domain, ["category_id"])
        self.tag((partners[0], category))
        with patch.object(ipai_sync_changes, "PAGE_BUDGET", 1):
            self.assertChanged(mirror, partners[:1])
            self.assertIsNone(mirror.answer["page"])
            # The client reads the first contact here.
            self.execute(f"DELETE FROM {RELATION} WHERE category_id = %s", category)
            # Nothing that does not fit is listed again.
            self.assertChanged(mirror, partners[:1])
        self.execute("SELECT txid_current()")
        self.assertEqual(self.poll(mirror), ["changed"])
        self.assertEqual(mirror.rows[partners[0]]["category_id"], [])
        self.assertSame(mirror)

    def test_budget_of_other_mirrors_leaves_ids_to_the_next_poll(self):
        partners = self.partner(2)
        domain = [("id", "in", partners)]
        budget = len(self.follow("res.partner", domain, ["category_id"]).answer["page"])
        first, second = (self.read_all("res.partner", domain, ["category_id"]) for _ in range(2))
        self.execute("SELECT txid_current()")
        with patch.object(ipai_sync_changes, "PAGE_BUDGET", budget):
            self.assertEqual(self.poll(first, second), ["changed", "changed"])
        filled, empty = sorted((first, second), key=lambda mirror: not mirror.ids)
        self.assertEqual([sorted(filled.rows), empty.ids], [partners, []])
        self.assertSame(filled)
        self.assertEqual(self.poll(empty), ["changed"])
        self.assertEqual(sorted(empty.rows), partners)
        self.assertSame(empty)

    def test_large_model_is_not_read_twice(self):
        self.category(count=3)
        mirror = self.read_all("res.partner", [], ["category_id"])
        self.execute("SELECT txid_current()")
        with patch.object(scan, "MAX_IDS", 0), patch.object(scan, "ALL_IDS", "SELECT id FROM %s LIMIT 1"):
            self.assertChanged(mirror, [])
        self.assertSame(mirror)

    def test_same_snapshot_needs_no_scan(self):
        mirror = self.follow(CATEGORY)
        token = mirror.token
        with patch.object(ipai_sync_changes, "Scanner", side_effect=AssertionError("a scan")):
            self.assertEqual(self.poll(mirror), ["same"])
        self.assertEqual(mirror.token, token)

    def test_late_commit_with_savepoints_arrives(self):
        [category] = self.category()
        late = self.connection().cursor()
        late.execute("UPDATE res_partner_category SET color = 1 WHERE id = %s", (category,))
        late.execute("SAVEPOINT one")
        late.execute('INSERT INTO res_partner_category (name) VALUES (\'{"en_US": "Late"}\') RETURNING id')
        [(inserted,)] = late.fetchall()
        self.addCleanup(self.execute, "DELETE FROM res_partner_category WHERE id = %s", inserted)
        mirror = self.follow(CATEGORY)
        other = self.category()
        self.assertChanged(mirror, other)
        self.assertSame(mirror)
        late.execute("RELEASE one")
        late.connection.commit()
        # The window begins at the transaction that ended, so later rows come once more.
        self.assertChanged(mirror, [category, inserted, *other])
        self.assertSame(mirror)

    def test_open_transaction_repeats_nothing(self):
        late = self.connection().cursor()
        late.execute("SELECT txid_current()")
        mirror = self.follow(CATEGORY)
        ids = []
        for _ in range(3):
            ids += self.category()
            self.assertChanged(mirror, ids[-1:])
        late.connection.commit()
        self.assertChanged(mirror, ids)
        self.assertSame(mirror)

    def test_rolled_back_transaction_is_no_change(self):
        [category] = self.category()
        mirror = self.follow(CATEGORY)
        cr = self.connection().cursor()
        cr.execute("UPDATE res_partner_category SET color = 1 WHERE id = %s", (category,))
        cr.connection.rollback()
        self.assertSame(mirror)

    def test_frozen_rows_are_no_change(self):
        self.category()
        mirror = self.follow(CATEGORY)
        self.execute("VACUUM (FREEZE) res_partner_category")
        self.assertSame(mirror)

    def test_deletion_shows_in_the_digest(self):
        first, second = self.category(count=2)
        mirror = self.follow(CATEGORY, [("id", "in", [first, second])])
        self.execute("DELETE FROM res_partner_category WHERE id = %s", first)
        self.assertChanged(mirror, [])
        self.assertIsNone(mirror.answer["page"])
        self.assertEqual(mirror.answer["digest"], self.digest([second]))
        self.assertSame(mirror)

    def test_deletion_and_insertion_together(self):
        [first] = self.category()
        mirror = self.follow(CATEGORY, [("name", "=", "Changes")])
        self.execute("DELETE FROM res_partner_category WHERE id = %s", first)
        [second] = self.category()
        self.assertChanged(mirror, [second])
        self.assertEqual(mirror.answer["digest"], self.digest([second]))

    def test_swap_in_a_domain(self):
        leaves, enters = self.category(count=2)
        self.execute("UPDATE res_partner_category SET color = 5 WHERE id = %s", leaves)
        mirror = self.follow(CATEGORY, [("color", "=", 5)])
        self.execute("UPDATE res_partner_category SET color = 5 - color WHERE id = ANY(%s)", [leaves])
        self.execute("UPDATE res_partner_category SET color = 5 WHERE id = %s", enters)
        self.assertChanged(mirror, [leaves, enters])
        self.assertEqual(set(mirror.rows), {enters})
        self.assertEqual(mirror.answer["digest"], self.digest([enters]))

    def test_many_changes(self):
        mirror = self.follow(CATEGORY)
        ids = self.category(count=scan.MAX_IDS)
        self.assertChanged(mirror, ids)
        self.execute("UPDATE res_partner_category SET color = 1")
        self.category()
        self.execute("UPDATE res_partner_category SET color = 2")
        self.assertEqual(self.poll(mirror), ["many"])
        self.execute("SELECT txid_current()")
        # The client has read everything since.
        self.assertChanged(mirror, [])
        self.assertSame(mirror)

    def test_context_of_each_mirror(self):
        [category] = self.category()
        archived, active = self.follow(CATEGORY, [("id", "=", category)]), Mirror(CATEGORY, [("id", "=", category)], active_test=True)
        self.poll(active)
        self.execute("UPDATE res_partner_category SET active = false WHERE id = %s", category)
        self.assertEqual(self.poll(archived, active), ["changed"] * 2)
        self.assertEqual([archived.answer["digest"][0], active.answer["digest"][0]], [1, 0])
        self.assertEqual([len(archived.rows), len(active.rows)], [1, 0])

    def test_no_field_names_mean_all(self):
        mirror = self.follow(CATEGORY, names=[])
        [category] = self.category()
        self.assertChanged(mirror, [category])
        self.assertIn("color", mirror.rows[category])

    def test_page_beyond_the_budget_is_left_out(self):
        mirrors = [self.follow(CATEGORY), self.follow(CATEGORY, [("active", "=", True)])]
        [category] = self.category()
        with patch.object(ipai_sync_changes, "PAGE_BUDGET", 10):
            self.assertEqual(self.poll(*mirrors), ["changed"] * 2)
        self.assertEqual([(mirror.ids, mirror.answer["page"]) for mirror in mirrors], [([category], None)] * 2)

    def test_mirrors_of_one_table_scan_it_once(self):
        mirrors = [Mirror(CATEGORY, [("color", "=", color)]) for color in range(20)]
        self.poll(*mirrors)
        self.category()
        queries = []
        execute = scan.Scanner._execute
        with patch.object(scan.Scanner, "_execute", lambda scanner, query: queries.append(str(query)) or execute(scanner, query)):
            self.assertEqual(self.poll(*mirrors), ["changed"] * 20)
        self.assertEqual(sum(query.count('FROM "res_partner_category"') for query in queries), 1)

    def test_mirrors_of_one_call_share_a_snapshot(self):
        mirrors = [self.follow(CATEGORY), self.follow("res.partner"), Mirror("res.country")]
        self.poll(*mirrors)
        self.assertEqual(len({tokens.Token.parse(mirror.token).snapshot for mirror in mirrors}), 1)


class TestChangesOfRelations(ChangesCase):
    def test_many2many_from_both_sides(self):
        [partner], [category] = self.partner(), self.category()
        partners, categories = self.follow("res.partner", names=["category_id"]), self.follow(CATEGORY, names=["partner_ids"])
        plain = self.follow("res.partner", names=["name"])
        self.tag((partner, category))
        self.assertEqual(self.poll(partners, categories, plain), ["changed", "changed", "same"])
        self.assertEqual((partners.ids, categories.ids), ([partner], [category]))
        self.assertEqual(partners.rows[partner]["category_id"], [category])
        self.execute(f"DELETE FROM {RELATION} WHERE partner_id = %s", partner)
        self.assertEqual(self.poll(partners, categories, plain), ["changed", "changed", "same"])
        self.assertEqual((partners.ids, categories.ids), ([partner], [category]))
        self.assertEqual(partners.rows[partner]["category_id"], [])

    def test_many2many_added_and_removed_together(self):
        first, second, third = self.partner(3)
        one, two = self.category(count=2)
        self.tag((first, one), (first, two), (second, one))
        mirror = self.follow("res.partner", names=["category_id"])
        self.execute(f"DELETE FROM {RELATION} WHERE partner_id = %s", first)
        self.tag((third, two))
        self.assertChanged(mirror, [first, third])
        self.assertSame(mirror)

    def test_many2many_removed_from_several_records(self):
        partners, [category] = self.partner(3), self.category()
        self.tag(*((partner, category) for partner in partners))
        mirror = self.follow("res.partner", names=["category_id"])
        self.execute(f"DELETE FROM {RELATION} WHERE category_id = %s AND partner_id <> %s", category, partners[2])
        self.assertChanged(mirror, self.ids("SELECT id FROM res_partner"))
        self.assertEqual([mirror.rows[partner]["category_id"] for partner in partners], [[], [], [category]])
        self.tag(*((partner, category) for partner in partners[:2]))
        self.assertChanged(mirror, partners[:2])
        self.execute(f"DELETE FROM {RELATION} WHERE category_id = %s", category)
        with patch.object(capture, "MAX_IDS", 2):
            self.assertEqual(self.poll(mirror), ["many"])

    def test_many2many_swap_of_pairs(self):
        first, second = self.partner(2)
        one, two = self.category(count=2)
        self.tag((first, one), (second, two))
        mirror = self.follow("res.partner", names=["category_id"])
        self.execute(f"UPDATE {RELATION} SET category_id = %s WHERE partner_id = %s", two, first)
        self.assertChanged(mirror, [first])
        # The pair moves to another contact: the count stays.
        self.execute(f"DELETE FROM {RELATION} WHERE partner_id = %s", second)
        self.tag((first, one))
        self.assertChanged(mirror, [first, second])

    def test_pairs_with_the_same_xor_differ(self):
        partners, categories = self.partner(8), self.category(count=8)
        pairs = [(partner, category) for partner in partners for category in categories]
        gone, new = next((one, other) for one in pairs for other in pairs if one[0] ^ one[1] == other[0] ^ other[1] and other[1] < one[1])
        self.tag(gone)
        mirror = self.follow("res.partner", [("id", "in", partners)], ["category_id"])
        self.execute(f"DELETE FROM {RELATION} WHERE partner_id = %s", gone[0])
        self.tag(new)
        self.assertChanged(mirror, [gone[0], new[0]])

    def test_one2many(self):
        first, second = self.partner(2)
        mirror = self.follow("res.partner", [("id", "in", [first, second])], ["child_ids"])
        [child] = self.partner(parent_id=first)
        self.assertChanged(mirror, [first, child])
        self.assertEqual(mirror.rows[first]["child_ids"], [child])
        self.execute("UPDATE res_partner SET parent_id = %s WHERE id = %s", second, child)
        self.assertChanged(mirror, [first, second, child])
        self.execute("UPDATE res_partner SET parent_id = NULL WHERE id = %s", child)
        self.assertChanged(mirror, [second, child])

    def test_updated_lines_of_several_records_reread_these_only(self):
        parents = self.partner(3)
        lines = [self.partner(parent_id=parent)[0] for parent in parents]
        mirror = self.follow("res.partner", names=["child_ids"])
        self.execute("UPDATE res_partner SET comment = 'x' WHERE id = ANY(%s)", lines[:2])
        self.assertChanged(mirror, [*parents[:2], *lines[:2]])

    def test_one2many_whose_lines_name_the_model(self):
        field = type("Field", (), {"inherited": False, "store": True, "type": "one2many"})()
        field.comodel_name, field.inverse_name = "ir.attachment", "res_id"
        needs = list(sources._field_needs(self.Partner, field, ()))
        self.assertEqual([need.source for need in needs], [("ir_attachment", "res_id", "id", (("res_model", "res.partner"),))])

    def test_inherited_fields(self):
        user = new_test_user_committed(self)
        partner = self.ids("SELECT partner_id FROM res_users WHERE id = %s", user)[0]
        mirror, plain = self.follow("res.users", names=["login", "city", "category_id"]), self.follow("res.users", names=["login"])
        self.execute("UPDATE res_partner SET city = 'Antwerp' WHERE id = %s", partner)
        self.assertEqual(self.poll(mirror, plain), ["changed", "changed"])
        # The record rules of contacts apply to users too.
        self.assertEqual((mirror.ids, plain.ids), ([user], []))
        self.assertEqual(mirror.rows[user]["city"], "Antwerp")
        [category] = self.category()
        self.tag((partner, category))
        self.assertChanged(mirror, [user])
        self.partner()
        self.assertChanged(mirror, [])

    def test_files_of_binary_fields(self):
        first, second = self.partner(2)
        mirror = self.follow("res.partner", names=["image_1920"])
        [attachment] = self.ids(
            "INSERT INTO ir_attachment (name, type, res_model, res_field, res_id)"
            " VALUES ('image_1920', 'binary', 'res.partner', 'image_1920', %s) RETURNING id",
            first,
        )
        self.addCleanup(self.execute, "DELETE FROM ir_attachment WHERE id = %s", attachment)
        self.assertChanged(mirror, [first])
        self.execute("UPDATE ir_attachment SET res_id = %s WHERE id = %s", second, attachment)
        self.assertChanged(mirror, [first, second])
        self.execute("DELETE FROM ir_attachment WHERE id = %s", attachment)
        self.assertChanged(mirror, [second])
        # A document that is attached to a contact is not a value of a field.
        self.execute("INSERT INTO ir_attachment (name, type, res_model, res_id) VALUES ('x', 'binary', 'res.partner', %s)", first)
        self.addCleanup(self.execute, "DELETE FROM ir_attachment WHERE name = 'x' AND res_id = %s", first)
        self.assertSame(mirror)

    def test_many_binary_values_are_left_to_the_client(self):
        mirror = self.follow("res.partner", names=["image_1920"])
        with patch.object(ipai_sync_changes, "MAX_BINARY_IDS", 1):
            self.assertChanged(mirror, one := self.partner())
            self.assertEqual(list(mirror.rows), one)
            self.assertChanged(mirror, self.partner(2))
            self.assertIsNone(mirror.answer["page"])

    def properties(self, definition_record):
        """Let a field of contacts be one of properties, which `base` does not have."""
        field = self.Partner._fields["ref"]
        for name, value in (("type", "properties"), ("definition_record", definition_record)):
            patcher = patch.object(field, name, value, create=True)
            patcher.start()
            self.addCleanup(patcher.stop)
        self.registry.clear_cache()
        self.addCleanup(self.registry.clear_cache)

    def test_definition_of_properties(self):
        [parent] = self.partner()
        children = self.partner(2, parent_id=parent)
        self.properties("parent_id")
        mirror = self.follow("res.partner", names=["ref"])
        self.execute("UPDATE res_partner SET comment = 'x' WHERE id = %s", parent)
        self.assertChanged(mirror, [parent, *children])

    def test_shared_definition_of_properties(self):
        [partner] = self.partner()
        self.properties("self")
        mirror = self.follow("res.partner", names=["ref"])
        self.execute("UPDATE res_partner SET comment = 'x' WHERE id = %s", partner)
        self.assertChanged(mirror, self.ids("SELECT id FROM res_partner"))

    def test_domain_over_another_table(self):
        [partner], [category] = self.partner(), self.category("Before")
        self.tag((partner, category))
        mirror = self.follow("res.partner", [("category_id.name", "=", "After")])
        plain = self.follow("res.partner", [("category_id", "!=", False)])
        self.execute('UPDATE res_partner_category SET name = \'{"en_US": "After"}\' WHERE id = %s', category)
        self.assertChanged(mirror, [])
        self.assertEqual(mirror.answer["digest"], self.digest([partner]))
        self.execute(f"DELETE FROM {RELATION} WHERE partner_id = %s", partner)
        self.assertChanged(mirror, [])
        self.assertChanged(plain, [])


def new_test_user_committed(case, login="changes", groups="base.group_user"):
    """Commit a user and return its id."""
    with case.committed() as env:
        user = new_test_user(env, login, groups=groups)
        uid, partner = user.id, user.partner_id.id
    case.addCleanup(case.registry.clear_cache)
    case.addCleanup(case.execute, "DELETE FROM res_partner WHERE id = %s", partner)
    case.addCleanup(case.execute, "DELETE FROM res_users WHERE id = %s", uid)
    case.addCleanup(case.execute, "DELETE FROM res_groups_users_rel WHERE uid = %s", uid)
    return uid


class TestChangesOfAccess(ChangesCase):
    def test_record_rule(self):
        first, second = self.category(count=2)
        self.execute("UPDATE res_partner_category SET color = 3 WHERE id = %s", first)
        mirror, other = self.follow(CATEGORY, [("id", "in", [first, second])]), self.follow("res.country")
        values = {"name": "Changes", "model_id": self.env["ir.model"]._get_id(CATEGORY), "domain_force": "[('color', '=', 3)]"}
        with self.committed() as env:
            rule_id = env["ir.rule"].create(values).id
        self.addCleanup(self.registry.clear_cache)
        self.addCleanup(self.execute, "DELETE FROM ir_rule WHERE id = %s", rule_id)
        self.registry.clear_cache()
        self.assertEqual(self.poll(mirror, other), ["changed"] * 2)
        self.assertEqual((mirror.ids, mirror.answer["page"]), ([], None))
        self.assertEqual(mirror.answer["digest"], self.digest([first]))
        self.execute("DELETE FROM ir_rule WHERE id = %s", rule_id)
        self.registry.clear_cache()
        self.assertChanged(mirror, [])
        self.assertEqual(mirror.answer["digest"], self.digest([first, second]))

    def test_each_table_of_access(self):
        user = new_test_user_committed(self)
        mirror = self.follow("res.country")
        group = self.env.ref("base.group_partner_manager").id
        self.addCleanup(self.execute, "DELETE FROM res_company_users_rel WHERE user_id = %s", user)
        for statement in (
            "INSERT INTO res_groups_users_rel (uid, gid) VALUES (%(user)s, %(group)s)",
            "DELETE FROM res_groups_users_rel WHERE uid = %(user)s AND gid = %(group)s",
            "DELETE FROM res_company_users_rel WHERE user_id = %(user)s",
            "UPDATE res_users SET share = share WHERE id = %(user)s",
            "UPDATE res_groups SET share = share WHERE id = %(group)s",
            "UPDATE ir_model_access SET active = active WHERE id = (SELECT min(id) FROM ir_model_access)",
            "UPDATE res_company SET name = name WHERE id = (SELECT min(id) FROM res_company)",
        ):
            with self.subTest(statement=statement), self.other.cursor() as cr:
                cr.execute(statement, {"user": user, "group": group})
                self.assertChanged(mirror, [])
                self.assertEqual(mirror.answer["digest"], self.digest(self.ids("SELECT id FROM res_country")))
                self.assertSame(mirror)

    def test_rows_are_those_of_the_user(self):
        user = new_test_user_committed(self)
        mirror = Mirror("res.users", [("id", "=", user)], ["login"])
        self.poll(mirror, uid=user)
        self.execute("UPDATE res_users SET login = login WHERE id = %s", user)
        self.assertEqual(self.poll(mirror, uid=user), ["changed"])
        self.assertEqual(mirror.rows[user]["login"], "changes")
        secret = Mirror("ir.config_parameter")
        self.assertEqual(self.poll(secret, uid=user), ["error"])
        self.assertIn("not allowed", secret.answer["message"])
        # A token is of one user.
        self.assertEqual(self.poll(mirror), ["unknown"])


class TestChangesRefused(ChangesCase):
    def test_rewritten_table_is_left_for_later(self):
        [category] = self.category()
        mirror, other = self.follow(CATEGORY), self.follow("res.country")
        token = mirror.token

        def rewrite():
            self.execute("ALTER TABLE res_partner_category ADD COLUMN ipai_sync_test float8 DEFAULT random()")
            self.execute("ALTER TABLE res_partner_category DROP COLUMN ipai_sync_test")

        self.assertEqual(self.poll(mirror, other, before=rewrite), ["later", "same"])
        self.assertEqual(mirror.token, token)
        self.assertEqual(self.poll(mirror), ["changed"])
        self.assertIn(category, mirror.ids)

    def test_table_moved_by_vacuum_full_is_left_for_later(self):
        self.category()
        mirror = self.follow(CATEGORY)
        self.assertEqual(self.poll(mirror, before=lambda: self.execute("VACUUM FULL res_partner_category")), ["later"])
        self.assertSame(mirror)

    def test_table_rewritten_after_the_scan_is_left_for_later(self):
        [partner], [category] = self.partner(), self.category()
        self.tag((partner, category))
        mirror = self.follow("res.partner", [("id", "=", partner)], ["category_id"])
        self.execute("UPDATE res_partner SET comment = 'x' WHERE id = %s", partner)
        rewritten = scan.Scanner.rewritten

        def checked_before(scanner):
            result = rewritten(scanner)
            self.execute(f"TRUNCATE {RELATION}")
            return result

        pairs = self.execute(f"SELECT partner_id, category_id FROM {RELATION}")
        self.addCleanup(self.tag, *(pair for pair in pairs if pair != (partner, category)))
        with patch.object(scan.Scanner, "rewritten", checked_before):
            self.assertEqual(self.poll(mirror), ["later"])
        self.assertEqual(self.poll(mirror), ["changed"])
        self.assertEqual(mirror.rows[partner]["category_id"], [])

    def test_locked_table_is_left_for_later(self):
        [category] = self.category()
        mirror, other = self.follow(CATEGORY), self.follow("res.country")
        self.execute("UPDATE res_partner_category SET color = 1 WHERE id = %s", category)
        cr = self.connection().cursor()
        cr.execute("LOCK TABLE res_partner_category")
        self.assertEqual(self.poll(mirror, other), ["later", "same"])
        cr.connection.rollback()
        self.assertChanged(mirror, [category])

    def test_scans_hold_no_locks(self):
        mirrors = [self.follow(model) for model in ("res.country", "res.currency", "res.lang")]
        with closing(db_connect(self.cr.dbname).cursor()) as cr:
            self.execute("SELECT txid_current()")
            sync = self.env(cr=cr, user=self.uid)["ipai.sync"]
            sync.changes(encode([[*mirror.request, mirror.token] for mirror in mirrors]), 0)
            cr.execute("SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND relation = 'res_currency'::regclass")
            self.assertEqual(cr.fetchall(), [(0,)])

    def test_token_of_another_server(self):
        mirror = self.follow(CATEGORY)
        token = json.loads(mirror.token)
        xmax = int(token[2].split(":")[1])
        for place, value in (
            (0, token[0] + 1),
            (1, "1700000000.000001"),
            (2, f"{xmax + 1000}:{xmax + 1000}:"),
            (2, f"{xmax - 1}:{xmax}:{xmax - tokens.MAX_AGE - 1}"),
            (3, token[3] + 1),
            (7, {}),
        ):
            mirror.token = json.dumps([*token[:place], value, *token[place + 1 :]])
            with self.subTest(place=place, value=value):
                self.assertEqual(self.poll(mirror), ["unknown"])
                self.execute("SELECT txid_current()")
                self.assertChanged(mirror, [])
                self.assertSame(mirror)

    def test_malformed_token_is_unknown(self):
        mirror = self.follow(CATEGORY, names=["partner_ids"])
        token = json.loads(mirror.token)
        key = next(key for key, state in token[7].items() if len(state) == 5)
        for malformed in (
            *("", "x", "[]", "{}", "null", "1", '"' * 10, "[" * 100_000, "\x00", "\ud800"),
            *(json.dumps([*token[:place], value, *token[place + 1 :]]) for place in range(9) for value in (None, "x", [], {}, 1.5, True)),
            *(json.dumps([*token[:2], snapshot, *token[3:]]) for snapshot in ("", "1:2", "a:b:c", "1:2:x", "::")),
            *(json.dumps([*token[:7], {**token[7], key: state}, token[8]]) for state in ([], [1], ["x"] * 5, None, [1] * 6)),
            json.dumps([*token, 1]),
        ):
            mirror.token = malformed
            self.execute("SELECT txid_current()")
            with self.subTest(token=malformed[:200]):
                self.assertEqual(self.poll(mirror), ["unknown"])
        # Wrong sums do no harm.
        for number in (-1, 2**70):
            mirror.token = json.dumps([*token[:7], {key: [number] * len(state) for key, state in token[7].items()}, 1])
            self.execute("SELECT txid_current()")
            self.poll(mirror)
            self.assertIn(mirror.state, ("changed", "error"))

    def test_malformed_request(self):
        good = [CATEGORY, [], ["id"], {}, None]
        requests = [encode(request) for request in ({}, 1, None, [1], [[]], [good[:4]], [[*good, 1]])]
        requests += [encode([[*good[:place], 5, *good[place + 1 :]]]) for place in range(5)]
        requests += [encode([[CATEGORY, [], [5], {}, None]]), "", "x", "é", None, 5, encode([good])[:-8], encode([good])[1:]]
        requests += [base64.b64encode(zlib.compress(text)).decode() for text in (b"", b"[" * 100_000, b"\xff", b"[] []")]
        sync = self.env["ipai.sync"]
        for request in requests:
            with self.subTest(request=str(request)[:100]), self.assertRaisesRegex(UserError, "mirrors must be"):
                sync.changes(request, 0)
        with patch.object(ipai_sync_changes, "MAX_REQUEST", 10), self.assertRaisesRegex(UserError, "mirrors must be"):
            sync.changes(encode([good]), 0)
        for budget in (-1, "1", None, True, float("nan"), float("inf")):
            with self.subTest(budget=budget), self.assertRaisesRegex(UserError, "budget"):
                sync.changes(encode([good]), budget)

    def test_failure_of_one_mirror_leaves_the_others(self):
        mirror, failing = self.follow(CATEGORY), self.follow("res.country", names=["name"])
        broken = [
            Mirror("no.such.model"),
            Mirror(CATEGORY, names=["no_such_field"]),
            Mirror("res.users", names=["no_such_field"]),
            Mirror(CATEGORY, [("no_such_field.x", "=", 1)]),
            Mirror(CATEGORY, [("name", "no such operator", 1)]),
            Mirror(CATEGORY, ["|"]),
            Mirror(CATEGORY, [5]),
        ]
        self.poll(*broken)
        self.assertEqual([one.state for one in broken[:3]], ["error"] * 3)
        self.assertIn("no.such.model", broken[0].answer["message"])
        self.assertIn("no_such_field", broken[1].answer["message"])
        ids = self.category()
        self.execute("UPDATE res_country SET phone_code = phone_code WHERE id = %s", self.env.ref("base.be").id)
        export = self.registry["ipai.sync"]._export

        def fail(sync, model, *args):
            if model == "res.country":
                sync.env.cr.execute("SELECT 1 / 0", log_exceptions=False)
            return export(sync, model, *args)

        with patch.object(self.registry["ipai.sync"], "_export", fail):
            states = self.poll(failing, *broken, mirror)
        self.assertEqual(states, ["error"] * (len(broken) + 1) + ["changed"])
        self.assertEqual(mirror.ids, ids)

    def test_missing_column_affects_its_mirror_only(self):
        mirror, broken = self.follow(CATEGORY), self.follow("res.partner", names=["category_id"])
        with patch.object(self.Partner._fields["category_id"], "column1", "gone"):
            self.registry.clear_cache()
            self.addCleanup(self.registry.clear_cache)
            broken.token = None
            self.category()
            self.assertEqual(self.poll(broken, mirror), ["error", "changed"])

    def test_models_without_a_table(self):
        mirrors = [Mirror("base"), Mirror("ipai.sync"), Mirror("res.users.log")]
        self.execute("CREATE VIEW ipai_sync_test AS SELECT 1 AS id")
        self.addCleanup(self.execute, "DROP VIEW ipai_sync_test")
        with patch.object(type(self.env["res.users.log"]), "_table", "ipai_sync_test"):
            self.registry.clear_cache()
            self.addCleanup(self.registry.clear_cache)
            self.assertEqual(self.poll(*mirrors), ["unsupported"] * 3)
        self.assertEqual(mirrors[0].answer["reason"], "base has no table of its own.")

    def test_standby(self):
        mirrors = [self.follow(CATEGORY), Mirror("no.such.model")]
        moment = tokens.Moment(1, "1", None, 1)
        with patch.object(tokens.Moment, "now", return_value=moment):
            self.assertEqual(self.poll(*mirrors), ["unsupported"] * 2)
        self.assertFalse(getattr(type(self.env["ipai.sync"]).changes, "_readonly", False))


class TestChangesOrder(ChangesCase):
    def test_budget_leaves_mirrors_for_later_and_examines_all(self):
        models = ["res.country", "res.currency", "res.lang", "res.country.state", CATEGORY, "res.partner"]
        mirrors = [self.follow(model) for model in models]
        waiting = set(models)
        with patch.object(scan, "BATCH_ROWS", 1):
            for _ in models:
                self.execute("SELECT txid_current()")
                states = self.poll(*mirrors, budget=0.001)
                examined = {model for model, state in zip(models, states, strict=True) if state != "later"}
                self.assertTrue(examined)
                self.assertLess(len(examined), len(models))
                waiting -= examined
        self.assertEqual(waiting, set())

    def test_budget_limits_exports(self):
        mirrors = [self.follow(CATEGORY), self.follow("res.country")]
        self.category()
        self.execute("UPDATE res_country SET phone_code = phone_code WHERE id = %s", self.env.ref("base.be").id)
        rewritten = scan.Scanner.rewritten

        def slow(scanner):
            self.execute("SELECT pg_sleep(0.5)")
            return rewritten(scanner)

        with patch.object(scan.Scanner, "rewritten", slow):
            states = self.poll(*mirrors, budget=400)
        self.assertEqual(sorted(states), ["changed", "later"])
        self.assertEqual(sorted(self.poll(*mirrors)), ["changed", "same"])

    def test_urgency(self):
        moment = tokens.Moment(1, "1", "90:90:", 1000)

        def urgency(activity=5, snapshot="50:50:", time=999, changed=0, known=True):
            mirror = capture.Mirror(self.Partner, [], ["id"], None, 1)
            mirror.token = tokens.Token(1, "1", snapshot, 1, time, changed, activity, {}, 1) if known else None
            mirror.activity = 5
            return mirror.urgency(moment)

        moved, overdue, hot, old, quiet, unknown = (
            urgency(activity=4),
            urgency(time=900, snapshot="60:60:"),
            urgency(changed=990),
            urgency(snapshot="40:40:"),
            urgency(),
            urgency(known=False),
        )
        self.assertEqual(sorted([quiet, unknown, old, hot, overdue, moved]), [moved, overdue, hot, unknown, old, quiet])


class TestParentsOfGone(ChangesCase):
    def test_checksums(self):
        def state(*pairs):
            parents = [parent for parent, _child in pairs]
            hashes = sum(hash((parent, child, "x")) for parent, child in pairs)
            return [len(pairs), hashes, sum(parents), sum(parent**2 for parent in parents), max((c for _p, c in pairs), default=0)]

        def gone(old, kept, written):
            last = state(*old)[-1]
            known = [pair for pair in written if pair[1] <= last]
            return capture.parents_of_gone(state(*old), state(*kept, *written), state(*written), state(*known))

        a, b, c, d = (1, 10), (1, 11), (2, 12), (3, 13)
        old = [a, b, c, d]
        for kept, written, expected in (
            (old, [], set()),
            (old, [(5, 14)], set()),
            ([b, c, d], [], {1}),
            ([c, d], [], {1}),
            ([a, b, d], [], {2}),
            ([b, d], [], scan.MANY),
            ([c], [a, b, d], set()),
            ([c], [a, b, d, (9, 20)], set()),
            ([b, c, d], [(7, 10)], {1}),
            ([b, d], [(2, 10), (1, 12)], scan.MANY),
            ([], [], scan.MANY),
        ):
            with self.subTest(kept=kept, written=written):
                self.assertEqual(gone(old, kept, written), expected)
