# Copyright 2026 ipai_sync contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).

import base64
import json
import zlib
from datetime import date, datetime
from unittest.mock import patch

from odoo import models, release
from odoo.exceptions import AccessError, MissingError, UserError
from odoo.fields import Float, Monetary
from odoo.modules.module import get_manifest
from odoo.tests import new_test_user
from odoo.tools import SQL, mute_logger

from ..models import ipai_sync
from .common import ExportCase, decode, expected_rows

TEXTS = [
    "",
    "plain",
    "tab\tand\nnewline\r\nand\rreturn",
    "back\\slash \\N \\. \\n \\\\",
    "\\N",
    "\\.",
    "\x01\x02\x08\x0b\x0c\x0e\x1f\x7f\x85\u2028",
    "🎉 ☕ 👩🏽‍🍳 ñ é 日本語 العربية \ufffe\uffff",
    "<b>&amp; \"quoted\" & 'single'</b> ]]> %s %(x)s {}",
    "  spaces around  ",
    "x" * 300_000,
]


class TestInfo(ExportCase):
    def test_info(self):
        parameter = self.env["ir.config_parameter"].search([("key", "=", "database.uuid")])
        uuid = parameter.value
        self.assertTrue(uuid)
        for user in (self.env.ref("base.user_admin"), new_test_user(self.env, "sync_info", groups="base.group_portal")):
            info = self.env["ipai.sync"].with_user(user).info()
            self.assertEqual(info, {"protocol": 1, "version": ipai_sync.VERSION, "uuid": uuid, "changes": True})
        parameter.value = ""
        self.assertIs(self.env["ipai.sync"].info()["uuid"], False)

    def test_version_equals_the_manifest(self):
        # Odoo prefixes the version with its own series.
        self.assertEqual(get_manifest("ipai_sync")["version"], f"{release.major_version}.{ipai_sync.VERSION}")

    def test_has_table(self):
        sync = self.env["ipai.sync"].with_user(new_test_user(self.env, "sync_has_table", groups="base.group_portal"))
        tables = {"res.partner": True, "res.users.apikeys": True, "res.device": False, "ipai.sync": False}
        self.assertEqual({model: sync.has_table(model) for model in tables}, tables)
        with self.assertRaisesRegex(UserError, "res.partnr"):
            sync.has_table("res.partnr")


class TestFormat(ExportCase):
    def test_page_text(self):
        partner = self.Partner.create({"name": "A\tB", "color": 7, "street": False, "city": ""})
        self.flush_and_invalidate()
        answer = self.env["ipai.sync"].export("res.partner", [("id", "=", partner.id)], ["name", "color", "street", "city", "employee"])
        uuid = self.env["ipai.sync"].info()["uuid"]
        self.assertEqual(
            zlib.decompress(base64.b64decode(answer)).decode(),
            f'{{"uuid":"{uuid}",'
            '"columns":[["id","i"],["name","s"],["color","i"],["street","s"],["city","s"],["employee","b"]]}\n'
            f"{partner.id}\tA\\tB\t7\t\\N\t\tf\n"
            "\\. 1\n",
        )

    def test_read_and_copy_write_the_same_page(self):
        partner = self.Partner.create({"name": "x", "street": "".join(TEXTS[:-1]), "color": -5, "partner_latitude": 1.5, "comment": False})
        names = ["street", "color", "comment", "employee", "parent_id", "lang", "create_date", "partner_latitude"]
        self.flush_and_invalidate()
        with self.assert_only_copy():
            copied = self.env["ipai.sync"].export("res.partner", [("id", "=", partner.id)], names)
        with patch.object(ipai_sync, "get_wait_callback", return_value=print), self.assert_read_used():
            read = self.env["ipai.sync"].export("res.partner", [("id", "=", partner.id)], names)
        self.assertEqual(*(zlib.decompress(base64.b64decode(answer)).decode() for answer in (read, copied)))

    def test_id_is_first_and_unique(self):
        for names, expected in [
            (["id"], ["id"]),
            (["name"], ["id", "name"]),
            (["name", "id"], ["id", "name"]),
            (["name", "id", "color", "name", "id"], ["id", "name", "color"]),
            # Some columns come from COPY and some from read(), in the requested order.
            (["category_id", "name", "display_name", "color"], ["id", "category_id", "name", "display_name", "color"]),
        ]:
            with self.subTest(names=names):
                columns, rows = self.export(self.Partner, [], names)
                self.assertEqual([name for name, _wire_type in columns], expected)
                self.assertEqual([list(row) for row in rows], [expected] * len(rows))
                self.assertExports(self.Partner, [], list(dict.fromkeys(names)))

    def test_no_field_names_select_all_fields(self):
        for names in ([], False, None):
            answer = self.env["ipai.sync"].export("res.partner.category", [], names)
            self.assertEqual(
                sorted(name for name, _wire_type in decode(answer)[0]), sorted(self.env["res.partner.category"].fields_get(attributes=()))
            )

    def test_types(self):
        expected = {
            "id": "i", "name": "s", "comment": "s", "lang": "s", "type": "s", "create_date": "s", "color": "i", "parent_id": "i",
            "partner_latitude": "f", "active": "b", "category_id": "j", "child_ids": "j", "image_128": "s",
        }  # fmt: skip
        self.assertEqual(dict(self.export(self.Partner, [], list(expected), 1)[0]), expected)
        self.assertEqual(dict(self.export(self.env["ir.attachment"], [], ["res_id"], 1)[0])["res_id"], "i")
        self.assertEqual(dict(self.export(self.env["ir.ui.menu"], [], ["action"], 1)[0])["action"], "s")

    def test_nothing_found(self):
        for domain in ([("id", "=", 0)], [("id", "in", [])]):
            for names in (["id"], ["name"], ["name", "category_id"], ["category_id"]):
                with self.subTest(domain=domain, names=names):
                    columns, rows = self.export(self.Partner, domain, names)
                    self.assertEqual([name for name, _wire_type in columns], list(dict.fromkeys(["id", *names])))
                    self.assertEqual(rows, [])

    def test_order_and_limit(self):
        # The model defines another order.
        countries = self.env["res.country"]
        ids = sorted(countries.search([]).ids)
        for names in (["id"], ["name"], ["state_ids"], ["name", "state_ids"]):
            for limit in (1, 7, len(ids), len(ids) + 1, None, False, 0):
                with self.subTest(names=names, limit=limit):
                    rows = self.export(countries, [], names, limit)[1]
                    self.assertEqual([row["id"] for row in rows], ids[: limit or None])

    def test_model_with_its_own_search_order(self):
        categories = self.env["res.partner.category"].create([{"name": name} for name in "cab"])

        def search(records, *args, **kwargs):
            return categories.browse(reversed(categories.ids))._as_query()

        self.patch(type(categories), "_search", search)
        for names in (["id"], ["name"], ["display_name"], ["name", "display_name"]):
            with self.subTest(names=names):
                rows = self.export(categories, [], names)[1]
                self.assertEqual([row["id"] for row in rows], categories.ids)
                self.flush_and_invalidate()
                self.assertRows(categories, rows, expected_rows(categories, names))

    def test_pages(self):
        countries, seen, last = self.env["res.country"], [], 0
        with self.assert_only_copy():
            while rows := self.export(countries, [("id", ">", last)], ["name"], 60)[1]:
                seen += rows
                last = rows[-1]["id"]
        self.assertRows(countries, seen, expected_rows(countries.search([], order="id"), ["name"]))


