import io
from bisect import bisect_left
from itertools import pairwise

import psycopg2
from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.tools import SQL
from psycopg2.extensions import get_wait_callback

from ..wire import WIRE_TYPES, Page, cell

# Changes with the meaning of the methods, so that a caller knows what it gets.
PROTOCOL = 1
VERSION = "1.0.0"

# Where a model overrides one of these, it may show other records than its query finds, or other values than its columns hold.
SEARCHING = ("search", "search_fetch", "_fetch_query")
READING = (*SEARCHING, "search_read", "read", "fetch", "_read_format")

# These contexts make translated fields read as something else than the text in one language.
TRANSLATING = ("prefetch_langs", "edit_translations")

# Types of Postgres, by number.
BOOL, INT8, INT2, INT4, TEXT, FLOAT8, VARCHAR, DATE, TIMESTAMP, NUMERIC = 16, 20, 21, 23, 25, 701, 1043, 1082, 1114, 1700

_TEXT = dict.fromkeys((TEXT, VARCHAR), "%s")
_ID = dict.fromkeys((INT2, INT4, INT8), "%s")
# NULL reads as 0, and Python takes -0.0, which a numeric cannot be, for unset, which is 0 too.
_NUMBER = {FLOAT8: "COALESCE(NULLIF(%s, 0), 0)", NUMERIC: "COALESCE((%s)::float8, 0)"}
# Of four digits, or Python shows another year, if it can hold it at all. The cast to integer fails for those, and `read` tells what they are.
_MOMENT = "CASE WHEN %s BETWEEN '1000-01-01' AND '9999-12-31 23:59:59.999999' THEN {value} ELSE (%s)::text::int4::text::{type} END"
_DATE = _MOMENT.format(value="%s", type="date")
_DATETIME = _MOMENT.format(value="date_trunc('second', %s)", type="timestamp")

