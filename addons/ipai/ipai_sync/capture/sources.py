# Copyright 2026 ipai_sync contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).

"""Determines the tables on which the content of a mirror depends."""

import functools
import json
import zlib
from typing import NamedTuple

# What a change of a table means for a mirror.
RECORDS = "records"  # the collected ids have changed
ALL = "all"  # each record of the model may have changed
DOMAIN = "domain"  # other records may be visible; the records themselves have not changed

# The models that decide which records a user may read. `ir.access` is of Odoo 20.
ACCESS_MODELS = ("ir.model.access", "ir.rule", "ir.access", "res.groups", "res.users", "res.company")

# With these operators and without a text, a condition on a many2one compares only its column.
COLUMN_OPERATORS = ("=", "!=", "in", "not in", "<", "<=", ">", ">=", "=?")


class Source(NamedTuple):
    """The rows of a table, or some of them.

    parent: the column with the ids that a scan collects; ``None`` if only a change is of interest
    child: the other column of a pair. Pairs have checksums, which show whose pairs are gone
    where: pairs of a column and the text that it must equal; ``None``: it must not be NULL
    """

    table: str
    parent: str | None = None
    child: str | None = None
    where: tuple = ()


class Need(NamedTuple):
    """A source that a mirror depends on.

    links: pairs of a table and its column. Each leads from collected ids to the rows whose column
        has them, for example from contacts to their users
    """

    source: Source
    effect: str = RECORDS
    links: tuple = ()

    @property
    def key(self):
        """Return a short text that identifies the source in a token."""
        return _key(self.source)


@functools.lru_cache(maxsize=10_000)
def _key(source):
    return f"{zlib.crc32(json.dumps(source).encode()):x}"


def field_needs(records, names):
    """Yield what the model's records and the fields ``names`` need."""
    yield Need(Source(records._table, "id"))
    for name in names:
        # Odoo 18 has fields of res.users that only `fields_get` knows.
        if field := records._fields.get(name):
            yield from _field_needs(records, field, ())


def access_needs(env):
    """Yield the tables that decide which records the users may read."""
    for model in ACCESS_MODELS:
        if model not in env:
            continue
        yield Need(Source(env[model]._table, "id"), DOMAIN)
        for field in env[model]._fields.values():
            if field.type == "many2many" and field.store and field.comodel_name in ACCESS_MODELS:
                yield Need(Source(field.relation), DOMAIN)


def domain_needs(records, domain):
    """Yield the other tables that a domain searches."""
    for condition in domain or ():
        if isinstance(condition, (list, tuple)) and len(condition) == 3 and isinstance(condition[0], str):
            name, operator, value = condition
            yield from _path_needs(records, name.split("."), operator, value)


def _field_needs(records, field, links):
    if field.inherited:
        column, name = field.related.split(".")
        parents = records.env[records._fields[column].comodel_name]
        links = ((records._table, column), *links)
        yield Need(Source(parents._table, "id"), RECORDS, links)
        yield from _field_needs(parents, parents._fields[name], links)
    elif not field.store:
        return
    elif field.type == "many2many":
        yield Need(Source(field.relation, field.column1, field.column2), RECORDS, links)
    elif field.type == "one2many":
        lines = records.env[field.comodel_name]
        if not _has_column(lines, field.inverse_name):
            return
        inverse, where = lines._fields[field.inverse_name], ()
        if inverse.type == "many2one_reference":
            if not _has_column(lines, inverse.model_field):
                return
            where = ((inverse.model_field, records._name),)
        yield Need(Source(lines._table, inverse.name, "id", where), RECORDS, links)
    elif field.type == "binary" and field.attachment:
        # One source for all such fields of the model.
        where = (("res_model", records._name), ("res_field", None))
        yield Need(Source(records.env["ir.attachment"]._table, "res_id", "id", where), RECORDS, links)
    elif field.type == "properties":
        container = records._fields[field.definition_record]
        source = Source(records.env[container.comodel_name]._table, "id")
        if container.store and not container.company_dependent:
            yield Need(source, RECORDS, ((records._table, container.name), *links))
        else:
            yield Need(source, ALL)


def _has_column(records, name):
    field = records._fields.get(name)
    return bool(field and field.store and field.column_type)


def _path_needs(records, path, operator, value):
    name, *rest = path
    field = records._fields.get(name)
    if field is None:
        return
    if field.related and not field.store:
        yield from _path_needs(records, [*field.related.split("."), *rest], operator, value)
        return
    for need in _field_needs(records, field, ()):
        # Whose pairs have changed is not of interest.
        yield Need(need.source._replace(parent=None, child=None) if need.source.child else need.source, DOMAIN)
    if not field.relational:
        return
    comodel = records.env[field.comodel_name]
    if field.type == "many2one" and not rest and operator in COLUMN_OPERATORS and not _has_text(value):
        return
    yield Need(Source(comodel._table, "id"), DOMAIN)
    if rest:
        yield from _path_needs(comodel, rest, operator, value)
    elif operator in ("any", "not any", "any!", "not any!") and not isinstance(value, str):
        yield from domain_needs(comodel, value if hasattr(value, "__iter__") else ())


def _has_text(value):
    return isinstance(value, str) or (isinstance(value, (list, tuple, set)) and any(isinstance(item, str) for item in value))