class TestValues(ExportCase):
    """Values that Postgres writes equal those that Odoo reads."""

    def test_texts(self):
        partners = self.Partner.create([{"name": "x", "street": text, "comment": False} for text in TEXTS])
        for partner, text in zip(partners, TEXTS, strict=True):
            self.sql("update res_partner set comment = %s where id = %s", text, partner.id)
        domain = [("id", "in", partners.ids)]
        with self.assert_only_copy():
            rows = self.assertExports(self.Partner, domain, ["street", "comment"])
        self.assertEqual([row["street"] for row in rows], TEXTS)
        # The same values through read().
        self.assertEqual([row["street"] for row in self.assertExports(self.Partner, domain, ["street", "category_id"])], TEXTS)
        self.patch_read(self.Partner)
        with self.assert_read_used():
            self.assertEqual([row["street"] for row in self.assertExports(self.Partner, domain, ["street"])], TEXTS)

    def patch_read(self, records):
        """Override `read` without changing its result."""
        self.patch(type(records), "read", lambda self, fields=None, load="_classic_read": models.BaseModel.read(self, fields, load))

    def test_nulls_that_only_sql_can_store(self):
        partner = self.Partner.create({"name": "x"})
        names = ["color", "partner_latitude", "employee", "parent_id", "street", "comment", "lang", "create_date", "create_uid"]
        columns = ", ".join(f"{name} = null" for name in names)
        self.sql(f"update res_partner set {columns} where id = %s", partner.id)
        with self.assert_only_copy():
            (row,) = self.assertExports(self.Partner, [("id", "=", partner.id)], names)
        self.assertEqual(
            row,
            {
                "id": partner.id, "color": 0, "partner_latitude": 0.0, "employee": False, "parent_id": None, "street": None,
                "comment": None, "lang": None, "create_date": None, "create_uid": None,
            },
        )  # fmt: skip

    def test_doubles(self):
        values = [
            "NaN", "Infinity", "-Infinity", "0", "-0", "1e22", "1e-7", "0.30000000000000004", "5e-324", "1.7976931348623157e308",
            "-1.5", "123456789012345678", "4503599627370497.5", "1e23", "9007199254740993", "0.1",
        ]  # fmt: skip
        formats = self.env["report.paperformat"].create([{"name": value} for value in values])
        for paper, value in zip(formats, values, strict=True):
            self.sql("update report_paperformat set margin_top = %s::float8, margin_left = null where id = %s", value, paper.id)
        with self.assert_only_copy():
            rows = self.assertExports(formats, [("id", "in", formats.ids)], ["margin_top", "margin_left"])
        # Python and Postgres parse the values alike, except for -0, which Odoo returns as 0.
        expected = [0.0 if value == "-0" else float(value) for value in values]
        self.assertEqual(list(map(repr, (row["margin_top"] for row in rows))), list(map(repr, expected)))

    def test_numerics(self):
        values = [
            "NaN", "Infinity", "-Infinity", "0", "-0.00", "12.50", "0.1", "1e22", "123456789.123456789123456789", "9007199254740993",
            "-0.000000000000000000000000000001", "1e308", "2.5e-308",
        ]  # fmt: skip
        partners = self.Partner.create([{"name": value} for value in values])
        for partner, value in zip(partners, values, strict=True):
            self.sql("update res_partner set partner_latitude = %s::numeric where id = %s", value, partner.id)
        expected = [0.0 if value == "-0.00" else float(value) for value in values]
        field = self.Partner._fields["partner_latitude"]
        self.assertIs(type(field), Float)
        # `base` has no monetary field.
        self.addCleanup(setattr, field, "__class__", Float)
        for kind in (Float, Monetary):
            field.__class__ = kind
            with self.assert_only_copy():
                rows = self.assertExports(partners, [("id", "in", partners.ids)], ["partner_latitude"])
            self.assertEqual(list(map(repr, (row["partner_latitude"] for row in rows))), list(map(repr, expected)))

    def test_numerics_outside_of_doubles(self):
        # Python converts them to infinity and 0; Postgres would raise an error.
        partners = self.Partner.create([{"name": value} for value in ("1e400", "-1e400", "1e-400", "1")])
        for partner in partners:
            self.sql("update res_partner set partner_latitude = %s::numeric where id = %s", partner.name, partner.id)
        for names in (["partner_latitude"], ["partner_latitude", "category_id"]):
            with self.assert_read_used():
                rows = self.assertExports(partners, [("id", "in", partners.ids)], names)
            self.assertEqual([row["partner_latitude"] for row in rows], [float("inf"), float("-inf"), 0.0, 1.0])

    def test_dates_and_times(self):
        values = [
            "2026-01-06 08:00:00", "2026-01-06 08:00:00.999999", "1999-12-31 23:59:59.5", "1970-01-01 00:00:00.000001",
            "1000-01-01 00:00:00", "9999-12-31 23:59:59.999999",
        ]  # fmt: skip
        partners = self.Partner.create([{"name": value} for value in values])
        for partner, value in zip(partners, values, strict=True):
            self.sql("update res_partner set create_date = %s where id = %s", value, partner.id)
        with self.assert_only_copy():
            rows = self.assertExports(partners, [("id", "in", partners.ids)], ["create_date"])
        self.assertEqual([row["create_date"] for row in rows], [value.partition(".")[0] for value in values])
        rates = self.rates(["2026-01-06", "1000-01-01", "9999-12-31", "1969-12-31"])
        with self.assert_only_copy():
            rows = self.assertExports(rates, [("id", "in", rates.ids)], ["name", "rate"])
        self.assertEqual([row["name"] for row in rows], ["2026-01-06", "1000-01-01", "9999-12-31", "1969-12-31"])

    def test_years_with_fewer_than_four_digits(self):
        # Python's format depends on its version and on the C library.
        days = ["0001-01-01", "0099-12-31", "0999-12-31"]
        partners = self.Partner.create([{"name": day} for day in days])
        for partner, day in zip(partners, days, strict=True):
            self.sql("update res_partner set create_date = %s where id = %s", f"{day} 23:59:59.9", partner.id)
        rates = self.rates(days)
        for names in ([], ["category_id"]):
            with self.assert_read_used():
                rows = self.assertExports(partners, [("id", "in", partners.ids)], ["create_date", *names])
            self.assertTrue(rows[2]["create_date"].endswith("999-12-31 23:59:59"), rows)
        with self.assert_read_used():
            self.assertExports(rates, [("id", "in", rates.ids)], ["name", "rate"])

    def rates(self, days):
        """Return currency rates, which have a date."""
        currencies = self.env["res.currency"].with_context(active_test=False).search([], limit=len(days))
        rates = self.env["res.currency.rate"].create(
            [{"name": "2026-01-01", "currency_id": currency.id, "rate": 2} for currency in currencies]
        )
        for rate, day in zip(rates, days, strict=True):
            self.sql("update res_currency_rate set name = %s where id = %s", day, rate.id)
        return rates

    def test_times_outside_of_python_datetimes(self):
        # Infinity reads as Python's last or first day; the other values raise errors.
        for value in ("infinity", "-infinity", "0044-03-15 BC", "20000-01-01"):
            with self.subTest(value=value):
                partner = self.Partner.create({"name": value})
                self.sql("update res_partner set create_date = %s::timestamp where id = %s", value, partner.id)
                rate = self.rates(["2026-01-01"])
                self.sql("update res_currency_rate set name = %s::date where id = %s", value, rate.id)
                for records, name in ((partner, "create_date"), (rate, "name")):

                    def read(records=records, name=name):
                        return expected_rows(records.search([("id", "=", records.id)]), [name])

                    def exported(records=records, name=name):
                        return decode(self.env["ipai.sync"].export(records._name, [("id", "=", records.id)], [name]))[1]

                    expected = self.outcome(read)
                    self.assertIsInstance(expected, list if "infinity" in value else tuple)
                    self.assertEqual(self.outcome(exported), expected)
                rate.unlink()

    def test_integers(self):
        numbers = [0, 1, -1, 2**31 - 1, -(2**31)]
        partners = self.Partner.create([{"name": "x", "color": number} for number in numbers])
        with self.assert_only_copy():
            rows = self.assertExports(partners, [("id", "in", partners.ids)], ["color"])
        self.assertEqual([row["color"] for row in rows], numbers)

    def test_pending_changes_are_flushed_first(self):
        parent, child = self.Partner.create([{"name": "Parent"}, {"name": "Child"}])
        self.flush_and_invalidate()
        child.parent_id = parent
        parent.name = "Renamed"
        # Stored computed fields that are not recomputed yet.
        answer = self.env["ipai.sync"].export("res.partner", [("id", "=", child.id)], ["commercial_partner_id", "complete_name"])
        (row,) = decode(answer)[1]
        self.assertEqual((row["commercial_partner_id"], row["complete_name"]), (parent.id, "Renamed, Child"))

    def test_relations(self):
        categories = self.env["res.partner.category"].create([{"name": "a"}, {"name": "b", "active": False}])
        parent = self.Partner.create({"name": "Parent", "category_id": categories.ids})
        child, archived = self.Partner.create(
            [{"name": "Child", "parent_id": parent.id}, {"name": "Old", "parent_id": parent.id, "active": False}]
        )
        names = ["name", "parent_id", "child_ids", "category_id", "user_ids", "display_name"]
        domain = [("id", "in", [parent.id, child.id, archived.id])]
        rows = self.assertExports(self.Partner, domain, names)
        self.assertEqual((len(rows), rows[0]["category_id"]), (2, categories.ids[:1]))
        rows = self.assertExports(self.Partner.with_context(active_test=False), domain, names)
        # The context applies to `read` as well.
        self.assertEqual((len(rows), sorted(rows[0]["category_id"])), (3, categories.ids))

    def test_binary(self):
        pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="
        partners = self.Partner.create([{"name": "x", "image_1920": pixel}, {"name": "y"}])
        first, second = self.assertExports(partners, [("id", "in", partners.ids)], ["name", "image_1920"])
        self.assertEqual((first["image_1920"], second["image_1920"]), (pixel, None))

    def test_binary_of_odoo_20(self):
        partners = self.Partner.create([{"name": name} for name in "abc"])
        contents = [{"content": b"YWI=", "size": 2}, {"content": "YQ==", "size": 1, "filename": "a.txt"}, {"content": False, "size": 0}]

        def read(records, fields=None, load=""):
            return [{"id": record.id, "image_1920": content} for record, content in zip(records, contents, strict=True)]

        self.patch(type(self.Partner), "read", read)
        columns, rows = self.export(partners, [("id", "in", partners.ids)], ["image_1920"])
        self.assertEqual((columns[1], [row["image_1920"] for row in rows]), (["image_1920", "s"], ["YWI=", "YQ==", None]))

    def test_binary_that_holds_a_structure(self):
        partner = self.env["res.partner"].create({"name": "x"})
        structure = {"groups": [{"name": "Total", "amount": 1.5}]}
        read = type(partner).read

        def read_structure(records, *args, **kwargs):
            return [{**values, "image_1920": structure} for values in read(records, *args, **kwargs)]

        with patch.object(type(partner), "read", read_structure):
            answer = self.env["ipai.sync"].export("res.partner", [("id", "=", partner.id)], ["image_1920"])
        columns, rows = decode(answer)
        self.assertEqual((columns[1], rows[0]["image_1920"]), (["image_1920", "j"], structure))

    def test_references(self):
        attachment = self.env["ir.attachment"].create({"name": "x", "res_model": "res.partner", "res_id": self.env.user.partner_id.id})
        (row,) = self.assertExports(attachment, [("id", "=", attachment.id)], ["name", "res_id", "res_model"])
        self.assertEqual(row["res_id"], self.env.user.partner_id.id)
        rows = self.assertExports(self.env["ir.ui.menu"], [], ["name", "action"])
        self.assertTrue([row for row in rows if row["action"] and row["action"].startswith("ir.actions.")])

    def test_documents(self):
        found = [
            (model, field)
            for model in sorted(self.registry)
            for field in self.registry[model]._fields.values()
            if field.type == "properties" and field.store and not self.env[model]._abstract
        ]
        # `base` of Odoo 18 has no properties field.
        self.assertTrue(found or release.version_info[0] < 19)
        for model, field in found[:5]:
            if model != "res.partner":
                continue
            definition = [
                {"name": "aa", "string": "Text", "type": "char"},
                {"name": "bb", "string": "Day", "type": "date"},
                {"name": "cc", "string": "One", "type": "many2one", "comodel": "res.partner"},
            ]
            base = self.env["properties.base.definition"]._get_definition_for_property_field("res.partner", field.name)
            base.properties_definition = definition
            partner = self.Partner.create({"name": "x"})
            values = {"aa": "a\tb\\c\n\x01☕", "bb": "2026-01-06", "cc": self.env.user.partner_id.id}
            partner[field.name] = values
            row = self.export(partner, [("id", "=", partner.id)], [field.name])[1][0]
            texts = {item["name"]: item["value"] for item in row[field.name]}
            # A control character, which XML does not allow, is removed.
            self.assertEqual((texts["aa"], texts["bb"]), ("a\tb\\c\n☕", "2026-01-06"))
            self.assertEqual(texts["cc"][0], self.env.user.partner_id.id)
            partner[field.name] = {**values, "aa": "a\tb"}
            self.assertExports(partner, [("id", "=", partner.id)], ["name", field.name])

    def test_json_cell_of_any_value(self):
        """Values of computed fields, in a JSON cell."""
        partner = self.Partner.create({"name": "x"})
        values = {
            "nan": float("nan"), "inf": float("-inf"), "day": date(2026, 1, 6), "moment": datetime(2026, 1, 6, 8, 0, 0, 999),
            "pair": (1, "two"), "none": None, "no": False, "bytes": b"abc", "deep": [{"\x02key": "\x00text"}], 5: "five",
        }  # fmt: skip
        self.patch(type(self.Partner), "read", lambda self, fields=None, load="": [{"id": partner.id, "category_id": values}])
        (row,) = self.export(partner, [("id", "=", partner.id)], ["category_id"])[1]
        self.assertEqual(
            row["category_id"],
            {
                "nan": "NaN", "inf": "-Infinity", "day": "2026-01-06", "moment": "2026-01-06 08:00:00", "pair": [1, "two"],
                "none": None, "no": False, "bytes": "abc", "deep": [{"key": "text"}], "5": "five",
            },
        )  # fmt: skip

    def test_relations_to_text_ids(self):
        def read(records, fields=None, load=""):
            return [{"id": record.id, "parent_id": number and "40"} for number, record in enumerate(records)]

        partners = self.Partner.create([{"name": "x"}, {"name": "y"}])
        self.patch(type(self.Partner), "read", read)
        columns, rows = self.export(partners, [("id", "in", partners.ids)], ["parent_id"])
        self.assertEqual((columns[1], [row["parent_id"] for row in rows]), (["parent_id", "s"], ["0", "40"]))

    def test_record_that_read_omits(self):
        partners = self.Partner.create([{"name": name} for name in "abc"])
        compute = type(self.Partner)._compute_display_name

        def vanish(records):
            if gone := records.filtered(lambda partner: partner.name == "b"):
                raise MissingError(gone.name)
            compute(records)

        self.patch(type(self.Partner), "_compute_display_name", vanish)
        domain = [("id", "in", partners.ids)]
        for names in (["display_name"], ["name", "display_name"]):
            rows = self.assertExports(self.Partner.with_context(prefetch_fields=False), domain, names)
            self.assertLess(len(rows), 3)
        self.assertEqual(len(self.assertExports(self.Partner, domain, ["name"])), 3)


