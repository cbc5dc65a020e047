# Copyright 2026 ipai_sync contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).

import random
from itertools import pairwise

from odoo import models
from odoo.exceptions import UserError
from odoo.tests import new_test_user

from .common import ExportCase

MAX_ID = 2**31 - 1


class TestDigest(ExportCase):
    def digest(self, records, domain, bounds):
        self.flush_and_invalidate()
        return records.env["ipai.sync"].digest(records._name, domain, bounds)

    def assertDigests(self, records, domain, bounds):
        digests = self.digest(records, domain, bounds)
        self.flush_and_invalidate()
        found = records.search(domain).ids
        expected = []
        for low, high in pairwise(bounds):
            ids = [id_ for id_ in found if low < id_ <= high]
            expected.append([len(ids), str(sum(ids)), str(sum(id_ * id_ for id_ in ids))])
        self.assertEqual(digests, expected)
        return digests

    def test_intervals_are_open_below_and_closed_above(self):
        one, two, three = self.env["res.partner.category"].create([{"name": name} for name in "abc"]).ids
        for bounds in (
            [one - 1, three],
            [one, two, three],
            [one - 1, one, two, three],
            [one - 1, one, one, three + 100],
            [0, one - 1, MAX_ID],
            [three, MAX_ID],
            [0, 1],
        ):
            with self.subTest(bounds=bounds):
                self.assertDigests(self.env["res.partner.category"], [], bounds)

    def test_many_intervals(self):
        rng = random.Random(7)
        Field = self.env["ir.model.fields"]
        highest = Field.search([], order="id desc", limit=1).id
        for count in (2, 3, 50, 1000):
            bounds = sorted(rng.sample(range(highest + 1000), count))
            with self.subTest(count=count):
                digests = self.assertDigests(Field, [("ttype", "!=", "char")], bounds)
                self.assertEqual(len(digests), count - 1)

    def test_no_interval(self):
        self.assertEqual(self.digest(self.Partner, [], []), [])
        self.assertEqual(self.digest(self.Partner, [], [5]), [])

    def test_nothing_found(self):
        self.assertEqual(self.assertDigests(self.Partner, [("id", "=", 0)], [0, 10, 20]), [[0, "0", "0"]] * 2)
        self.assertEqual(self.assertDigests(self.Partner, [("id", "in", [])], [0, 10]), [[0, "0", "0"]])

    def test_largest_ids(self):
        self.sql(
            "insert into res_partner_category (id, name, active)"
            " select %s - n, jsonb_build_object('en_US', 'x'), true from generate_series(0, 9) as n",
            MAX_ID,
        )
        digests = self.assertDigests(self.env["res.partner.category"], [], [MAX_ID - 10, MAX_ID - 5, MAX_ID])
        self.assertEqual([digest[0] for digest in digests], [5, 5])
        self.assertEqual(digests[1][2], str(sum(id_ * id_ for id_ in range(MAX_ID - 4, MAX_ID + 1))))

    def test_archived(self):
        partners = self.Partner.create([{"name": f"Digest {n}", "active": n % 2 == 0} for n in range(10)])
        bounds = [partners.ids[0] - 1, partners.ids[4], partners.ids[9]]
        self.assertEqual([digest[0] for digest in self.assertDigests(self.Partner, [], bounds)], [3, 2])
        everything = self.Partner.with_context(active_test=False)
        self.assertEqual([digest[0] for digest in self.assertDigests(everything, [], bounds)], [5, 5])

    def test_record_rules(self):
        partners = self.Partner.create([{"name": f"Digest {n}", "color": n} for n in range(10)])
        self.restrict("res.partner", "[('color', 'in', [0, 2, 4])]")
        user = new_test_user(self.env, "sync_digest", groups="base.group_user")
        seen = self.assertDigests(self.Partner.with_user(user), [("id", "in", partners.ids)], [0, MAX_ID])
        self.assertEqual(seen[0][0], 3)
        self.assertEqual(self.assertDigests(self.Partner, [("id", "in", partners.ids)], [0, MAX_ID])[0][0], 10)

    def test_model_that_filters_in_python(self):
        partner = self.Partner.create({"name": "Digest"})
        values = [{"name": f"{n}", "res_model": "res.partner" if n % 2 else False, "res_id": partner.id} for n in range(8)]
        attachments = self.env["ir.attachment"].create(values)
        user = new_test_user(self.env, "sync_digest", groups="base.group_user")
        for records in (attachments, attachments.with_user(user)):
            with self.subTest(user=records.env.user.login):
                bounds = [0, attachments.ids[3], attachments.ids[7], MAX_ID]
                self.assertDigests(records, [("id", "in", attachments.ids)], bounds)

    def test_model_that_hides_found_records(self):
        categories = self.env["res.partner.category"].create([{"name": name} for name in "abcd"])
        search_fetch = models.BaseModel.search_fetch

        def hide(records, *args, **kwargs):
            return search_fetch(records, *args, **kwargs) - categories[1]

        self.patch(type(categories), "search_fetch", hide)
        digests = self.assertDigests(categories, [("id", "in", categories.ids)], [0, categories.ids[2], MAX_ID])
        self.assertEqual([digest[0] for digest in digests], [2, 1])
        self.assertEqual(self.digest(categories, [], [5]), [])

    def test_refuses_unordered_bounds(self):
        for bounds in ([2, 1], [0, 5, 4], [0, 1.5], ["0", "1"], [False, 3]):
            with self.subTest(bounds=bounds), self.assertRaisesRegex(UserError, "ascending"):
                self.digest(self.Partner, [], bounds)

    def test_errors_equal_those_of_search(self):
        user = new_test_user(self.env, "sync_digest", groups="base.group_portal")
        for records, domain in [
            (self.env["ir.config_parameter"].with_user(user), []),
            (self.Partner, [("no_such_field", "=", 1)]),
            (self.Partner, [("name", "no such operator", 1)]),
            (self.env["base"].with_user(user), []),
        ]:
            with self.subTest(model=records._name, domain=domain):
                expected = self.outcome(lambda records=records, domain=domain: records.search(domain))
                self.assertIsInstance(expected, tuple)
                self.assertEqual(self.outcome(lambda records=records, domain=domain: self.digest(records, domain, [0, 10])), expected)
        with self.assertRaisesRegex(UserError, "no.such.model"):
            self.env["ipai.sync"].digest("no.such.model", [], [0, 1])
