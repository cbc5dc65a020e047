# Copyright 2026 ipai_sync contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).

import base64
import json
import math
import re
import zlib
from contextlib import contextmanager
from datetime import date, datetime
from unittest.mock import patch

import psycopg2
from odoo import fields
from odoo.tests import TransactionCase, tagged
from odoo.tools import mute_logger

ESCAPE = re.compile(r"\\(.)", re.DOTALL)
ESCAPED = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\"}
PARSE = {"i": int, "f": float, "b": {"t": True, "f": False}.__getitem__, "s": str, "j": json.loads}
NUMBERS = {"integer", "many2one", "many2one_reference", "float", "monetary"}
TEXTS = {"char", "text", "html", "selection", "reference", "date", "datetime", "binary"}


def decode(answer):
    """Return the columns of an export as pairs of name and type, and its rows as dicts."""
    assert answer.isascii()
    header, *lines, last, empty = zlib.decompress(base64.b64decode(answer, validate=True)).decode().split("\n")
    assert (last, empty) == (f"\\. {len(lines)}", ""), (last, empty)
    columns = json.loads(header)["columns"]
    return columns, [_row(columns, line) for line in lines]


def _row(columns, line):
    cells = line.split("\t")
    assert len(cells) == len(columns), line
    return {name: _value(wire_type, cell) for (name, wire_type), cell in zip(columns, cells, strict=True)}


def _value(wire_type, cell):
    return None if cell == "\\N" else PARSE[wire_type](ESCAPE.sub(lambda match: ESCAPED[match[1]], cell))


def expected_rows(records, names):
    """Return the rows that `search_read` or, for lists of ids, `read` returns.

    Values have their form in XML-RPC; unset ones are None.
    """
    kinds = {name: description["type"] for name, description in records.fields_get(["id", *names], ["type"]).items()}
    if not {"one2many", "many2many"} & set(kinds.values()):
        context = dict(records.env.context)
        context.pop("active_test", None)
        records = records.with_env(records.env(context=context))
    rows = records.read(names, load="")
    return [{name: _expected_value(kinds[name], values[name]) for name in ["id", *names]} for values in rows]


def _expected_value(kind, value):
    if kind == "boolean":
        return bool(value)
    if value is False or value is None:
        return None
    if kind == "binary" and isinstance(value, dict) and "content" in value:
        # Odoo 20.
        return _expected_value(kind, value["content"])
    # A computed binary field may hold a structure.
    if kind in TEXTS and not isinstance(value, dict | list | tuple):
        return _text(value)
    # As in JSON: lists instead of tuples, and dictionaries with text keys.
    return value if kind in NUMBERS else json.loads(json.dumps(value, default=_text))


def _text(value):
    if isinstance(value, datetime):
        return fields.Datetime.to_string(value)
    if isinstance(value, date):
        return fields.Date.to_string(value)
    return value.decode() if isinstance(value, bytes) else str(value)


def equal_values(left, right):
    if isinstance(left, float) and isinstance(right, float):
        # -0.0 differs from 0.0, and NaN equals NaN.
        return math.copysign(1, left) == math.copysign(1, right) and left == right if left == left else right != right
    return left == right


@tagged("post_install", "-at_install")
class ExportCase(TransactionCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.Partner = cls.env["res.partner"]

    def restrict(self, model, domain):
        """Restrict all users to the records of the model that match the domain."""
        values = {"name": "ipai_sync test", "model_id": self.env["ir.model"]._get_id(model)}
        if "ir.access" in self.env:
            # Odoo 20: without a group, the record restricts everybody.
            self.env["ir.access"].create({**values, "operation": "crud", "domain": domain})
        else:
            self.env["ir.rule"].create({**values, "domain_force": domain})

    def flush_and_invalidate(self):
        """Flush and invalidate everything, which is the state at the start of every RPC call."""
        self.env.flush_all()
        self.env.invalidate_all()

    def sql(self, query, *params):
        self.env.flush_all()
        self.env.cr.execute(query, params)
        self.env.invalidate_all()

    def export(self, records, domain=(), names=("id",), limit=None):
        """Return columns and rows of an export as the user and in the context of `records`."""
        self.flush_and_invalidate()
        return decode(records.env["ipai.sync"].export(records._name, list(domain), list(names), limit))

    def outcome(self, call):
        """Return the result of a call or its error, comparable with those of other calls."""
        self.flush_and_invalidate()
        try:
            # The savepoint keeps the transaction usable after a failed statement.
            with self.env.cr.savepoint(flush=False), mute_logger("odoo.sql_db"):
                return call()
        except psycopg2.Error as error:
            # The error's text contains the statement, which differs.
            return type(error), None
        except Exception as error:
            return type(error), str(error)

    def assertExports(self, records, domain=(), names=("id",), limit=None):
        """Assert that `export` returns what `search` and `read` return, and return the rows."""
        domain, names = list(domain), list(names)
        rows = self.export(records, domain, names, limit)[1]
        self.flush_and_invalidate()
        expected = expected_rows(records.search(domain, order="id", limit=limit), names)
        self.assertRows(records, rows, expected)
        return rows

    def assertRows(self, records, rows, expected):
        self.assertEqual([row["id"] for row in rows], [row["id"] for row in expected], records._name)
        for row, expected_row in zip(rows, expected, strict=True):
            for name, value in expected_row.items():
                if not equal_values(row[name], value):
                    self.fail(f"{records._name}({row['id']}).{name}: export gives {row[name]!r}, read {value!r}")

    @contextmanager
    def assert_only_copy(self):
        """Assert that Postgres alone writes the pages."""
        with patch.object(self.registry["ipai.sync"], "_read_page", side_effect=AssertionError("read() was used")):
            yield

    @contextmanager
    def assert_read_used(self):
        """Assert that every page is read with `read`, at least in part."""
        sync = self.registry["ipai.sync"]
        with patch.object(sync, "_read_page", autospec=True, side_effect=sync._read_page) as read_page:
            yield
        self.assertTrue(read_page.called, "read() was not used")