class TestContext(ExportCase):
    def test_archived(self):
        partners = self.Partner.create([{"name": f"p{n}", "active": n % 3 > 0} for n in range(6)])
        domain = [("id", "in", partners.ids)]
        with self.assert_only_copy():
            self.assertEqual(len(self.assertExports(self.Partner, domain, ["name", "active"])), 4)
            everything = self.Partner.with_context(active_test=False)
            self.assertEqual(len(self.assertExports(everything, domain, ["name", "active"])), 6)
            named = [*domain, ("active", "=", False)]
            self.assertEqual(len(self.assertExports(self.Partner, named, ["name", "active"])), 2)
            self.sql("update res_partner set active = null where id = %s", partners.ids[1])
            self.assertEqual(len(self.assertExports(self.Partner, domain, ["name", "active"])), 3)
            self.assertEqual(len(self.assertExports(everything, domain, ["name", "active"])), 6)

    def test_field_computed_from_archived_records(self):
        """As in `search_read`, and with a list of ids as in `read`."""
        self.env["ir.model.fields"].create(
            {
                "name": "x_categories",
                "model_id": self.env["ir.model"]._get("res.partner").id,
                "field_description": "Number of categories",
                "ttype": "integer",
                "store": False,
                "depends": "category_id",
                "compute": "for record in self: record['x_categories'] = len(record.category_id)",
            }
        )
        categories = self.env["res.partner.category"].create([{"name": "Kept"}, {"name": "Old", "active": False}])
        partner = self.Partner.create({"name": "p", "category_id": categories.ids})
        domain, everything = [("id", "=", partner.id)], self.Partner.with_context(active_test=False)
        self.flush_and_invalidate()
        (row,) = everything.search_read(domain, ["x_categories"])
        self.assertEqual(row["x_categories"], 1)
        for names, expected in [(["x_categories"], 1), (["name", "x_categories"], 1), (["x_categories", "category_id"], 2)]:
            (row,) = self.assertExports(everything, domain, names)
            self.assertEqual(row["x_categories"], expected)

    def test_languages(self):
        for code in ("fr_FR", "de_DE"):
            self.env["res.lang"]._activate_lang(code)
        categories = self.env["res.partner.category"].create([{"name": "Both"}, {"name": "English only"}])
        categories[0].with_context(lang="fr_FR").name = "Les deux"
        self.env.company.report_header = "<p>Hello</p>"
        self.env.company.update_field_translations("report_header", {"fr_FR": {"Hello": "Bonjour"}})
        for lang, expected in [
            (None, ["Both", "English only"]),
            ("en_US", ["Both", "English only"]),
            ("fr_FR", ["Les deux", "English only"]),
            ("de_DE", ["Both", "English only"]),
        ]:
            with self.subTest(lang=lang), self.assert_only_copy():
                records = categories.with_context(lang=lang)
                rows = self.assertExports(records, [("id", "in", categories.ids)], ["name"])
                self.assertEqual([row["name"] for row in rows], expected)
                header = self.assertExports(self.env.company.with_context(lang=lang), [("id", "=", self.env.company.id)], ["report_header"])
                self.assertEqual("Bonjour" in header[0]["report_header"], lang == "fr_FR")
                # A field that is translated term by term.
                self.assertExports(self.env["ir.ui.view"].with_context(lang=lang), [], ["name", "arch_db"], 50)

    def test_missing_language(self):
        records = self.env["res.partner.category"].create({"name": "x"}).with_context(lang="xx_XX")
        expected = self.outcome(lambda: expected_rows(records.search([], order="id"), ["name"]))
        exported = self.outcome(lambda: decode(records.env["ipai.sync"].export(records._name, [], ["name"]))[1])
        self.assertIsInstance(expected, tuple)
        self.assertEqual(exported, expected)

    def test_contexts_that_change_translations(self):
        self.env["res.lang"]._activate_lang("fr_FR")
        company = self.env.company
        company.report_header = "<p>Hello</p>"
        company.update_field_translations("report_header", {"fr_FR": {"Hello": "Bonjour"}})
        for context in ({"prefetch_langs": True}, {"edit_translations": True}, {"check_translations": True}):
            for lang in ("en_US", "fr_FR"):
                with self.subTest(context=context, lang=lang):
                    self.assertExports(company.with_context(lang=lang, **context), [("id", "=", company.id)], ["report_header", "name"])

    def test_companies(self):
        ours, theirs = self.env["res.company"].create([{"name": "Ours"}, {"name": "Theirs"}])
        self.restrict("res.partner", "[('company_id', 'in', company_ids + [False])]")
        companies = [(6, 0, [ours.id, theirs.id])]
        user = new_test_user(self.env, "sync_companies", groups="base.group_user", company_id=ours.id, company_ids=companies)
        partners = self.Partner.create([{"name": "x", "company_id": company_id} for company_id in (ours.id, theirs.id, False)])
        domain = [("id", "in", partners.ids)]
        for allowed, count in (([ours.id], 2), ([theirs.id], 2), ([ours.id, theirs.id], 3)):
            with self.subTest(allowed=allowed):
                records = partners.with_user(user).with_context(allowed_company_ids=allowed)
                with self.assert_only_copy():
                    self.assertEqual(len(self.assertExports(records, domain, ["name", "company_id"])), count)
                self.assertEqual(len(self.assertExports(records, domain, ["name", "category_id"])), count)
        records = partners.with_user(user).with_context(allowed_company_ids=[self.env.ref("base.main_company").id])
        read = self.outcome(lambda: expected_rows(records.search(domain, order="id"), ["name"]))
        self.assertIs(read[0], AccessError)
        self.assertEqual(self.outcome(lambda: self.export(records, domain, ["name"])), read)

    def test_company_dependent(self):
        self.assertTrue(self.Partner._fields["barcode"].company_dependent)
        ours, theirs = self.env["res.company"].create([{"name": "Ours"}, {"name": "Theirs"}])
        partner = self.Partner.create({"name": "x"})
        partner.with_company(ours).barcode = "ours"
        for company, expected in ((ours, "ours"), (theirs, None)):
            with self.assert_only_copy():
                (row,) = self.assertExports(self.Partner.with_company(company), [("id", "=", partner.id)], ["name", "barcode"])
            self.assertEqual(row["barcode"], expected)


