# Copyright 2026 ipai_sync contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).

from odoo.tests import new_test_user

from .common import ExportCase, decode, equal_values, expected_rows

LIMIT = 80


class TestRegistry(ExportCase):
    """Compares `export` with `search` and `read` for all models and fields, as different users."""

    def compare(self, records, names):
        def exported():
            return decode(records.env["ipai.sync"].export(records._name, [], names, LIMIT))[1]

        def read():
            return expected_rows(records.search([], order="id", limit=LIMIT), names)

        def search_read():
            return records.search_read([], names, order="id", limit=LIMIT, load="")

        expected, rows = self.outcome(read), self.outcome(exported)
        if isinstance(expected, list) and isinstance(rows, list):
            if rows != expected:
                # Some computed values change with every read.
                again = self.outcome(read)
                moving = {name for one, two in zip(expected, again, strict=True) for name in one if not equal_values(one[name], two[name])}
                expected = [{name: value for name, value in row.items() if name not in moving} for row in expected]
            self.assertRows(records, rows, expected)
            return len(rows)
        # If `search` finds nothing, `read` raises no error, but `search_read` does.
        if not isinstance(rows, tuple) or rows != self.outcome(search_read):
            self.assertEqual(rows, expected, f"{records._name} {names}")
        return None

    def compare_all(self, env):
        compared = failed = 0
        for model in sorted(self.registry):
            records = env[model]
            names = list(records.fields_get(attributes=()))
            with self.subTest(model=model):
                if self.compare(records, names) is not None:
                    compared += 1
                elif records.has_access("read"):
                    # An unreadable field makes the whole read fail, so fields are compared one by
                    # one.
                    for name in names:
                        self.compare(records, [name])
                    failed += 1
        return compared, failed

    def test_as_administrator(self):
        compared, failed = self.compare_all(self.env(user=self.env.ref("base.user_admin")))
        self.assertGreater(compared, 50)
        # Only few models contain unreadable fields.
        self.assertLess(failed, compared / 10)

    def test_archived_and_in_another_language(self):
        self.env["res.lang"]._activate_lang("fr_FR")
        context = {"active_test": False, "lang": "fr_FR"}
        compared, failed = self.compare_all(self.env(user=self.env.ref("base.user_admin"), context=context))
        self.assertGreater(compared, 50)
        self.assertLess(failed, compared / 10)

    def test_as_superuser(self):
        self.assertGreater(self.compare_all(self.env)[0], 50)

    def test_as_internal_user(self):
        user = new_test_user(self.env, "sync_internal", groups="base.group_user")
        self.assertGreater(self.compare_all(self.env(user=user))[0], 10)

    def test_as_portal_user(self):
        user = new_test_user(self.env, "sync_portal", groups="base.group_portal")
        self.compare_all(self.env(user=user))

    def test_as_public_user(self):
        self.compare_all(self.env(user=self.env.ref("base.public_user")))
