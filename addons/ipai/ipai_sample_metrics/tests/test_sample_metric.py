# Copyright 2026 ipai_sync contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).

import xmlrpc.client
from datetime import date, datetime

from odoo import fields
from odoo.exceptions import AccessError, UserError, ValidationError
from odoo.tests import TransactionCase, new_test_user, tagged

EXPORT_KEYS = [
    "odoo_id", "name", "code", "date", "brand_id", "store_id", "value", "unit", "is_alert", "notes", "active",
]  # fmt: skip
METRIC_KEYS = ["id", "name", "code", "date", "brand_id", "store_id", "value", "unit", "is_alert"]


@tagged("post_install", "-at_install")
class SampleMetricCase(TransactionCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.Metric = cls.env["ipai.sample.metric"]
        cls.brand = cls.env["res.partner"].create({"name": "A Brand"})
        cls.store = cls.env["res.partner"].create({"name": "A Store"})

    def metric(self, **values):
        return self.Metric.create({"name": "Sales", "code": "SALES", "unit": "amount", **values})

    def sql(self, query, *params):
        self.env.flush_all()
        self.env.cr.execute(query, params)
        self.env.invalidate_all()

    def xmlrpc_round_trip(self, answer):
        """Return the response after an XML-RPC round trip, which fails for None."""
        return xmlrpc.client.loads(xmlrpc.client.dumps((answer,), methodresponse=True))[0][0]


class TestFields(SampleMetricCase):
    def test_percentages_out_of_bounds_are_alerts(self):
        for unit, value, alert in [
            ("percent", 9.99, True),
            ("percent", 10, False),
            ("percent", 95, False),
            ("percent", 95.01, True),
            ("percent", -1, True),
            ("count", 5, False),
            ("amount", 1000, False),
        ]:
            with self.subTest(unit=unit, value=value):
                self.assertEqual(self.metric(unit=unit, value=value).is_alert, alert)

    def test_alert_follows_value_and_unit(self):
        metric = self.metric(unit="percent", value=50)
        metric.value = 96
        self.assertTrue(metric.is_alert)
        metric.unit = "count"
        self.assertFalse(metric.is_alert)
        self.assertFalse(self.Metric.search([("id", "=", metric.id), ("is_alert", "=", True)]))

    def test_write_date_has_an_index(self):
        self.sql("select indexdef from pg_indexes where tablename = 'ipai_sample_metric'")
        self.assertTrue([definition for (definition,) in self.env.cr.fetchall() if definition.endswith("(write_date)")])

    def test_date_defaults_to_today_of_the_user(self):
        for tz in ("Asia/Manila", "Pacific/Kiritimati", "Pacific/Niue"):
            user = new_test_user(self.env, f"metrics_{tz}", groups="ipai_sample_metrics.group_sample_metric_manager", tz=tz)
            metric = self.Metric.with_user(user).create({"name": "Sales", "code": "SALES", "unit": "amount"})
            today = fields.Datetime.context_timestamp(metric, datetime.utcnow()).date()
            self.assertEqual(str(fields.Datetime.context_timestamp(metric, datetime.utcnow()).tzinfo), tz)
            self.assertEqual(metric.date, today)

    def test_context_time_zone_wins(self):
        # These time zones are 25 hours apart, so their days always differ.
        east = self.Metric.with_context(tz="Pacific/Kiritimati").default_get(["date"])["date"]
        west = self.Metric.with_context(tz="Pacific/Niue").default_get(["date"])["date"]
        self.assertGreater(east, west)

    def test_date_may_be_empty(self):
        self.assertFalse(self.metric(date=False).date)

    def test_deleted_partners_are_unset(self):
        metric = self.metric(brand_id=self.brand.id, store_id=self.store.id)
        (self.brand + self.store).unlink()
        metric.invalidate_recordset()
        self.assertTrue(metric.exists())
        self.assertFalse(metric.brand_id or metric.store_id)

    def test_order_is_total(self):
        old, first, second = (self.metric(date=day) for day in ("2026-01-01", "2026-01-02", "2026-01-02"))
        self.assertEqual(self.Metric.search([("id", "in", (old + first + second).ids)]), second + first + old)

    def test_views_load(self):
        views = self.Metric.get_views([(False, "list"), (False, "form"), (False, "search")])["views"]
        self.assertIn('name="is_alert"', views["list"]["arch"])


class TestValidation(SampleMetricCase):
    def test_name(self):
        for name in ("", "  "):
            with self.assertRaisesRegex(ValidationError, "name of a metric must not be empty"):
                self.metric(name=name)

    def test_code(self):
        for code in ("", "sales", "STORE SALES", "STORE-SALES", "ÉTAGE", "٣", "SALES\n"):
            with self.subTest(code=code), self.assertRaisesRegex(ValidationError, "capital letters"):
                self.metric(code=code)
        self.assertEqual(self.metric(code="STORE_SALES_2").code, "STORE_SALES_2")

    def test_code_on_write(self):
        with self.assertRaisesRegex(ValidationError, "capital letters"):
            self.metric().code = "sales"

    def test_value_is_finite(self):
        for value in (float("nan"), float("inf"), float("-inf")):
            with self.subTest(value=value), self.assertRaisesRegex(ValidationError, "finite"):
                self.metric(value=value)


class TestCreateFromPayload(SampleMetricCase):
    def test_required_keys_only(self):
        metric_id = self.Metric.create_from_payload({"name": "Made", "code": "RPC", "unit": "percent", "value": 5.0})
        metric = self.Metric.browse(metric_id)
        self.assertEqual((metric.name, metric.code, metric.value, metric.unit), ("Made", "RPC", 5.0, "percent"))
        self.assertTrue(metric.is_alert and metric.active)
        self.assertEqual(metric.date, fields.Date.context_today(metric))

    def test_all_keys(self):
        payload = {
            "name": "Made 🎉 <&>",
            "code": "RPC",
            "date": "2026-01-06",
            "brand_id": self.brand.id,
            "store_id": self.store.id,
            "value": 7,
            "unit": "count",
            "notes": "a\r\nb",
            "active": False,
        }
        metric = self.Metric.browse(self.Metric.create_from_payload(payload))
        row = self.Metric.export_to_supabase_payload(after_id=metric.id - 1)[0]
        self.assertEqual(row, {"odoo_id": metric.id, "is_alert": False, **payload})

    def test_unset_values(self):
        for unset in (False, None):
            payload = {
                "name": "Made", "code": "RPC", "unit": "count",
                "date": unset, "brand_id": unset, "store_id": unset, "value": unset, "notes": unset, "active": unset,
            }  # fmt: skip
            metric = self.Metric.browse(self.Metric.create_from_payload(payload))
            self.assertFalse(metric.date or metric.brand_id or metric.store_id or metric.value or metric.notes)
            # False is a value of `active`; None keeps its default.
            self.assertEqual(metric.active, unset is None)

    def test_missing_keys_are_listed(self):
        with self.assertRaisesRegex(UserError, r"Missing: name, code, unit\."):
            self.Metric.create_from_payload({"code": False, "unit": ""})

    def test_unknown_keys_are_listed(self):
        with self.assertRaisesRegex(UserError, "Unknown keys: is_alert, vaule.*Valid keys are name, code"):
            self.Metric.create_from_payload({"name": "Made", "code": "RPC", "unit": "count", "vaule": 1, "is_alert": True})

    def test_wrong_values_are_explained(self):
        for key, value, message in [
            ("unit", "bogus", "unit must be one of percent, count, amount, not 'bogus'"),
            ("unit", 1, "unit must be"),
            ("name", 5, "name must be text"),
            ("name", "a\0b", "name must be text"),
            ("notes", "\ud83c", "notes must be text"),
            ("date", "06.01.2026", "date must be a date 'YYYY-MM-DD'"),
            ("date", "2026-02-30", "date must be a date"),
            ("value", "5", "value must be a number"),
            ("value", True, "value must be a number"),
            ("value", 10**400, "value must be a number"),
            ("brand_id", "7", "brand_id must be the id of an existing partner"),
            ("brand_id", 2**31 - 1, "brand_id must be the id"),
            ("store_id", 2**40, "store_id must be the id"),
            ("store_id", [7, "Store"], "store_id must be the id"),
            ("active", "no", "active must be true or false"),
        ]:
            payload = {"name": "Made", "code": "RPC", "unit": "count", key: value}
            with self.subTest(key=key, value=str(value)[:20]), self.assertRaisesRegex(UserError, message):
                self.Metric.create_from_payload(payload)

    def test_constraints_are_checked(self):
        with self.assertRaisesRegex(ValidationError, "capital letters"):
            self.Metric.create_from_payload({"name": "Made", "code": "rpc", "unit": "count"})
        with self.assertRaisesRegex(ValidationError, "finite"):
            self.Metric.create_from_payload({"name": "Made", "code": "RPC", "unit": "count", "value": float("nan")})

    def test_payload_must_be_a_dictionary(self):
        for payload in ([], "name", None, [("name", "x")]):
            with self.assertRaisesRegex(UserError, "must be a dictionary"):
                self.Metric.create_from_payload(payload)


class TestRead(SampleMetricCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.Metric.with_context(active_test=False).search([]).unlink()
        cls.metrics = cls.Metric.create(
            [
                {
                    "name": f"Metric {i}",
                    "code": "SALES",
                    "unit": "percent",
                    "value": i,
                    "date": f"2026-01-{i:02}" if i % 3 else False,
                    "brand_id": cls.brand.id if i % 4 else False,
                    "notes": f"note {i}" if i % 5 else False,
                    "active": i % 6 > 0,
                }
                for i in range(1, 25)
            ]
        )

    def test_get_metrics_contract(self):
        rows = self.Metric.get_metrics(limit=1000)
        self.assertEqual([list(row) for row in rows], [METRIC_KEYS] * 20)
        self.assertEqual([row["id"] for row in rows], self.Metric.search([]).ids)
        self.assertEqual(self.xmlrpc_round_trip(rows), rows)

    def test_get_metrics_filters(self):
        archived = self.Metric.get_metrics([["active", "=", False]])
        self.assertEqual({row["id"] for row in archived}, set(self.metrics.filtered(lambda m: not m.active).ids))
        self.assertEqual(len(self.Metric.get_metrics([["value", "<", 5]], 3)), 3)
        self.assertEqual(len(self.Metric.get_metrics(False, False)), 20)

    def test_get_metrics_refuses_invalid_filters(self):
        for filters in ([["nope", "=", 1]], [["value", "~~", 1]], "unit", {"unit": "count"}, [1], [["value"]]):
            with self.subTest(filters=filters), self.assertRaisesRegex(UserError, "ilters"):
                self.Metric.get_metrics(filters)

    def test_export_contract(self):
        rows = self.Metric.export_to_supabase_payload()
        self.assertEqual([list(row) for row in rows], [EXPORT_KEYS] * 24)
        # Archived ones are included, and rows are ordered by id.
        self.assertEqual([row["odoo_id"] for row in rows], sorted(self.metrics.ids))
        self.assertEqual(self.xmlrpc_round_trip(rows), rows)
        first, third, fourth = rows[0], rows[2], rows[3]
        self.assertEqual((first["date"], first["brand_id"], first["store_id"]), ("2026-01-01", self.brand.id, False))
        self.assertIs(third["date"], False)
        self.assertIs(fourth["brand_id"], False)

    def test_export_of_values_that_only_sql_can_store(self):
        self.sql(
            """update ipai_sample_metric set value = null, active = null, is_alert = null, notes = null, date = null,
               brand_id = null where id = %s""",
            self.metrics[0].id,
        )
        self.sql("update ipai_sample_metric set date = '0001-01-01', value = 'nan' where id = %s", self.metrics[1].id)
        unset, odd = self.Metric.export_to_supabase_payload(limit=2)
        self.assertEqual(self.xmlrpc_round_trip(unset), unset)
        self.assertEqual((unset["value"], unset["active"], unset["is_alert"]), (0.0, False, False))
        self.assertEqual((odd["date"], str(odd["value"])), ("0001-01-01", "nan"))

    def test_export_pages_return_all_metrics(self):
        for limit in (1, 7, 24, 25):
            seen, after_id = [], 0
            while rows := self.Metric.export_to_supabase_payload(limit, after_id=after_id):
                self.assertLessEqual(len(rows), limit)
                seen += [row["odoo_id"] for row in rows]
                after_id = seen[-1]
            self.assertEqual(seen, sorted(self.metrics.ids))

    def test_export_since_a_time(self):
        old, new = self.metrics[:10], self.metrics[10:]
        self.sql("update ipai_sample_metric set write_date = '2026-01-05 23:59:59.999999' where id = any(%s)", old.ids)
        self.sql("update ipai_sample_metric set write_date = '2026-01-06 00:00:00.5' where id = any(%s)", new.ids)
        for since, expected in [
            (None, self.metrics),
            (False, self.metrics),
            ("2026-01-05", self.metrics),
            ("2026-01-06", new),
            ("2026-01-06 00:00", new),
            ("2026-01-06 00:00:00", new),
            # The fraction is removed: reading a record twice is better than missing it.
            ("2026-01-06 00:00:00.7", new),
            ("2026-01-06 00:00:01", self.Metric),
            ("2026-01-06T00:00:00", new),
            ("2026-01-06T00:00:00Z", new),
            ("2026-01-06T00:00:00.000001+00:00", new),
            ("2026-01-06T08:00:00+08:00", new),
            ("2026-01-06 08:00:00+0800", new),
            ("2026-01-06T07:59:59+08:00", self.metrics),
            ("2026-01-05T19:00:01-05:00", self.Metric),
            (date(2026, 1, 6), new),
            (datetime(2026, 1, 6), new),
            ("2099-01-01", self.Metric),
        ]:
            with self.subTest(since=since):
                rows = self.Metric.export_to_supabase_payload(since_date=since)
                self.assertEqual([row["odoo_id"] for row in rows], sorted(expected.ids))

    def test_export_since_a_time_pages_return_all_metrics(self):
        first = self.Metric.export_to_supabase_payload(15, "2000-01-01")
        rest = self.Metric.export_to_supabase_payload(15, "2000-01-01", after_id=first[-1]["odoo_id"])
        self.assertEqual([row["odoo_id"] for row in first + rest], sorted(self.metrics.ids))

    def test_export_refuses_invalid_times(self):
        for since in ("yesterday", "", "2026", "2026-13-01", "2026-02-30", "06.01.2026", "2026-01-06 25:00:00",
                      "2026-01-06T00:00:00+99:00", "2026-01-06+08:00", "0001-01-01T00:00:00+08:00", 20260106, True,
                      " 2026-01-06", "2026-01-06\n"):  # fmt: skip
            with self.subTest(since=since), self.assertRaisesRegex(UserError, "Invalid since_date: .*YYYY-MM-DD"):
                self.Metric.export_to_supabase_payload(since_date=since)

    def test_numbers_are_checked(self):
        for limit in (0, -1, 50_001, 2.0, "10", True):
            for method in (self.Metric.get_metrics, self.Metric.export_to_supabase_payload):
                with self.subTest(limit=limit), self.assertRaisesRegex(UserError, "limit must be a whole number"):
                    method(limit=limit)
        for after_id in (-1, 2**31, 1.5, "7"):
            with self.subTest(after_id=after_id), self.assertRaisesRegex(UserError, "after_id must be a whole number"):
                self.Metric.export_to_supabase_payload(after_id=after_id)

    def test_stats(self):
        stats = self.Metric.get_sync_stats()
        # 1 to 9 are below 10, and no value is above 95. 6, 12, 18 and 24 are archived.
        self.assertEqual(stats, {"total": 24, "active": 20, "archived": 4, "alerts": 9})
        self.assertEqual(self.xmlrpc_round_trip(stats), stats)

    def test_stats_without_metrics(self):
        self.metrics.unlink()
        self.assertEqual(self.Metric.get_sync_stats(), {"total": 0, "active": 0, "archived": 0, "alerts": 0})
        self.assertEqual(self.Metric.export_to_supabase_payload(), [])


class TestAccess(SampleMetricCase):
    def as_user(self, groups):
        return self.metric().with_user(new_test_user(self.env, "metrics_user", groups=groups))

    def test_internal_user_reads(self):
        metric = self.as_user("base.group_user")
        self.assertEqual(metric.name, "Sales")
        self.assertTrue(metric.get_metrics() and metric.export_to_supabase_payload())
        self.assertGreater(metric.get_sync_stats()["total"], 0)
        with self.assertRaises(AccessError):
            metric.name = "Mine"
        with self.assertRaises(AccessError):
            metric.unlink()
        with self.assertRaises(AccessError):
            metric.create_from_payload({"name": "Made", "code": "RPC", "unit": "count"})

    def test_manager_writes(self):
        metric = self.as_user("ipai_sample_metrics.group_sample_metric_manager")
        self.assertTrue(metric.create_from_payload({"name": "Made", "code": "RPC", "unit": "count"}))
        metric.name = "Mine"
        metric.active = False
        metric.unlink()

    def test_rights_have_the_form_of_this_odoo(self):
        forms = ("ir.access", "ir.model.access")
        domain = [("module", "=", "ipai_sample_metrics"), ("model", "in", forms)]
        found = self.env["ir.model.data"].search(domain)
        self.assertEqual(found.mapped("model"), [next(form for form in forms if form in self.env)] * 2)
        # An update loads them again.
        self.Metric._load_access_rights()
        self.assertEqual(self.env["ir.model.data"].search(domain), found)

    def test_administrators_are_managers(self):
        user = new_test_user(self.env, "metrics_admin", groups="base.group_system")
        self.assertTrue(user.has_group("ipai_sample_metrics.group_sample_metric_manager"))

    def test_portal_and_public_see_nothing(self):
        for group in ("base.group_portal", "base.group_public"):
            metric = self.metric().with_user(new_test_user(self.env, f"metrics_{group}", groups=group))
            for call in (
                metric.get_metrics,
                metric.export_to_supabase_payload,
                metric.get_sync_stats,
                lambda metric=metric: metric.create_from_payload({}),
                lambda metric=metric: metric.read(["name"]),
            ):
                with self.subTest(group=group), self.assertRaises(AccessError):
                    call()


class TestScheduledAction(SampleMetricCase):
    def test_off_by_default(self):
        cron = self.env.ref("ipai_sample_metrics.ir_cron_seed_sample_metrics")
        self.assertFalse(cron.active)

    def test_each_day_is_seeded_once(self):
        cron = self.env.ref("ipai_sample_metrics.ir_cron_seed_sample_metrics")
        before = self.Metric.search([])
        cron.ir_actions_server_id.run()
        seeded = self.Metric.search([]) - before
        self.assertEqual(set(seeded.mapped("unit")), {"percent", "count", "amount"})
        self.assertEqual(set(seeded.mapped("date")), {fields.Date.context_today(seeded)})
        cron.ir_actions_server_id.run()
        self.assertEqual(self.Metric.search([]) - before, seeded)
