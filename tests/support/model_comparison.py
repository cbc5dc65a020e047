"""Compares every mirrored column of every row with Odoo's own database, with SQL on both sides.

The expected values follow from Odoo's list of fields (ir_model_fields) and from how its API
converts stored values. NULL numbers become 0 and NULL booleans false. Times lose their
microseconds. A translated or company-dependent value is a member of a jsonb column. The ids of a
many2many are rows of a relation table. No column is skipped: an unsupported kind of field is an
error.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from harness.odoo import Odoo
from support.comparison import CONTROL, NOTHING
from support.supabase import Supabase

#: Columns of a mirror in addition to those of its fields and constants.
BOOKKEEPING = {"odoo_id", "inserted_at", "updated_at"}

#: The column type for each field type. (A float with digits is numeric.)
COLUMN_TYPES = {
    **dict.fromkeys(("char", "text", "html", "selection", "reference"), "text"),
    "integer": "integer",
    "float": "double precision",
    "monetary": "numeric",
    "boolean": "boolean",
    "date": "date",
    "datetime": "timestamp with time zone",
    **dict.fromkeys(("many2one", "many2one_reference"), "bigint"),
    **dict.fromkeys(("many2many", "one2many"), "bigint[]"),
    **dict.fromkeys(("json", "properties", "properties_definition"), "jsonb"),
    "binary": "bytea",
}

#: Tables whose names do not follow from their models.
_TABLES = {
    "ir.actions.act_url": "ir_act_url",
    "ir.actions.act_window": "ir_act_window",
    "ir.actions.act_window.view": "ir_act_window_view",
    "ir.actions.act_window_close": "ir_actions",
    "ir.actions.actions": "ir_actions",
    "ir.actions.client": "ir_act_client",
    "ir.actions.report": "ir_act_report_xml",
    "ir.actions.server": "ir_act_server",
}

_TEXTS = ("char", "text", "html", "selection", "reference")


@dataclass(frozen=True)
class Difference:
    odoo_id: int
    #: None if the whole row is missing on one side.
    field: str | None
    odoo: Any
    mirror: Any


@dataclass(frozen=True)
class Comparison:
    #: The number of Odoo's rows that the mirror should contain.
    rows: int
    #: The compared fields, sorted.
    fields: tuple[str, ...]
    #: The number of distinct values in Odoo for each field; a field with one value proves little.
    variety: Mapping[str, int]
    differences: list[Difference]


@dataclass(frozen=True)
class _Field:
    """A mirrored field: the SQL for Odoo's value, and the normalisation of both values."""

    name: str
    column: str
    type: str
    expression: str
    from_odoo: Callable[[Any], Any]
    from_mirror: Callable[[Any], Any]


def assert_mirrors(supabase: Supabase, erp: Odoo, mirror: str, *, where: str = "true", at_least: int = 1) -> Comparison:
    """Asserts that the mirror equals the rows of Odoo's table for which `where` holds.

    The column types must match too, and at least `at_least` rows must have been compared.
    """
    found = compare(supabase, erp, mirror, where=where)
    assert not found.differences, f"{len(found.differences)} values differ, such as {found.differences[:5]}"
    assert found.rows >= at_least, f"only {found.rows} rows were compared"
    return found


def compare(supabase: Supabase, erp: Odoo, mirror: str, *, where: str = "true") -> Comparison:
    """Compares all rows and columns.

    where: the mirror's domain, as SQL over Odoo's table `r`
    """
    registered = supabase.row(
        """select m.*, s.drift, target_schema::text, target_table::text
           from ipai.mirrors m join ipai.mirror_state s on s.mirror = m.name where m.name = %s""",
        mirror,
    )
    with psycopg.connect(erp.pg.dsn(erp.dbname), row_factory=dict_row) as odoo:
        fields = _fields(odoo, erp, supabase, registered)
        odoo_rows = _odoo_rows(odoo, registered["model"], fields, where)
    _check_columns(supabase, registered, fields, erp)
    mirror_rows = _mirror_rows(supabase, registered, fields)
    differences: list[Difference] = []
    for odoo_id in sorted(odoo_rows.keys() | mirror_rows.keys()):
        in_mirror, in_odoo = mirror_rows.get(odoo_id), odoo_rows.get(odoo_id)
        if in_mirror is None or in_odoo is None:
            differences.append(Difference(odoo_id, None, in_odoo, in_mirror))
            continue
        pairs = zip(fields, in_odoo, in_mirror, strict=True)
        differences += [Difference(odoo_id, field.name, left, right) for field, left, right in pairs if not _same(left, right)]
    variety = {field.name: len({repr(row[i]) for row in odoo_rows.values()}) for i, field in enumerate(fields)}
    return Comparison(len(odoo_rows), tuple(sorted(field.name for field in fields)), variety, differences)