# How the column of a field becomes what `read` gives: by the field's class (never a subclass, which may read differently) and the column's
# type, which may be any in a view.
FAST = {
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


class IpaiSync(models.AbstractModel):
    _name = "ipai.sync"
    _description = "IPAI Sync: bulk export"

    @api.model
    @api.readonly
    def info(self):
        """Say that the module is there, and of which database."""
        return {"protocol": PROTOCOL, "version": VERSION, "uuid": self._uuid()}

    @api.model
    @api.readonly
    def export(self, model, domain, fields, limit=None):
        """Return what ``search_read`` shows of ``model``, by ascending id, as one compact string.

        ``fields`` are names of fields; ``id`` comes first in any case. The format is in ``wire.py``. Rights, record rules, language and
        companies are those of the caller and the context. ``active_test`` says which records are found; where a field with a list of ids
        is wanted it says which ids are in it, too, as with ``search`` and ``read``.
        """
        records = self._records(model)
        names = list(dict.fromkeys(["id", *(fields or records.fields_get(attributes=()))]))
        limit = limit or None
        if _overrides(records, READING):
            found = records.search(domain or [], order="id", limit=limit)
            # Not `records`: a search may leave something in the context of what it finds.
            return self._read_page(found, names, sorted(found.ids))
        query = records._search(domain or [], order="id", limit=limit)
        # Raises for fields that do not exist or that the user may not read.
        records._determine_fields_to_fetch(names)
        if query.is_empty():
            return self._read_page(records, names, ())
        # Whatever order the model's own `_search` gives.
        query.order = SQL.identifier(records._table, "id")
        # A process that serves through gevent cannot COPY.
        columns = {} if get_wait_callback() else self._columns(records, query, names)
        if not columns or (len(columns) == 1 < len(names)):
            return self._read_page(records, names, sorted(query))
        return self._copy_page(records, names, query, columns)

    @api.model
    @api.readonly
    def digest(self, model, domain, bounds):
        """Return ``[count, sum of ids, sum of squared ids]`` for each interval ``(bounds[i], bounds[i + 1]]`` of ids.

        It counts the records that ``search(domain)`` shows. The sums are text: XML-RPC carries no integer above 2^31 - 1.
        """
        if not all(type(bound) is int for bound in bounds) or any(low > high for low, high in pairwise(bounds)):
            raise UserError(self.env._("The bounds must be whole numbers in ascending order."))
        digests = [[0, "0", "0"] for _interval in bounds[1:]]
        records, domain = self._records(model), domain or []
        query = records.search(domain)._as_query() if _overrides(records, SEARCHING) else records._search(domain)
        if query._ids is not None:
            # Found in Python.
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
        # An ordinary user may not read it, and needs it to notice that a database was replaced. It is an identifier, not a secret.
        return self.env["ir.config_parameter"].sudo().get_param("database.uuid")

    def _records(self, model):
        records = self.env.get(model)
        if records is None:
            # As Odoo answers a call of such a model.
            raise UserError(self.env._("Object %s doesn't exist", model))
        return records

    def _columns(self, records, query, names):
        """SQL for the fields whose columns hold what ``read`` gives, by name."""
        terms = {}
        for name in names:
            field = records._fields[name]
            if name == "id":
                terms[name] = SQL.identifier(records._table, "id")
            elif type(field) in FAST and field.store and not (field.translate and any(map(self.env.context.get, TRANSLATING))):
                # What `read` selects too, also for a value that depends on the company.
                terms[name] = records._field_to_sql(records._table, name, query)
        probe = SQL("SELECT * FROM (%s) AS page LIMIT 0", query.select(*terms.values()))
        self.env.flush_query(probe)
        self.env.cr.execute(probe)
        types = [column.type_code for column in self.env.cr.description]
        columns = {}
        for (name, term), type_code in zip(terms.items(), types, strict=True):
            templates = _ID if name == "id" else FAST[type(records._fields[name])]
            if template := templates.get(type_code):
                columns[name] = SQL(template, *[term] * template.count("%s"))
        # Without its id a line cannot be found again.
        return columns if "id" in columns else {}

    def _copy_page(self, records, names, query, columns):
        """A page whose ``columns`` Postgres writes."""
        page = Page(_header(records, names), self._uuid())
        whole = len(columns) == len(names)
        lines = page if whole else io.BytesIO()
        copy = SQL("COPY (%s) TO STDOUT (ENCODING 'UTF8')", query.select(*columns.values()))
        try:
            with self.env.cr.savepoint(flush=False):
                self.env.cr.copy_expert(self.env.cr.mogrify(copy), lines)
        except psycopg2.DataError:
            # A value that Python reads in a way of its own, such as an infinite date.
            return self._read_page(records, names, sorted(query))
        if whole:
            return page.close()
        rows = [line.split(b"\t") for line in lines.getvalue().split(b"\n")[:-1]]
        copied = {int(row[0]): dict(zip(columns, row, strict=True)) for row in rows}
        if len(copied) < len(rows):
            # A view that shows an id more than once.
            return self._read_page(records, names, sorted(query))
        return self._read_page(records, names, list(copied), columns, copied)

    def _read_page(self, records, names, ids, columns=(), copied=None):
        """A page of what ``read`` gives for the ids, but for the ``columns``, whose cells are in ``copied``."""
        # Without the id, which `read` gives in any case: users may read more of themselves, but not where the id is named.
        to_read = [name for name in names if name not in columns and name != "id"]
        rows = _for_reading(records, names).browse(ids).read(to_read or ["id"], load="")
        wire_types = dict(_header(records, names))
        for name in to_read:
            if wire_types[name] == "i" and any(isinstance(values[name], str) for values in rows):
                # A relation to a model whose ids are text, as those of account.root are.
                wire_types[name] = "s"
        page = Page(list(wire_types.items()), self._uuid())
        for values in rows:
            cells = {name: cell(wire_types[name], values[name]) for name in to_read}
            cells.update(copied[values["id"]] if copied else {"id": cell("i", values["id"])})
            page.write(b"\t".join(cells[name] for name in names) + b"\n")
        return page.close()


def _overrides(records, methods):
    return any(getattr(type(records), name) is not getattr(models.BaseModel, name) for name in methods)


def _for_reading(records, names):
    # As `search_read`, which forgets `active_test` once it has searched: what is computed from other records is what users see.
    if "active_test" not in records.env.context or any(_type(records, name) in ("one2many", "many2many") for name in names):
        return records
    return records.with_context({key: value for key, value in records.env.context.items() if key != "active_test"})


def _header(records, names):
    return [["id", "i"] if name == "id" else [name, WIRE_TYPES.get(_type(records, name), "j")] for name in names]


def _type(records, name):
    if field := records._fields.get(name):
        return field.type
    # Odoo 18 shows fields of res.users that are no fields: one for each group.
    return records.fields_get([name], ["type"])[name]["type"]


def _by_interval(bounds, ids):
    intervals = {}
    for id_ in ids:
        place = bisect_left(bounds, id_) - 1
        if 0 <= place < len(bounds) - 1:
            intervals.setdefault(place, []).append(id_)
    return intervals.items()