class TestRights(ExportCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.internal = new_test_user(cls.env, "sync_rights", groups="base.group_user")
        cls.portal = new_test_user(cls.env, "sync_rights_portal", groups="base.group_portal")

    def outcomes(self, records, domain, names):
        """Return the outcomes of `search_read` and of `export`."""
        read = self.outcome(lambda: records.search_read(domain, names, order="id", load=""))
        return read, self.outcome(lambda: decode(records.env["ipai.sync"].export(records._name, domain, names))[1])

    def assertRefused(self, records, domain, names):
        read, exported = self.outcomes(records, domain, names)
        self.assertIsInstance(read, tuple)
        self.assertEqual(exported, read)
        return exported[0]

    def test_models(self):
        for model in ("ir.cron", "ir.mail_server", "ir.config_parameter"):
            self.assertIs(self.assertRefused(self.env[model].with_user(self.portal), [], ["id"]), AccessError)

    def test_record_rules(self):
        categories = self.env["res.partner.category"].create([{"name": f"c{n}", "color": n} for n in range(6)])
        self.restrict("res.partner.category", "[('color', '!=', 3)]")
        domain = [("id", "in", categories.ids)]
        with self.assert_only_copy():
            self.assertEqual(len(self.assertExports(categories, domain, ["name", "color"])), 6)
            rows = self.assertExports(categories.with_user(self.internal), domain, ["name", "color"])
        self.assertEqual([row["color"] for row in rows], [0, 1, 2, 4, 5])
        rows = self.assertExports(categories.with_user(self.internal), domain, ["name", "color", "child_ids"])
        self.assertEqual(len(rows), 5)
        self.assertEqual(len(self.assertExports(categories.with_user(self.internal), domain, ["id"])), 5)

    def test_field_groups(self):
        Category = self.env["res.partner.category"]
        Category.create({"name": "x", "color": 5})
        self.patch(Category._fields["color"], "groups", "base.group_system")
        self.assertExports(Category, [], ["name", "color"])
        theirs = Category.with_user(self.internal)
        for domain in ([], [("id", "=", 0)], [("id", "in", [])]):
            for names in (["color"], ["name", "color"], ["color", "child_ids"], ["child_ids", "name", "color"]):
                with self.subTest(domain=domain, names=names):
                    self.assertIs(self.assertRefused(theirs, domain, names), AccessError)
        self.assertIs(self.assertRefused(theirs, [("color", "=", 5)], ["name"]), AccessError)
        self.assertExports(theirs, [], ["name"])
        # Without field names, unreadable fields are omitted.
        self.assertIn("color", dict(self.export(Category, [], ())[0]))
        self.assertNotIn("color", dict(self.export(theirs, [], ())[0]))
        self.patch(Category._fields["color"], "groups", ".")
        self.assertIs(self.assertRefused(theirs, [], ["color"]), AccessError)

    def test_unknown_fields(self):
        for names in (["no_such_field"], ["name", "no_such_field"], ["category_id", "no_such_field"], ["name.x"]):
            with self.subTest(names=names):
                self.assertIs(self.assertRefused(self.Partner, [], names), ValueError)
                self.assertIs(self.assertRefused(self.env["res.users"], [], names), ValueError)

    def test_invalid_domains(self):
        for domain in ([("no_such_field", "=", 1)], [("name", "no such operator", 1)], ["name"], [("name", "=")], [5]):
            with self.subTest(domain=domain):
                self.assertRefused(self.Partner, domain, ["name"])

    def test_unknown_models(self):
        for model in ("no.such.model", "", "res_partner", 5, None):
            with self.subTest(model=model), self.assertRaisesRegex(UserError, "doesn't exist"):
                self.env["ipai.sync"].export(model, [], ["name"])

    def test_abstract_models(self):
        self.assertIs(self.assertRefused(self.env["base"].with_user(self.env.ref("base.user_admin")), [], ["id"]), AccessError)
        self.assertRefused(self.env["base"], [], ["id"])
        self.assertRefused(self.env["ipai.sync"].with_user(self.internal), [], ["id"])

    def test_attachments(self):
        # Odoo filters attachments in Python.
        secret = self.Partner.create({"name": "x"})
        attachments = self.env["ir.attachment"].create(
            [
                {"name": "theirs", "res_model": "res.partner", "res_id": self.internal.partner_id.id},
                {"name": "parameter", "res_model": "ir.config_parameter", "res_id": self.env["ir.config_parameter"].search([], limit=1).id},
                {"name": "secret", "res_model": "res.partner", "res_id": secret.id},
                {"name": "none"},
            ]
        )
        self.restrict("res.partner", f"[('id', '!=', {secret.id})]")
        domain = [("id", "in", attachments.ids)]
        for limit in (None, 1, 2):
            with self.subTest(limit=limit):
                rows = self.assertExports(attachments.with_user(self.internal), domain, ["name", "res_id", "mimetype"], limit)
                self.assertEqual([row["name"] for row in rows], ["theirs"])
        self.assertEqual(len(self.assertExports(attachments, domain, ["name", "mimetype"])), 4)

    def test_own_user(self):
        # Users may read more fields of their own user than of others.
        users = self.env["res.users"].with_user(self.internal)
        for names in (
            ["login", "tz"],
            ["signature"],
            ["notification_type"],
            ["id", "tz"],
            ["tz", "company_ids"],
            ["groups_id"],
            ["active"],
        ):
            for domain in ([("id", "=", self.internal.id)], []):
                with self.subTest(names=names, domain=domain):
                    read = self.outcome(lambda domain=domain, names=names: expected_rows(users.search(domain, order="id"), names))
                    self.assertEqual(self.outcome(lambda domain=domain, names=names: self.export(users, domain, names)[1]), read)

    def test_methods_are_read_only(self):
        self.flush_and_invalidate()
        calls = [
            lambda: self.env["ipai.sync"].info(),
            lambda: self.env["ipai.sync"].export("res.partner", [], ["name", "category_id", "display_name"]),
            lambda: self.env["ipai.sync"].export("res.partner", [], ["name"]),
            lambda: self.env["ipai.sync"].digest("res.partner", [], [0, 10]),
        ]
        with self.env.cr.savepoint(flush=False) as savepoint:
            self.env.cr.execute("set transaction read only")
            for call in calls:
                self.assertTrue(call())
            with self.assertRaisesRegex(Exception, "read-only"), mute_logger("odoo.sql_db"):
                self.env.cr.execute("update res_partner set color = 1")
            # The rollback also ends the read-only mode.
            savepoint.rollback()


class TestOverrides(ExportCase):
    def test_process_without_copy(self):
        with patch.object(ipai_sync, "get_wait_callback", return_value=print), self.assert_read_used():
            self.assertExports(self.Partner, [], ["name", "color", "create_date"])

    def test_overridden_read_methods(self):
        """A model that overrides a read method is read with that method."""
        partner = self.Partner.create({"name": "x", "street": "Real"})
        domain = [("id", "=", partner.id)]

        def overrides(name):
            method = getattr(models.BaseModel, name)

            def override(records, *args, **kwargs):
                calls.append(name)
                return method(records, *args, **kwargs)

            return override

        for name in ipai_sync.READ_METHODS:
            with self.subTest(name=name), patch.object(type(self.Partner), name, overrides(name)):
                calls = []
                with self.assert_read_used():
                    self.assertEqual(self.export(partner, domain, ["street"])[1], [{"id": partner.id, "street": "Real"}])
                # `search` and `read` do not call `search_read` and `fetch`.
                self.assertTrue(calls or name in ("search_read", "fetch"), name)
        with self.assert_only_copy():
            self.export(partner, domain, ["street"])

    def test_search_that_changes_the_context(self):
        partner = self.Partner.create({"name": "x", "street": "Real"})
        search_fetch = models.BaseModel.search_fetch
        self.patch(
            type(self.Partner),
            "search_fetch",
            lambda records, *args, **kwargs: search_fetch(records, *args, **kwargs).with_context(allowed="yes"),
        )
        self.patch(
            type(self.Partner),
            "_compute_display_name",
            lambda records: [record.update({"display_name": record.env.context.get("allowed")}) for record in records],
        )
        (row,) = self.assertExports(partner, [("id", "=", partner.id)], ["display_name"])
        self.assertEqual(row["display_name"], "yes")

    def test_values_of_overridden_read(self):
        partner = self.Partner.create({"name": "x", "street": "Real"})

        def read(records, fields=None, load="_classic_read"):
            return [{**values, "street": "Masked"} for values in models.BaseModel.read(records, fields, load)]

        self.patch(type(self.Partner), "read", read)
        self.assertEqual(self.assertExports(partner, [("id", "=", partner.id)], ["street", "color"])[0]["street"], "Masked")

    def test_custom_field_classes(self):
        """A field of a custom class may read differently."""
        partner = self.Partner.create({"name": "x", "street": "Real"})
        field = self.Partner._fields["street"]

        class Masked(type(field)):
            def convert_to_read(self, value, record, use_display_name=True):
                return "Masked"

        self.addCleanup(setattr, field, "__class__", type(field))
        field.__class__ = Masked
        with self.assert_read_used():
            (row,) = self.assertExports(partner, [("id", "=", partner.id)], ["street", "city"])
        self.assertEqual(row["street"], "Masked")


class TestViews(ExportCase):
    """Models whose columns have other types than their fields."""

    def view(self, query):
        Industry = self.env["res.partner.industry"]
        if hasattr(models.BaseModel, "_table_query"):
            self.patch(type(Industry), "_table_query", query)
        else:
            # Odoo 20.
            self.patch(type(Industry), "_table_sql", SQL("(%s)", SQL(query)))
        return Industry

    def test_table_query(self):
        records = self.view(
            "select 7::int8 as id, '{\"en_US\": \"Seven\"}'::jsonb as name, '{}'::jsonb as full_name, true as active,"
            " null::int4 as create_uid, null::timestamp as create_date, null::int4 as write_uid, now()::timestamp as write_date"
        )
        with self.assert_only_copy():
            (row,) = self.assertExports(records, [], ["name", "full_name", "active", "write_date", "create_uid"])
        self.assertEqual((row["id"], row["name"], row["full_name"]), (7, "Seven", None))

    def test_other_column_types(self):
        records = self.view(
            'select n as id, \'{"en_US": "x"}\'::jsonb as name, null::jsonb as full_name, n > 1 as active, n::int8 as create_uid,'
            " date '2026-01-06' + n as create_date, n as write_uid, timestamp '2026-01-06 08:00:00.5' as write_date"
            " from generate_series(1, 3) as n"
        )
        names = ["name", "create_uid", "create_date", "write_uid", "write_date"]
        with self.assert_read_used():
            rows = self.assertExports(records, [], names)
        self.assertEqual([row["create_date"] for row in rows], ["2026-01-08", "2026-01-09"])

    def test_repeated_ids(self):
        records = self.view(
            'select 7 as id, \'{"en_US": "Seven"}\'::jsonb as name, null::jsonb as full_name, true as active from generate_series(1, 3)'
        )
        self.assertEqual(len(self.assertExports(records, [], ["name", "display_name"])), 3)
        self.assertEqual(len(self.assertExports(records, [], ["name"])), 3)

    def test_database_view(self):
        self.assertFalse(self.env["res.device"]._auto)
        self.sql(
            "insert into res_device_log (session_identifier, user_id, platform, revoked, first_activity, last_activity)"
            " select 's' || n, %s, 'linux', false, now(), now() from generate_series(1, 5) as n",
            self.env.uid,
        )
        with self.assert_only_copy():
            rows = self.assertExports(self.env["res.device"], [], ["session_identifier", "platform", "user_id", "last_activity"])
        self.assertEqual(len(rows), 5)


class TestSize(ExportCase):
    def test_many_records(self):
        """More records than fit into a buffer or into the ORM's prefetch."""
        self.sql(
            "insert into res_partner_category (name, color, active, parent_path)"
            " select jsonb_build_object('en_US', 'Category ' || n || repeat(' ☕', mod(n, 40))), n, true, '' from generate_series(1, 5000) as n"
        )
        records = self.env["res.partner.category"]
        with self.assert_only_copy():
            rows = self.assertExports(records, [], ["name", "color"])
        self.assertGreaterEqual(len(rows), 5000)
        self.assertExports(records, [], ["name", "display_name", "color", "partner_ids"])
        answer = self.env["ipai.sync"].export("res.partner.category", [], ["name", "color"])
        self.assertLess(len(answer), len(json.dumps(rows)) / 4)