def _same(left: Any, right: Any) -> bool:
    # In Python, True equals 1.
    return left == right and isinstance(left, bool) is isinstance(right, bool)


# Both sides -------------------------------------------------------------------------------------


def _odoo_rows(odoo: psycopg.Connection[dict[str, Any]], model: str, fields: list[_Field], where: str) -> dict[int, list[Any]]:
    columns = ", ".join(f"{field.expression} as c{i}" for i, field in enumerate(fields))
    statement = f"select r.id, {columns} from {_table(model)} r where {where}"
    rows = odoo.execute(statement).fetchall()
    return {row["id"]: [field.from_odoo(row[f"c{i}"]) for i, field in enumerate(fields)] for row in rows}


def _mirror_rows(supabase: Supabase, registered: dict[str, Any], fields: list[_Field]) -> dict[int, list[Any]]:
    constants: dict[str, Any] = registered["constants"]
    statement = sql.SQL("select odoo_id, {columns} from {target} where odoo_id is not null{constants}").format(
        columns=sql.SQL(", ").join(sql.Identifier(field.column) for field in fields),
        target=sql.Identifier(registered["target_schema"], registered["target_table"]),
        constants=sql.SQL("").join(sql.SQL(" and {}::text = {}").format(sql.Identifier(name), value) for name, value in constants.items()),
    )
    rows = supabase.rows(statement.as_string())
    found = {row["odoo_id"]: [field.from_mirror(row[field.column]) for field in fields] for row in rows}
    assert len(found) == len(rows), "the mirror contains a record more than once"
    return found


def _check_columns(supabase: Supabase, registered: dict[str, Any], fields: list[_Field], erp: Odoo) -> None:
    """Checks that every column of the table is compared and has the type for its field."""
    columns = {
        row["column"]: row["type"]
        for row in supabase.rows(
            """select attname as column, format_type(atttypid, atttypmod) as type from pg_attribute
               where attrelid = to_regclass(format('%%I.%%I', %s::text, %s::text)) and attnum > 0 and not attisdropped""",
            *(registered["target_schema"], registered["target_table"]),
        )
    }
    # Columns of drifted fields keep their values, and other mirrors of the table may have more
    # columns.
    sharing = supabase.rows(
        "select fields from ipai.mirrors where (target_schema, target_table) = (%s, %s)",
        *(registered["target_schema"], registered["target_table"]),
    )
    known = {entry["column"] for mirror in sharing for entry in mirror["fields"]} | set(registered["constants"]) | BOOKKEEPING
    # A user's own table may have its own primary key.
    assert columns.keys() - known <= {"id"}, f"columns that are not compared: {columns.keys() - known}"
    of_odoo = erp.rpc(registered["model"], "fields_get", [field.name for field in fields], attributes=["type", "digits"])
    expected = {}
    for field in fields:
        digits = bool(of_odoo[field.name].get("digits"))
        expected[field.column] = "numeric" if field.type == "float" and digits else COLUMN_TYPES[field.type]
    assert {column: columns[column] for column in expected} == expected


# SQL for Odoo's values --------------------------------------------------------------------------


def table_of(model: str) -> str:
    """Returns the table of a model in Odoo's database."""
    return _TABLES.get(model, model.replace(".", "_"))


def _table(model: str) -> str:
    return f'"{table_of(model)}"'


def _literal(text: str) -> str:
    return sql.Literal(text).as_string()


def _fields(odoo: psycopg.Connection[dict[str, Any]], erp: Odoo, supabase: Supabase, registered: dict[str, Any]) -> list[_Field]:
    model: str = registered["model"]
    found = odoo.execute("select * from ir_model_fields where model = %s", [model]).fetchall()
    known = {field["name"]: field for field in found}
    drifted = {entry["field"] for entry in registered["drift"]}
    user = supabase.login(registered["server"])
    companies: list[int] = registered["company_ids"]
    if not companies:
        (row,) = odoo.execute("select company_id from res_users where login = %s", [user]).fetchall()
        companies = [row["company_id"]]
    # XML-RPC cannot carry the None of some domains.
    domains = erp.json_rpc(model, "fields_get", [], ["domain"])["result"]
    # XML does not allow control characters, so Odoo removes them from XML-RPC.
    removed = NOTHING if supabase.uses_json2(registered["server"]) else CONTROL
    fields = []
    for entry in registered["fields"]:
        if entry["field"] not in drifted:
            described = {**known[entry["field"]], "domain": str(domains[entry["field"]].get("domain"))}
            assert described["store"], f"{entry['field']} is not stored, which this comparison does not support"
            fields.append(_field(odoo, described, entry["column"], registered["lang"] or "en_US", companies[0], removed))
    assert fields, "the mirror has no fields"
    return fields


