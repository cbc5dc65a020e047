# Copyright 2026 ipai_sync contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).

from contextlib import closing

import psycopg2
from odoo.sql_db import db_connect
from odoo.tools import mute_logger

from .common import ExportCase, decode


class TestRewrite(ExportCase):
    """A table that another transaction rewrites looks empty to earlier snapshots."""

    def setUp(self):
        super().setUp()
        self.Sync = self.env["ipai.sync"]
        # The first statement of the transaction takes its snapshot. It must not lock these tables.
        self.cr.execute("SELECT 1")
        other = db_connect(self.cr.dbname).cursor()
        self.addCleanup(other.close)
        self.other = other

    def rewrite(self, table):
        # A volatile default rewrites the table. The column is gone before the commit.
        self.other.execute(f"ALTER TABLE {table} ADD COLUMN ipai_sync_test float8 DEFAULT random()")
        self.other.execute(f"ALTER TABLE {table} DROP COLUMN ipai_sync_test")
        self.other.commit()

    def outcomes(self, model):
        """Return the outcomes of an export and of a digest."""
        return [
            self.outcome(lambda: len(decode(self.Sync.export(model, [], ["id"]))[1])),
            self.outcome(lambda: self.Sync.digest(model, [], [0, 2**31 - 1])[0][0]),
        ]

    def test_rewritten_table_is_refused(self):
        self.rewrite("res_partner_industry")
        self.assertEqual(self.outcomes("res.partner.industry"), [(psycopg2.errors.SerializationFailure, None)] * 2)

    def test_table_rewritten_before_the_snapshot_is_read(self):
        self.rewrite("res_country_group")
        with closing(db_connect(self.cr.dbname).cursor()) as cr:
            sync = self.env(cr=cr)["ipai.sync"]
            self.assertTrue(decode(sync.export("res.country.group", [], ["id"]))[1])

    def test_locked_table_is_not_waited_for(self):
        self.other.execute("LOCK TABLE res_partner_industry")
        with mute_logger("odoo.sql_db"):
            self.assertEqual(self.outcomes("res.partner.industry"), [(psycopg2.errors.LockNotAvailable, None)] * 2)
