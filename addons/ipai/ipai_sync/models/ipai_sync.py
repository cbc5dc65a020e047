# Copyright 2026 ipai_sync contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).

"""Exports any model in bulk, with the caller's access rights, over RPC."""

import functools
import io
import logging
from bisect import bisect_left
from itertools import pairwise

import psycopg2
from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.tools import SQL
from odoo.tools.sql import TableKind, table_kind
from psycopg2.extensions import get_wait_callback

from ..wire import WIRE_TYPES, Page, binary_content, encode_cell

_logger = logging.getLogger(__name__)

# Incremented when the meaning of the methods changes.
PROTOCOL = 1
VERSION = "1.0.0"

# A model that overrides one of these may find other records than its query, or return other values
# than its columns hold.
SEARCH_METHODS = ("search", "search_fetch", "_fetch_query")
READ_METHODS = (*SEARCH_METHODS, "search_read", "read", "fetch", "_read_format")

# In these contexts, translated fields do not return a text in one language.
TRANSLATION_CONTEXTS = ("prefetch_langs", "edit_translations")

# A request waits this long for a table that another transaction locks. Then Odoo repeats it.
LOCK_TIMEOUT = "2s"

# The tables that this transaction has read and that were rewritten after its snapshot. To this
# snapshot they look empty. `pg_class` shows the file of the snapshot, the function that of now.
REWRITTEN_TABLES = """
    SELECT c.oid::regclass::text
    FROM pg_locks l
    JOIN pg_class c ON c.oid = l.relation
    WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation'
        AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND c.relkind IN ('r', 'm') AND c.relfilenode <> 0
        AND pg_relation_filenode(c.oid) IS DISTINCT FROM c.relfilenode
"""
# Postgres raises the error, so that Odoo repeats the request in a new transaction.
RAISE_SERIALIZATION_FAILURE = """
    DO $$BEGIN
        RAISE 'a table was rewritten during the request' USING ERRCODE = 'serialization_failure';
    END$$
"""

# Type numbers (OIDs) of Postgres.
BOOL, INT8, INT2, INT4, TEXT, FLOAT8, VARCHAR, DATE, TIMESTAMP, NUMERIC = 16, 20, 21, 23, 25, 701, 1043, 1082, 1114, 1700

_TEXT = dict.fromkeys((TEXT, VARCHAR), "%s")
_ID = dict.fromkeys((INT2, INT4, INT8), "%s")
# NULL reads as 0. So does -0.0, because Python considers it unset; numeric has no -0.0.
_NUMBER = {FLOAT8: "COALESCE(NULLIF(%s, 0), 0)", NUMERIC: "COALESCE((%s)::float8, 0)"}
# Python formats years without four digits differently, or cannot hold them. The cast to integer
# fails for such values, and the page is then read with `read`.
_IN_RANGE = "CASE WHEN %s BETWEEN '1000-01-01' AND '9999-12-31 23:59:59.999999' THEN {value} ELSE (%s)::text::int4::text::{type} END"
_DATE = _IN_RANGE.format(value="%s", type="date")
_DATETIME = _IN_RANGE.format(value="date_trunc('second', %s)", type="timestamp")

# The SQL that converts a field's column to the value that `read` returns. The keys are the field's
# class (not a subclass, which may read differently) and the column's type, which can be any type in
# a view.
COLUMN_TEMPLATES = {
    fields.Char: _TEXT,
    fields.Text: _TEXT,
    fields.Html: _TEXT,
    fields.Selection: _TEXT,
    fields.Id: _ID,
    fields.Many2one: _ID,
    fields.Integer: dict.fromkeys((INT2, INT4), "COALESCE(%s, 0)"),
    fields.Float: _NUMBER,
    fields.Monetary: _NUMBER,
    fields.Boolean: {BOOL: "COALESCE(%s, FALSE)"},
    fields.Date: {DATE: _DATE},
    fields.Datetime: {TIMESTAMP: _DATETIME},
}


def _refuses_rewritten_tables(method):
    """Let ``method`` fail if a table that it read was rewritten, as a module's upgrade may do."""

    @functools.wraps(method)
    def checked(self, *args, **kwargs):
        self.env.cr.execute("SELECT set_config('lock_timeout', %s, true)", (LOCK_TIMEOUT,))
        result = method(self, *args, **kwargs)
        self.env.cr.execute(REWRITTEN_TABLES)
        if tables := [table for (table,) in self.env.cr.fetchall()]:
            _logger.info("%s: tables were rewritten during the request: %s", method.__name__, ", ".join(tables))
            self.env.cr.execute(RAISE_SERIALIZATION_FAILURE)
        return result

    return checked