def _field(odoo: psycopg.Connection[dict[str, Any]], field: dict[str, Any], column: str, lang: str, company: int, removed: str) -> _Field:
    name, kind = field["name"], field["ttype"]
    stored = f'r."{name}"'
    if field["translate"]:
        stored = f"coalesce({stored} ->> {_literal(lang)}, {stored} ->> 'en_US')"
    elif field["company_dependent"]:
        default = f"""(select d.json_value::jsonb from ir_default d where d.field_id = {field["id"]} and d.user_id is null and d.condition is null
                       and (d.company_id is null or d.company_id = {company}) order by d.company_id nulls last limit 1)"""
        base = {
            "integer": "integer",
            "float": "float8",
            "boolean": "boolean",
            "many2one": "integer",
            "date": "date",
            "datetime": "timestamp",
        }
        stored = f"(coalesce({stored} -> '{company}', {default}) #>> '{{}}')::{base.get(kind, 'text')}"

    def field_with(expression: str, from_odoo: Callable[[Any], Any] = _unchanged, from_mirror: Callable[[Any], Any] = _unchanged) -> _Field:
        return _Field(name, column, kind, expression, from_odoo, from_mirror)

    if kind in _TEXTS:
        return field_with(f"regexp_replace({stored}, {removed}, '', 'g')")
    match kind:
        case "boolean":
            return field_with(f"coalesce({stored}, false)")
        # A many2one_reference is stored as an integer; unset is 0.
        case "integer" | "many2one_reference":
            return field_with(f"coalesce({stored}, 0)")
        case "float" | "monetary":
            # Odoo computes with doubles, whatever the column's type.
            return field_with(f"coalesce({stored}, 0)::float8", _number, _number)
        case "date" | "many2one":
            return field_with(stored)
        case "datetime":
            return field_with(f"date_trunc('second', {stored}) at time zone 'UTC'")
        case "many2many":
            relation, own_column, other_column = field["relation_table"], field["column1"], field["column2"]
            return field_with(
                f"""array(select t.id from "{relation}" x join {_table(field["relation"])} t on t.id = x."{other_column}"
                          where x."{own_column}" = r.id order by 1)"""
            )
        case "one2many":
            inverse = odoo.execute(
                "select ttype from ir_model_fields where model = %s and name = %s", [field["relation"], field["relation_field"]]
            ).fetchall()
            assert [row["ttype"] for row in inverse] == ["many2one"], f"the inverse of {name} is not a many2one"
            return field_with(
                f"""array(select t.id from {_table(field["relation"])} t
                          where t."{field["relation_field"]}" = r.id and {_child_condition(field)} order by 1)"""
            )
        case "binary":
            has_column = odoo.execute(
                "select from pg_attribute where attrelid = to_regclass(%s) and attname = %s", [_table(field["model"]), name]
            ).fetchall()
            if has_column:
                return field_with(stored, lambda value: value and _checksum(base64.b64decode(value)), _checksum)
            # Stored as an attachment, whose checksum is the SHA-1 of its content.
            attachment = f"res_model = {_literal(field['model'])} and res_field = {_literal(name)} and res_id = r.id"
            return field_with(f"(select checksum from ir_attachment where {attachment})", from_mirror=_checksum)
        case "json":
            return field_with(stored)
        case "properties":
            # The API returns properties with their definitions, which are in another table.
            return field_with(stored, lambda value: _set_values(value or {}), lambda value: _set_values(_property_values(value)))
        case "properties_definition":
            return field_with(stored, lambda value: value or [], lambda value: value or [])
    raise NotImplementedError(f"field {name}: this comparison does not support the type {kind}")


def _child_condition(field: dict[str, Any]) -> str:
    """Returns the condition on children; archived ones count unless the domain excludes them."""
    return 't."active"' if "active" in field["domain"] else "true"


def _unchanged(value: Any) -> Any:
    return value


def _number(value: float | Decimal | None) -> Any:
    """Returns the shortest decimal number that reads back as the same double."""
    if value is None:
        return None
    number = Decimal(repr(value)) if isinstance(value, float) else value
    return number if number.is_finite() else str(number)


def _checksum(value: bytes | None) -> str | None:
    return None if value is None else hashlib.sha1(bytes(value)).hexdigest()


def _property_values(properties: list[dict[str, Any]] | None) -> dict[str, Any]:
    """Returns the properties' values as Odoo stores them: ids without names."""

    def value(entry: dict[str, Any]) -> Any:
        value = entry.get("value")
        match entry["type"]:
            case "many2one":
                return value and value[0]
            case "many2many":
                return [pair[0] for pair in value or []]
        return value

    return {entry["name"]: value(entry) for entry in properties or []}


def _set_values(properties: dict[str, Any]) -> dict[str, Any]:
    """Returns the set values: an unset value may be missing or false."""
    return {name: json.loads(json.dumps(value)) for name, value in properties.items() if value not in (None, False, "", [])}