class IpaiSync(models.AbstractModel):
    _name = "ipai.sync"
    _description = "IPAI Bulk Export"

    @api.model
    @api.readonly
    def info(self):
        """Return the protocol, the module's version, the database's UUID, and that ``changes`` exists."""
        return {"protocol": PROTOCOL, "version": VERSION, "uuid": self._uuid(), "changes": True}

    @api.model
    @api.readonly
    def has_table(self, model):
        """Return whether the records are rows of a table, not of a view or of nothing."""
        return table_kind(self.env.cr, self._records(model)._table) == TableKind.Regular

    @api.model
    @api.readonly
    @_refuses_rewritten_tables
    def export(self, model, domain, fields, limit=None):
        """Return the result of ``search_read`` by ascending id, as a compressed string.

        ``fields`` are field names; ``id`` is always first. ``wire.py`` defines the format. Access
        rights, record rules, language and companies are those of the caller and the context.
        ``active_test`` applies to the search. If a field with a list of ids is requested, it also
        applies to that list, as with ``search`` and ``read``.
        """
        return self._export(model, domain, fields, limit)

    def _export(self, model, domain, fields, limit=None):
        records = self._records(model)
        names = list(dict.fromkeys(["id", *(fields or records.fields_get(attributes=()))]))
        limit = limit or None
        if _is_overridden(records, READ_METHODS):
            found = records.search(domain or [], order="id", limit=limit)
            # Not `records`: a search may change the context of the records that it returns.
            return self._read_page(found, names, sorted(found.ids))
        query = records._search(domain or [], order="id", limit=limit)
        # Raises an error for unknown fields and for fields that the user may not read.
        records._determine_fields_to_fetch(names)
        if query.is_empty():
            return self._read_page(records, names, ())
        # Replaces the order of the model's own `_search`.
        query.order = SQL.identifier(records._table, "id")
        # A process that serves through gevent cannot run COPY.
        columns = {} if get_wait_callback() else self._columns(records, query, names)
        if not columns or (len(columns) == 1 < len(names)):
            return self._read_page(records, names, sorted(query))
        return self._copy_page(records, names, query, columns)

    @api.model
    @api.readonly
    @_refuses_rewritten_tables
    def digest(self, model, domain, bounds):
        """Return ``[count, sum of ids, sum of squared ids]`` for each interval of ids.

        The intervals are ``(bounds[i], bounds[i + 1]]``. The digest covers the records that
        ``search(domain)`` returns. The sums are text, because XML-RPC integers have 32 bits.
        """
        return self._digest(model, domain, bounds)

    def _digest(self, model, domain, bounds):
        if not all(type(bound) is int for bound in bounds) or any(low > high for low, high in pairwise(bounds)):
            raise UserError(self.env._("The bounds must be integers in ascending order."))
        digests = [[0, "0", "0"] for _interval in bounds[1:]]
        records, domain = self._records(model), domain or []
        query = records.search(domain)._as_query() if _is_overridden(records, SEARCH_METHODS) else records._search(domain)
        if query._ids is not None:
            # The model has searched in Python.
            for place, ids in _by_interval(bounds, query):
                digests[place] = [len(ids), str(sum(ids)), str(sum(id_ * id_ for id_ in ids))]
        elif digests:
            # Text, because Odoo reads numeric as float.
            sums = SQL(
                """
                SELECT width_bucket(id::int8 - 1, %s::int8[]), count(*), sum(id)::text, sum(id::numeric * id)::text
                FROM (%s) AS found (id) WHERE id > %s AND id <= %s GROUP BY 1
                """,
                list(bounds),
                query.select(),
                bounds[0],
                bounds[-1],
            )
            for place, *digest in self.env.execute_query(sums):
                digests[place - 1] = digest
        return digests

    def _uuid(self):
        # Ordinary users may not read this parameter, but a mirror needs it to detect a replaced
        # database. It is an identifier, not a secret.
        parameters = self.env["ir.config_parameter"].sudo()
        # Odoo 20 has typed methods only. An unset parameter reads as False or as an empty text.
        read = parameters.get_str if hasattr(parameters, "get_str") else parameters.get_param
        return read("database.uuid") or False

    def _records(self, model):
        records = self.env.get(model)
        if records is None:
            # The same message as Odoo's for a call of an unknown model.
            raise UserError(self.env._("Object %s doesn't exist", model))
        return records

    def _columns(self, records, query, names):
        """Return SQL, by field name, for fields whose columns hold the values of ``read``."""
        terms = {}
        for name in names:
            field = records._fields[name]
            if name == "id":
                terms[name] = SQL.identifier(records._table, "id")
            elif (
                type(field) in COLUMN_TEMPLATES
                and field.store
                and not (field.translate and any(map(self.env.context.get, TRANSLATION_CONTEXTS)))
            ):
                # `read` selects the same expression, also for company-dependent values.
                terms[name] = records._field_to_sql(records._table, name, query)
        probe = SQL("SELECT * FROM (%s) AS page LIMIT 0", query.select(*terms.values()))
        self.env.execute_query(probe)
        types = [column.type_code for column in self.env.cr.description]
        columns = {}
        for (name, term), type_code in zip(terms.items(), types, strict=True):
            templates = _ID if name == "id" else COLUMN_TEMPLATES[type(records._fields[name])]
            if template := templates.get(type_code):
                columns[name] = SQL(template, *[term] * template.count("%s"))
        # Without an id column, rows cannot be matched with the results of `read`.
        return columns if "id" in columns else {}

    def _copy_page(self, records, names, query, columns):
        """Return a page whose ``columns`` Postgres writes with COPY."""
        page = Page(_header(records, names), self._uuid())
        whole = len(columns) == len(names)
        lines = page if whole else io.BytesIO()
        copy = SQL("COPY (%s) TO STDOUT (ENCODING 'UTF8')", query.select(*columns.values()))
        try:
            with self.env.cr.savepoint(flush=False):
                self.env.cr.copy_expert(self.env.cr.mogrify(copy), lines)
        except psycopg2.DataError:
            # A value that only Python can convert, such as an infinite date.
            return self._read_page(records, names, sorted(query))
        if whole:
            return page.close()
        rows = [line.split(b"\t") for line in lines.getvalue().split(b"\n")[:-1]]
        copied = {int(row[0]): dict(zip(columns, row, strict=True)) for row in rows}
        if len(copied) < len(rows):
            # A view that returns an id more than once.
            return self._read_page(records, names, sorted(query))
        return self._read_page(records, names, list(copied), columns, copied)

    def _read_page(self, records, names, ids, columns=(), copied=None):
        """Return a page of ``read``, in which ``copied`` has the cells of ``columns``."""
        # `read` always returns the id. It is not named, because users may read additional fields of
        # their own user only if the id is not requested.
        to_read = [name for name in names if name not in columns and name != "id"]
        rows = _with_read_context(records, names).browse(ids).read(to_read or ["id"], load="")
        for name in (name for name in to_read if _field_type(records, name) == "binary"):
            for values in rows:
                values[name] = binary_content(values[name])
        wire_types = dict(_header(records, names))
        for name in to_read:
            if wire_types[name] == "i" and any(isinstance(values[name], str) for values in rows):
                # A relation to a model with text ids, such as account.root.
                wire_types[name] = "s"
            elif wire_types[name] == "s" and any(isinstance(values[name], (dict, list)) for values in rows):
                # A computed binary field that holds a structure, such as tax_totals of account.move.
                wire_types[name] = "j"
        page = Page(list(wire_types.items()), self._uuid())
        for values in rows:
            cells = {name: encode_cell(wire_types[name], values[name]) for name in to_read}
            cells.update(copied[values["id"]] if copied else {"id": encode_cell("i", values["id"])})
            page.write(b"\t".join(cells[name] for name in names) + b"\n")
        return page.close()


def _is_overridden(records, methods):
    return any(getattr(type(records), name) is not getattr(models.BaseModel, name) for name in methods)


def _with_read_context(records, names):
    # Like `search_read`, which removes `active_test` after the search, so that computed fields have
    # the values that users see.
    if "active_test" not in records.env.context or any(_field_type(records, name) in ("one2many", "many2many") for name in names):
        return records
    context = {key: value for key, value in records.env.context.items() if key != "active_test"}
    # Not keywords, which could not remove the key.
    return records.with_env(records.env(context=context))


def _header(records, names):
    return [["id", "i"] if name == "id" else [name, WIRE_TYPES.get(_field_type(records, name), "j")] for name in names]


def _field_type(records, name):
    if field := records._fields.get(name):
        return field.type
    # Odoo 18 returns a pseudo-field of res.users for each group.
    return records.fields_get([name], ["type"])[name]["type"]


def _by_interval(bounds, ids):
    intervals = {}
    for id_ in ids:
        place = bisect_left(bounds, id_) - 1
        if 0 <= place < len(bounds) - 1:
            intervals.setdefault(place, []).append(id_)
    return intervals.items()
