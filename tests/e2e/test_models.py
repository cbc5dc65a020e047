"""Tests that mirrors of many models equal Odoo's tables after changes of the records.

The expected values come from Odoo's database by SQL.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from harness.odoo import Odoo, generate_metrics
from support.model_comparison import assert_mirrors, compare, table_of
from support.supabase import Supabase

pytestmark = [pytest.mark.both_hosts, pytest.mark.no_mirrors]

METRIC = "ipai.sample.metric"
#: A model created for these tests, with a field of every type that can be mirrored.
EVERYTHING = "x_everything"
FRENCH = "fr_FR"

_PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
#: Fields that need only one value in the comparison.
CONSTANT_FIELDS = {"create_uid", "create_date", "write_uid", "write_date", "address_view_id"}
_AWKWARD = "Ünïcode 東京 🎉 <b>&amp;</b> ]]> \\u0000 'quoted' \"twice\"\r\nsecond line\ttab  "


# Data ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def erp() -> Iterator[Odoo]:
    """The file's own Odoo, in whose records every field has several values, including null."""
    with Odoo(modules=("ipai_sample_metrics", "ipai_sync")) as odoo:
        populate(odoo)
        yield odoo


@pytest.fixture(scope="module")
def other() -> Iterator[Odoo]:
    """Another Odoo with the same ids and other records."""
    with Odoo() as odoo:
        names = [f"Other {i}" for i in range(150)]
        odoo.rpc("res.partner", "create", [{"name": name, "email": f"{name}@example.com"} for name in names])
        yield odoo


def populate(odoo: Odoo) -> None:
    generate_metrics(odoo, 300)
    odoo.rpc("res.lang", "write", odoo.rpc("res.lang", "search", [("code", "=", FRENCH)], context={"active_test": False}), {"active": True})
    _companies(odoo)
    _countries(odoo)
    _partners(odoo)
    _users(odoo)
    _jobs(odoo)
    _everything(odoo)


def _companies(odoo: Odoo) -> None:
    second = odoo.rpc("res.company", "create", {"name": "Second company"})
    odoo.rpc("res.users", "write", [odoo.uid("admin", "admin")], {"company_ids": [(4, second)]})


def _countries(odoo: Odoo) -> None:
    french = one(odoo, "res.country", ("code", "=", "FR"))
    german = one(odoo, "res.country", ("code", "=", "DE"))
    odoo.rpc("res.country", "write", [german], {"name": "Allemagne", "vat_label": "TVA"}, context={"lang": FRENCH})
    odoo.rpc("res.country.group", "create", {"name": "Both", "country_ids": [(6, 0, [german, french])]})
    odoo.rpc("res.currency", "write", [one(odoo, "res.currency", ("name", "=", "EUR"))], {"active": True})
    rates = [("USD", "2026-01-01", 1.0833333333333333), ("USD", "2026-01-02", 0.1), ("EUR", "2026-01-01", 123456.789)]
    for name, day, rate in rates:
        currency = one(odoo, "res.currency", ("name", "=", name))
        odoo.rpc("res.currency.rate", "create", {"currency_id": currency, "name": day, "rate": rate, "company_id": name == "USD" and 1})
    odoo.rpc("res.country", "create", {"name": "Elbonia", "code": "X1"})
    odoo.rpc("res.currency", "create", {"name": "XX1", "symbol": "X"})
    # SQL can write values that the API cannot.
    odoo.pg.psql("update res_currency_rate set rate = null where rate = 0.1", dbname=odoo.dbname)


def _partners(odoo: Odoo) -> None:
    tags = odoo.rpc("res.partner.category", "create", [{"name": name} for name in ("Gold", "Silver", "Retired")])
    odoo.rpc("res.partner.category", "write", tags[2:], {"active": False})
    (definition,) = odoo.rpc("res.partner", "read", [1], ["properties_base_definition_id"], load="")
    odoo.rpc(
        "properties.base.definition",
        "write",
        [definition["properties_base_definition_id"]],
        {
            "properties_definition": [
                {"name": "a1", "type": "char", "string": "Slogan"},
                {"name": "b2", "type": "integer", "string": "Shops"},
                {"name": "c3", "type": "many2one", "string": "Home", "comodel": "res.country"},
                {"name": "d4", "type": "tags", "string": "Labels", "tags": [["x", "X", 1], ["y", "Y", 2]]},
            ]
        },
    )
    parent = odoo.rpc("res.partner", "create", {"name": "Parent & Co", "is_company": True, "vat": "BE0477472701", "image_1920": _PIXEL})
    country, state = (
        one(odoo, "res.country", ("code", "=", "US")),
        one(odoo, "res.country.state", ("code", "=", "CA"), ("country_id.code", "=", "US")),
    )
    for i in range(40):
        values: dict[str, Any] = {
            "name": f"Contact {i}",
            "parent_id": parent if i % 3 == 0 else False,
            "category_id": [(6, 0, tags[: i % 4])],
            "comment": f"<p>{i} <b>bold</b> é 🎉</p>" if i % 5 else False,
            "email": f"contact{i}@example.com" if i % 2 else "",
            "phone": _AWKWARD if i == 1 else False,
            "street": ["", False, "Rue 1"][i % 3],
            "barcode": f"BAR{i}" if i % 4 == 0 else False,
            "partner_latitude": i / 7,
            "partner_longitude": -i / 3,
            "country_id": country if i % 2 else False,
            "state_id": state if i % 4 == 1 else False,
            "lang": FRENCH if i % 6 == 0 else "en_US",
            "tz": "Asia/Manila" if i % 7 == 0 else False,
            "color": i % 11,
            "ref": f"REF{i}" if i % 2 else False,
            "company_registry": f"REG{i}" if i % 3 else False,
            "website": "https://example.com" if i % 5 == 0 else False,
            "function": "Buyer" if i % 5 == 1 else False,
            "street2": "2nd floor" if i % 5 == 2 else False,
            "company_name": "Somewhere Inc." if i % 3 == 2 else False,
            "industry_id": one(odoo, "res.partner.industry") if i % 8 == 0 else False,
            "company_id": 1 if i % 9 == 0 else False,
            "user_id": 2 if i % 10 == 0 else False,
            "active": i % 13 != 0,
            "employee": i % 2 == 0,
            "type": ["contact", "invoice", "delivery", "other"][i % 4],
            "properties": {"a1": f"Slogan {i}", "b2": i, "c3": country, "d4": ["x"]} if i % 3 == 1 else {},
        }
        made = odoo.rpc("res.partner", "create", values)
        if i % 4 == 2:
            second = one(odoo, "res.company", ("name", "=", "Second company"))
            odoo.rpc("res.partner", "write", [made], {"barcode": f"SECOND{i}"}, context={"allowed_company_ids": [second, 1]})
    # Null in columns in which the API writes a value.
    psql = "update res_partner set color = null, employee = null, partner_latitude = null, type = null where name = 'Contact 5'"
    odoo.pg.psql(psql, dbname=odoo.dbname)


def _users(odoo: Odoo) -> None:
    second = one(odoo, "res.company", ("name", "=", "Second company"))
    odoo.create_user("clerk", "clerk password", signature="<p>Clerk <i>&amp; Sons</i></p>")
    odoo.create_user("system", "system password", ("base.group_system",), tz="Europe/Paris")
    portal = odoo.create_user("portal", "portal password", ("base.group_portal",))
    odoo.rpc("res.users", "write", [odoo.create_user("gone", "gone password")], {"active": False})
    helpers = odoo.rpc("res.groups", "create", {"name": "Helpers"})
    odoo.create_user("leaving", "leaving password", company_id=second, company_ids=[(6, 0, [second])])
    odoo.rpc("res.users", "write", [odoo.create_user("helper", "helper password")], {"group_ids": [(4, helpers)]})
    action = odoo.rpc("ir.actions.act_window", "create", {"name": "Home", "res_model": "res.partner"})
    odoo.rpc("res.users", "write", [portal], {"action_id": action})


def _jobs(odoo: Odoo) -> None:
    model = one(odoo, "ir.model", ("model", "=", "res.partner"))
    for i in range(5):
        job = {
            "name": f"Job {i}",
            "model_id": model,
            "state": "code",
            "code": "pass",
            "interval_number": i + 1,
            "interval_type": ["minutes", "hours", "days", "weeks", "months"][i],
            "nextcall": f"2030-01-0{i + 1} 08:00:00",
            "priority": i,
            "active": i != 2,
        }
        odoo.rpc("ir.cron", "create", job)
    # The scheduler also writes microseconds, and does not change write_date.
    odoo.pg.psql("update ir_cron set lastcall = now() at time zone 'UTC', failure_count = 3 where cron_name = 'Job 1'", dbname=odoo.dbname)
    odoo.pg.psql(
        "update ir_cron set first_failure_date = now() at time zone 'UTC', failure_count = null where cron_name = 'Job 3'",
        dbname=odoo.dbname,
    )


def _everything(odoo: Odoo) -> None:
    model = odoo.rpc("ir.model", "create", {"name": "Everything", "model": EVERYTHING})
    # The access rights precede the fields, because Odoo caches the rights too early and again with
    # every new field.
    rights = {"perm_read": True, "perm_write": True, "perm_create": True, "perm_unlink": True}
    odoo.rpc("ir.model.access", "create", {"name": "everything", "model_id": model, **rights})
    fields: list[dict[str, Any]] = [
        {"name": "x_active", "ttype": "boolean"},
        {"name": "x_char", "ttype": "char", "translate": "standard"},
        {"name": "x_text", "ttype": "text"},
        {"name": "x_html", "ttype": "html", "translate": "html_translate"},
        {"name": "x_integer", "ttype": "integer"},
        {"name": "x_float", "ttype": "float"},
        {"name": "x_currency_id", "ttype": "many2one", "relation": "res.currency"},
        {"name": "x_monetary", "ttype": "monetary", "currency_field": "x_currency_id"},
        {"name": "x_boolean", "ttype": "boolean"},
        {"name": "x_date", "ttype": "date"},
        {"name": "x_datetime", "ttype": "datetime"},
        {"name": "x_binary", "ttype": "binary"},
        {"name": "x_selection", "ttype": "selection", "selection_ids": [(0, 0, {"value": key, "name": key}) for key in ("one", "two")]},
        {"name": "x_reference", "ttype": "reference", "selection_ids": [(0, 0, {"value": "res.partner", "name": "Partner"})]},
        {"name": "x_partner_id", "ttype": "many2one", "relation": "res.partner"},
        {"name": "x_country_ids", "ttype": "many2many", "relation": "res.country"},
        {"name": "x_category_ids", "ttype": "many2many", "relation": "res.partner.category"},
        {"name": "x_json", "ttype": "json"},
        {"name": "x_partner_email", "ttype": "char", "related": "x_partner_id.email", "store": True},
        {"name": "x_parent_id", "ttype": "many2one", "relation": EVERYTHING},
        {"name": "x_child_ids", "ttype": "one2many", "relation": EVERYTHING, "relation_field": "x_parent_id"},
    ]
    odoo.rpc("ir.model.fields", "create", [{"model_id": model, "field_description": field["name"], **field} for field in fields])
    odoo.rpc("res.partner", "create", {"name": "Of everything", "email": "of-everything@example.com"})
    made: list[int] = []
    for i in range(30):
        parent = made[i // 2] if i % 3 == 1 else False
        made.append(odoo.rpc(EVERYTHING, "create", {**everything(odoo, i), "x_parent_id": parent}))
    odoo.rpc(EVERYTHING, "write", made[3:6], {"x_char": "traduit", "x_html": "<p>traduit</p>"}, context={"lang": FRENCH})
    # Values that only SQL can write: null, NaN and infinity, a dangling reference, control
    # characters.
    odoo.pg.psql(
        rf"""
        update {EVERYTHING} set x_integer = null, x_float = null, x_monetary = null, x_boolean = null, x_active = null where id = {made[7]};
        update {EVERYTHING} set x_float = 'NaN', x_monetary = 'NaN' where id = {made[8]};
        update {EVERYTHING} set x_float = '-Infinity', x_reference = 'res.partner,999999' where id = {made[9]};
        update {EVERYTHING} set x_float = 1e-300, x_text = E'bell \x07 and unit \x1f' where id = {made[10]};
        update {EVERYTHING} set x_datetime = '2026-02-28 23:59:59.999999', x_date = '0987-06-05' where id = {made[11]};
        update {EVERYTHING} set x_monetary = 12345678901234567890.125 where id = {made[12]};
        """,
        dbname=odoo.dbname,
    )


def everything(odoo: Odoo, i: int) -> dict[str, Any]:
    """Returns values for every field of a record."""
    countries = odoo.rpc("res.country", "search", [("code", "in", ["FR", "DE", "PH"])])
    tags = odoo.rpc("res.partner.category", "search", [], context={"active_test": False})
    partner = one(odoo, "res.partner", ("name", "=", "Of everything"))
    return {
        "x_name": f"Everything {i}",
        "x_active": i % 5 != 0,
        "x_char": ["", False, _AWKWARD, f"char {i}"][i % 4],
        "x_text": _AWKWARD * 50 if i % 3 else False,
        "x_html": f"<p>text <a href='https://example.com/?a=1&amp;b={i}'>link</a></p>" if i % 2 else False,
        "x_integer": [0, -1, 2**31 - 1, -(2**31)][i % 4],
        "x_float": [0.0, 0.1 + 0.2, -1e22, 1e-7, 12345.678][i % 5],
        "x_currency_id": 1 if i % 2 else False,
        "x_monetary": [0.0, 12.34, -0.01, 1e9][i % 4],
        "x_boolean": i % 2 == 0,
        "x_date": ["2026-01-06", False, "1900-02-28"][i % 3],
        "x_datetime": ["2026-01-06 23:59:59", False, "1970-01-01 00:00:00"][i % 3],
        "x_binary": base64.b64encode(bytes(range(i * 8))).decode() if i % 3 else False,
        "x_selection": ["one", "two", False][i % 3],
        "x_reference": f"res.partner,{partner}" if i % 2 else False,
        "x_partner_id": partner if i % 3 else False,
        "x_country_ids": [(6, 0, countries[: i % 4])],
        "x_category_ids": [(6, 0, tags[: i % 4])],
        "x_json": [{"a": [1, 2.5, "é"]}, [], False, {"deep": {"er": True}}][i % 4],
    }


def one(odoo: Odoo, model: str, *domain: tuple[str, str, Any]) -> int:
    """Returns the id of the first record that matches the domain, archived or not."""
    return int(odoo.rpc(model, "search", list(domain), context={"active_test": False}, limit=1, order="id")[0])


# Changes in Odoo ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class ModelChanges:
    """The changes of a model's records."""

    model: str
    #: Changes that the next incremental run copies.
    edit: Callable[[Odoo], None]
    #: Changes that do not update write_date.
    silent: Callable[[Odoo], None]
    #: The fields that differ until the next full run.
    unseen: frozenset[str]


def write(odoo: Odoo, model: str, domain: tuple[str, str, Any], values: dict[str, Any]) -> None:
    odoo.rpc(model, "write", [one(odoo, model, domain)], values)


def unlink(odoo: Odoo, model: str, *domain: tuple[str, str, Any]) -> None:
    odoo.rpc(model, "unlink", [one(odoo, model, *domain)])


def edit_partners(odoo: Odoo) -> None:
    write(
        odoo,
        "res.partner",
        ("name", "=", "Contact 1"),
        {"name": "Renamed é", "comment": False, "category_id": [(5,)], "partner_latitude": 48.8583701},
    )
    write(odoo, "res.partner", ("name", "=", "Contact 2"), {"active": False, "street": _AWKWARD, "parent_id": False, "barcode": False})
    write(
        odoo,
        "res.partner",
        ("name", "=", "Contact 13"),
        {"active": True, "properties": {"a1": "New", "b2": 0, "c3": False, "d4": ["x", "y"]}},
    )
    write(odoo, "res.partner", ("name", "=", "Contact 4"), {"image_1920": _PIXEL, "email": "new@example.com", "lang": FRENCH})
    unlink(odoo, "res.partner", ("name", "=", "Contact 7"))
    # Its children lose their parent, and their display names change.
    unlink(odoo, "res.partner", ("name", "=", "Parent & Co"))
    odoo.rpc("res.partner", "create", {"name": "New", "category_id": [(6, 0, odoo.rpc("res.partner.category", "search", []))]})


def unlink_records_of_partners(odoo: Odoo) -> None:
    unlink(odoo, "res.partner.category", ("name", "=", "Silver"))
    unlink(odoo, "res.partner.industry")


def edit_countries(odoo: Odoo) -> None:
    write(odoo, "res.country", ("code", "=", "FR"), {"phone_code": 3333, "country_group_ids": [(5,)], "vat_label": "Numéro"})
    write(
        odoo,
        "res.country",
        ("code", "=", "PH"),
        {"address_format": _AWKWARD, "state_required": True, "name_position": "after"},
    )
    unlink(odoo, "res.country", ("code", "=", "X1"))
    odoo.rpc("res.country", "create", {"name": "Ruritania", "code": "X2", "currency_id": 1})


def edit_records_of_countries(odoo: Odoo) -> None:
    write(odoo, "res.country.group", ("name", "=", "Both"), {"country_ids": [(5,)]})
    odoo.rpc(
        "res.country.state", "create", {"name": "Strelsau", "code": "STR", "country_id": one(odoo, "res.country", ("code", "=", "DE"))}
    )


def edit_states(odoo: Odoo) -> None:
    german = ("country_id.code", "=", "DE")
    odoo.rpc("res.country.state", "write", odoo.rpc("res.country.state", "search", [german], limit=3), {"name": _AWKWARD})
    unlink(odoo, "res.country.state", ("country_id.code", "=", "AU"), ("code", "=", "NT"))
    odoo.rpc("res.country.state", "create", {"name": "New", "code": "NEW", "country_id": one(odoo, "res.country", ("code", "=", "FR"))})


def edit_currencies(odoo: Odoo) -> None:
    write(odoo, "res.currency", ("name", "=", "PHP"), {"active": True, "symbol": "₱₱", "rounding": 0.0005})
    write(odoo, "res.currency", ("name", "=", "EUR"), {"active": False, "position": "before", "currency_unit_label": False})
    unlink(odoo, "res.currency", ("name", "=", "XX1"))
    odoo.rpc("res.currency", "create", {"name": "XX2", "symbol": "¤"})


def add_a_rate(odoo: Odoo) -> None:
    currency = one(odoo, "res.currency", ("name", "=", "CHF"))
    odoo.rpc("res.currency.rate", "create", {"currency_id": currency, "name": "2025-12-31", "rate": 0.9, "company_id": False})


def edit_rates(odoo: Odoo) -> None:
    write(odoo, "res.currency.rate", ("name", "=", "2026-01-02"), {"rate": 1 / 3, "company_id": 1})
    unlink(odoo, "res.currency.rate", ("currency_id.name", "=", "EUR"))
    add_a_rate(odoo)


def edit_users(odoo: Odoo) -> None:
    write(
        odoo,
        "res.users",
        ("login", "=", "clerk"),
        {
            "signature": f"<p>{_AWKWARD}</p>",
            "login": "clérk",
            "company_ids": [(4, one(odoo, "res.company", ("name", "=", "Second company")))],
        },
    )
    write(
        odoo, "res.users", ("login", "=", "gone"), {"active": True, "group_ids": [(4, one(odoo, "res.groups", ("name", "=", "Helpers")))]}
    )
    write(odoo, "res.users", ("login", "=", "portal"), {"active": False, "action_id": False})
    unlink(odoo, "res.users", ("login", "=", "leaving"))
    odoo.create_user("arriving", "arriving password")


def edit_records_of_users(odoo: Odoo) -> None:
    unlink(odoo, "res.groups", ("name", "=", "Helpers"))
    # A login creates a record in log_ids.
    odoo.uid("system", "system password")


def edit_jobs(odoo: Odoo) -> None:
    write(
        odoo,
        "ir.cron",
        ("cron_name", "=", "Job 0"),
        {"interval_type": "months", "interval_number": 7, "cron_name": "Renamed job", "nextcall": "2031-05-05 05:05:05"},
    )
    write(odoo, "ir.cron", ("cron_name", "=", "Job 1"), {"active": False, "lastcall": False})
    write(odoo, "ir.cron", ("cron_name", "=", "Job 2"), {"active": True, "user_id": 1})
    unlink(odoo, "ir.cron", ("cron_name", "=", "Job 4"))
    odoo.rpc(
        "ir.cron",
        "create",
        {"name": "New job", "model_id": one(odoo, "ir.model"), "state": "code", "interval_number": 2, "interval_type": "days"},
    )


def edit_metrics(odoo: Odoo) -> None:
    active, archived = (odoo.rpc(METRIC, "search", [("active", "=", flag)], order="id", limit=5) for flag in (True, False))
    odoo.rpc(METRIC, "write", active[:2], {"value": 0.1 + 0.2, "unit": "percent", "notes": _AWKWARD, "date": False, "brand_id": False})
    odoo.rpc(METRIC, "write", active[2:3], {"active": False})
    odoo.rpc(METRIC, "write", archived[:1], {"active": True})
    odoo.rpc(METRIC, "unlink", [active[3], archived[1]])
    odoo.rpc(METRIC, "create_from_payload", {"name": "New", "code": "NEW", "unit": "count", "value": 3})


def unlink_brand(odoo: Odoo) -> None:
    odoo.rpc("res.partner", "unlink", odoo.rpc("res.partner", "search", [("name", "like", "Sari-Sari")], limit=1))


def edit_everything(odoo: Odoo) -> None:
    found = odoo.rpc(EVERYTHING, "search", [], order="id", limit=10)
    for i, number in enumerate(found[:4]):
        odoo.rpc(EVERYTHING, "write", [number], everything(odoo, i + 7))
    odoo.rpc(EVERYTHING, "write", found[4:5], dict.fromkeys((key for key in everything(odoo, 0) if not key.endswith("_ids")), False))
    odoo.rpc(EVERYTHING, "write", found[5:7], {"x_active": False})
    for name in ("Everything 21", "Everything 24"):
        unlink(odoo, EVERYTHING, ("x_name", "=", name))
    odoo.rpc(EVERYTHING, "create", everything(odoo, 1))


def unlink_records_of_everything(odoo: Odoo) -> None:
    unlink(odoo, "res.partner.category", ("name", "=", "Gold"))
    # This record is the parent of another record.
    unlink(odoo, EVERYTHING, ("x_name", "=", "Everything 9"))


def by_sql(statement: str) -> Callable[[Odoo], None]:
    def run(odoo: Odoo) -> None:
        odoo.pg.psql(statement, dbname=odoo.dbname)

    return run


CHANGES = [
    ModelChanges("res.partner", edit_partners, unlink_records_of_partners, frozenset({"category_id", "industry_id"})),
    ModelChanges("res.country", edit_countries, edit_records_of_countries, frozenset({"country_group_ids", "state_ids"})),
    ModelChanges(
        "res.country.state", edit_states, by_sql("update res_country_state set name = 'By SQL' where code = 'CA'"), frozenset({"name"})
    ),
    ModelChanges("res.currency", edit_currencies, add_a_rate, frozenset({"rate_ids"})),
    ModelChanges("res.currency.rate", edit_rates, by_sql("update res_currency_rate set rate = 7"), frozenset({"rate"})),
    ModelChanges("res.users", edit_users, edit_records_of_users, frozenset({"log_ids"})),
    ModelChanges(
        "ir.cron",
        edit_jobs,
        by_sql("update ir_cron set lastcall = now() at time zone 'UTC', nextcall = nextcall + interval '1 day' where cron_name = 'Job 3'"),
        frozenset({"lastcall", "nextcall"}),
    ),
    ModelChanges(METRIC, edit_metrics, unlink_brand, frozenset({"brand_id"})),
    ModelChanges(EVERYTHING, edit_everything, unlink_records_of_everything, frozenset({"x_parent_id", "x_category_ids"})),
]
MODELS = [changes.model for changes in CHANGES]


# Tests --------------------------------------------------------------------------------------------


#: The options of the ways to read: without and with the addon, over XML-RPC and over JSON-2.
WAYS = {
    "plain": {"addon": "false"},
    "addon": {"addon": "true"},
    "json2": {"addon": "false", "protocol": "json2"},
    "json2_addon": {"addon": "true", "protocol": "json2"},
}


@pytest.fixture(params=WAYS)
def connected(supabase: Supabase, erp: Odoo, request: pytest.FixtureRequest) -> Iterator[Supabase]:
    """A database with the Odoo server and no mirror, for each way to read."""
    options = WAYS[request.param]
    supabase.server(erp.url, dbname=erp.dbname, **options)
    yield supabase
    used = {row["addon"] for row in supabase.rows("select addon from ipai.odoo_logins where url = %s", erp.url)}
    # False would mean that the run stopped using the addon.
    assert used <= ({None, True} if options["addon"] == "true" else {None})


#: For tests that change Odoo irreversibly, or that concern only XML-RPC.
ONLY_PLAIN = pytest.mark.parametrize("connected", ["plain"], indirect=True)


def age(odoo: Odoo, model: str) -> None:
    """Sets a different old write_date on every record."""
    table = model.replace(".", "_")
    odoo.pg.psql(f"update {table} set write_date = timestamp '2025-01-01' + id * interval '1 minute'", dbname=odoo.dbname)


def stored_fields(odoo: Odoo, model: str, *without: str) -> set[str]:
    """Returns the stored fields according to Odoo's own table of fields."""
    rows = odoo.pg.psql(
        f"select name, ttype from ir_model_fields where model = '{model}' and store and name <> 'id'", dbname=odoo.dbname
    ).splitlines()
    return {name for name, kind in (row.split("|") for row in rows) if kind not in without}


def create_full_mirror(supabase: Supabase, odoo: Odoo, model: str, **options: Any) -> str:
    """Creates a mirror of all stored fields, also one2many and binary, and returns its name."""
    fields = sorted(stored_fields(odoo, model))
    made = supabase.create_mirror(model, fields=fields, **options)
    assert [row["field"] for row in made] == fields
    name: str = made[0]["mirror"]
    return name


def versions(supabase: Supabase, table: str, condition: str = "true") -> list[dict[str, Any]]:
    """Returns the row versions, which every write changes."""
    return supabase.rows(f"select odoo_id, xmin::text, xmax::text, ctid::text, updated_at from {table} where {condition} order by odoo_id")


@pytest.mark.parametrize("model", MODELS)
def test_mirror_equals_the_table_in_odoo(connected: Supabase, erp: Odoo, model: str) -> None:
    made = connected.create_mirror(model)
    name, table = model.replace(".", "_"), f"ipai.{model.replace('.', '_')}"
    assert {(row["mirror"], row["target"]) for row in made} == {(name, table)}
    fields = {row["field"] for row in made}
    assert fields == stored_fields(erp, model, "binary", "one2many")
    run = connected.sync(name)
    found = assert_mirrors(connected, erp, name, at_least=3)
    assert set(found.fields) == fields
    # A field with equal values in all records would not show mistakes.
    assert {field for field, values in found.variety.items() if values == 1} <= CONSTANT_FIELDS
    assert (run["mode"], run["fetched"], run["inserted"], run["odoo_count"], run["mirror_count"]) == ("full", *(found.rows,) * 4)


@pytest.mark.program_nightly
@pytest.mark.parametrize("model", MODELS)
def test_second_full_run_writes_no_row(connected: Supabase, erp: Odoo, model: str) -> None:
    name = create_full_mirror(connected, erp, model)
    first = connected.sync(name)
    before = versions(connected, f"ipai.{name}")
    run = connected.sync(name, "full")
    assert (run["mode"], run["inserted"], run["updated"], run["deleted"]) == ("full", 0, 0, 0)
    assert run["unchanged"] == run["fetched"] == first["fetched"] == len(before) > 0
    assert versions(connected, f"ipai.{name}") == before
    assert_mirrors(connected, erp, name)


@pytest.fixture
def all_servers(supabase: Supabase, erp: Odoo) -> Supabase:
    """A database with a server for each way to read the same Odoo."""
    for server, options in WAYS.items():
        supabase.server(erp.url, name=server, dbname=erp.dbname, **options)
    return supabase


@pytest.mark.extension_only("changes Odoo irreversibly, and the other tests of the file run in both hosts")
@pytest.mark.parametrize("changes", CHANGES, ids=MODELS)
def test_mirror_follows_the_changes_in_odoo(all_servers: Supabase, erp: Odoo, changes: ModelChanges) -> None:
    # The changes are irreversible, so a mirror for each way copies them at the same time.
    age(erp, changes.model)
    names = [
        create_full_mirror(all_servers, erp, changes.model, overlap="0", server=server, name=server, target=f"ipai.{server}")
        for server in WAYS
    ]
    found = {}
    for name in names:
        assert all_servers.sync(name)["mode"] == "full"
        found[name] = assert_mirrors(all_servers, erp, name)
        assert set(found[name].fields) == stored_fields(erp, changes.model)

    changes.edit(erp)
    for name in names:
        run = all_servers.sync(name)
        assert (run["mode"], run["odoo_count"]) == ("incremental", run["mirror_count"])
        assert 0 < run["updated"] < found[name].rows / 2 + 5 and 0 < run["inserted"] < 5 and 0 < run["deleted"] < 5
        assert_mirrors(all_servers, erp, name)

    age(erp, changes.model)
    for name in names:
        all_servers.sync(name, "full")
        assert_mirrors(all_servers, erp, name)
    changes.silent(erp)
    for name in names:
        assert all_servers.sync(name)["mode"] == "incremental"
        differences = compare(all_servers, erp, name).differences
        # With the addon, Odoo reports these changes as well.
        assert {difference.field for difference in differences} == (frozenset() if name.endswith("addon") else changes.unseen)
        run = all_servers.sync(name, "full")
        assert (run["inserted"], run["deleted"]) == (0, 0)
        assert run["updated"] == len({difference.odoo_id for difference in differences})
        assert_mirrors(all_servers, erp, name)


#: Models whose records cannot be read or written through the API.
INACCESSIBLE = {"ir.model.inherit", "res.users.apikeys"}


@pytest.mark.extension_only("lists the models with a function that the program has no command for")
def test_every_model_is_mirrored_or_refused(connected: Supabase, erp: Odoo) -> None:
    tables = set(erp.pg.psql("select relname from pg_class where relkind = 'r'", dbname=erp.dbname).splitlines())
    compared = []
    for model in (row["model"] for row in connected.rows("select model from ipai.odoo_models()")):
        name = f"any_{table_of(model)}"[:40]
        try:
            connected.create_mirror(model, target=f"public.{name}")
        except psycopg.Error as error:
            # A form of a wizard, whose table Odoo does not create.
            assert error.sqlstate in ("22023", "42501") or model == "res.users.apikeys.show", model
            assert model in INACCESSIBLE or table_of(model) not in tables, model
            continue
        run = connected.sync(name)
        found = compare(connected, erp, name)
        assert (model, found.differences[:3]) == (model, [])
        assert (model, run["inserted"], run["odoo_count"], run["mirror_count"]) == (model, *(found.rows,) * 3)
        run = connected.sync(name, "full")
        assert (model, run["updated"], run["unchanged"]) == (model, 0, found.rows)
        compared.append(found.rows)
        connected.rows("select ipai.drop_mirror(%s, true)", name)
    assert len(compared) > 60 and sum(compared) > 10_000


def as_carried_by_xml(rows: list[dict[str, Any]] | None) -> list[dict[str, Any]] | None:
    """Removes the control characters that XML-RPC cannot carry."""
    removed = dict.fromkeys(set(range(32)) - {9, 10, 13})
    carried = [{name: value.translate(removed) if isinstance(value, str) else value for name, value in row.items()} for row in rows or []]
    return carried if rows is not None else None


@pytest.mark.program_nightly
@pytest.mark.parametrize("group", ["base.group_user", "base.group_portal"])
def test_restricted_user_reads_the_same_in_every_way(supabase: Supabase, erp: Odoo, group: str) -> None:
    erp.create_user(group, "password", (group,))
    for server, options in WAYS.items():
        supabase.server(erp.url, name=server, dbname=erp.dbname, user=group, password="password", **options)
    rows, refused = 0, set()
    for model in [*MODELS, "res.company", "res.partner.category", "res.groups", "ir.attachment", "ir.config_parameter", "ir.ui.view"]:
        found = {}
        for server in WAYS:
            try:
                made = supabase.create_mirror(model, server=server, target=f"public.{server}", name=server)
                supabase.sync(server)
            except psycopg.Error as error:
                assert error.sqlstate == "42501", (model, error)
                refused.add((model, server))
            else:
                columns = ", ".join(f'"{row["column"]}"' for row in made)
                as_read = f"select to_jsonb(t) as row from (select odoo_id, {columns} from public.{server}) t order by odoo_id"
                found[server] = [row["row"] for row in supabase.rows(as_read)]
            for mirror in supabase.rows("select name from ipai.mirrors"):
                supabase.rows("select ipai.drop_mirror(%s, true)", mirror["name"])
        for way, other in (("addon", "plain"), ("json2_addon", "json2")):
            assert (model, found.get(way)) == (model, found.get(other))
        assert (model, as_carried_by_xml(found.get("json2"))) == (model, found.get("plain"))
        rows += len(found.get("plain", []))
    assert supabase.rows("select distinct addon from ipai.odoo_logins") == [{"addon": True}]
    refused_by_way = [{model for model, server in refused if server == way} for way in WAYS]
    assert rows > 50 and refused_by_way == [refused_by_way[0]] * len(WAYS) and refused_by_way[0]


# Domains, languages, companies and names ----------------------------------------------------------


def test_domain_selects_the_records(connected: Supabase, erp: Odoo) -> None:
    connected.create_mirror("res.partner", domain=["|", ["is_company", "=", True], ["name", "like", "Domain"]], target="ipai.companies")
    moving = erp.rpc("res.partner", "create", [{"name": f"Domain {i}", "is_company": i == 0} for i in range(3)])
    where = "r.is_company or r.name like '%Domain%'"
    connected.sync("companies")
    found = assert_mirrors(connected, erp, "companies", where=where, at_least=100)
    assert found.rows < int(erp.pg.psql("select count(*) from res_partner", dbname=erp.dbname))
    # One record leaves the domain and returns later, one leaves and stays outside, one stays.
    erp.rpc("res.partner", "write", moving[:2], {"name": "Elsewhere"})
    run = connected.sync("companies")
    assert (run["mode"], run["deleted"], run["odoo_count"]) == ("incremental", 1, run["mirror_count"])
    assert_mirrors(connected, erp, "companies", where=where)
    erp.rpc("res.partner", "write", moving[1:2], {"is_company": True})
    assert connected.sync("companies")["inserted"] == 1
    assert_mirrors(connected, erp, "companies", where=where)


def test_domain_without_records_makes_an_empty_mirror(connected: Supabase, erp: Odoo) -> None:
    connected.create_mirror("res.partner", domain=[["id", "<", 0]], target="ipai.nobody")
    run = connected.sync("nobody")
    assert (run["fetched"], run["odoo_count"], run["mirror_count"]) == (0, 0, 0)
    assert_mirrors(connected, erp, "nobody", where="false", at_least=0)


def test_language_selects_the_translation(connected: Supabase, erp: Odoo) -> None:
    german = "select name from {} where code = 'DE'"
    for name, lang, text in (("source", "", "Germany"), ("french", FRENCH, "Allemagne")):
        for model in ("res.country", EVERYTHING):
            mirror = f"{model.replace('.', '_')}_{name}"
            connected.create_mirror(model, lang=lang, target=f"ipai.{mirror}")
            connected.sync(mirror)
            assert_mirrors(connected, erp, mirror)
        assert connected.row(german.format(f"ipai.res_country_{name}")) == {"name": text}
    # A changed language makes the next run full.
    connected.rows("select ipai.alter_mirror('res_country_source', lang => %s)", FRENCH)
    run = connected.sync("res_country_source")
    assert run["mode"] == "full" and run["updated"] >= 1
    assert_mirrors(connected, erp, "res_country_source")
    assert connected.row(german.format("ipai.res_country_source")) == {"name": "Allemagne"}


def test_companies_select_values_and_records(connected: Supabase, erp: Odoo) -> None:
    second = one(erp, "res.company", ("name", "=", "Second company"))
    connected.create_mirror("res.partner", company_ids=[second, 1], target="ipai.of_both")
    connected.create_mirror("res.partner", company_ids=[second], target="ipai.of_second")
    for name, where in (
        ("of_both", "true"),
        ("of_second", f"r.company_id is null or r.company_id = {second} or not coalesce(r.partner_share, false)"),
    ):
        connected.sync(name)
        assert_mirrors(connected, erp, name, where=where, at_least=100)
        barcodes = connected.row(
            f"select count(*) filter (where barcode like 'SECOND%') as theirs, count(*) filter (where barcode like 'BAR%') as ours from ipai.{name}"
        )
        assert barcodes["theirs"] > 5 and barcodes["ours"] == 0
    assert connected.row("select count(*) from ipai.of_second")["count"] < connected.row("select count(*) from ipai.of_both")["count"]


@pytest.mark.program_nightly
@pytest.mark.parametrize("page_size", [1, 7])
def test_page_size_does_not_change_the_result(connected: Supabase, erp: Odoo, page_size: int) -> None:
    name = create_full_mirror(connected, erp, "res.partner", page_size=page_size)
    run = connected.sync(name)
    assert run["pages"] == -(-run["fetched"] // page_size)
    assert_mirrors(connected, erp, name)


def test_column_names_are_quoted(connected: Supabase, erp: Odoo) -> None:
    """SQL would misread these names without quotes."""
    columns = {"order": "select", "name": 'quoted "name"', "model": "Ünïcode", "write_date": "user"}
    connected.create_mirror("ir.model", fields=[*columns], columns=columns, target='ipai."Models of Odoo"', name="models")
    connected.sync("models")
    found = assert_mirrors(connected, erp, "models", at_least=100)
    assert found.fields == tuple(sorted(columns))


@ONLY_PLAIN
def test_null_within_json_leaves_the_field_out_of_the_run(connected: Supabase, erp: Odoo) -> None:
    """XML-RPC cannot carry a null within JSON."""
    connected.create_mirror(EVERYTHING, target="ipai.whole")
    connected.sync("whole")
    before = versions(connected, "ipai.whole")
    had = erp.pg.psql(f"select id, x_json from {EVERYTHING} where x_json is not null order by id limit 1", dbname=erp.dbname)
    number, value = had.split("|", 1)
    erp.pg.psql(f"""update {EVERYTHING} set x_json = '{{"a": null}}' where id = {number}""", dbname=erp.dbname)
    try:
        run = connected.sync("whole", "full")
        assert (run["updated"], run["deleted"]) == (0, 0)
        # The column keeps its values.
        assert versions(connected, "ipai.whole") == before
        fields = sorted(stored_fields(erp, EVERYTHING) - {"x_json"})
        connected.create_mirror(EVERYTHING, target="ipai.without", fields=fields)
        connected.sync("without")
        assert_mirrors(connected, erp, "without")
    finally:
        erp.pg.psql(f"update {EVERYTHING} set x_json = '{value}' where id = {number}", dbname=erp.dbname)
    connected.sync("whole", "full")
    assert_mirrors(connected, erp, "whole")


# Models without write_date ------------------------------------------------------------------------


def add_field(odoo: Odoo, model: str, name: str, kind: str = "char", **values: Any) -> int:
    described = {"name": name, "ttype": kind, "field_description": f"Label of {name}", **values}
    return int(odoo.rpc("ir.model.fields", "create", {"model_id": one(odoo, "ir.model", ("model", "=", model)), **described}))


@pytest.mark.extension_only("changes Odoo irreversibly, and the other tests of the file run in both hosts")
@ONLY_PLAIN
def test_full_run_detects_changed_records_without_write_date(connected: Supabase, erp: Odoo) -> None:
    """Records of Odoo's own modules have no write_date; records of users have one."""
    name = create_full_mirror(connected, erp, "ir.model.fields")
    connected.sync(name)
    assert_mirrors(connected, erp, name, at_least=1_500)
    assert connected.row(f"select count(*) filter (where write_date is null) > 1000 as most from ipai.{name}")["most"]
    made = add_field(erp, METRIC, "x_made")
    # The newest record changes, so the run also reconciles ids.
    add_field(erp, METRIC, "x_newest")
    erp.pg.psql(
        "update ir_model_fields set help = '{\"en_US\": \"By SQL\"}' where model = 'res.partner' and name = 'vat'", dbname=erp.dbname
    )
    run = connected.sync(name)
    assert (run["mode"], run["inserted"]) == ("incremental", 2)
    assert {(difference.field, difference.mirror is None) for difference in compare(connected, erp, name).differences} == {("help", False)}
    run = connected.sync(name, "full")
    assert (run["mode"], run["updated"]) == ("full", 1)
    assert_mirrors(connected, erp, name)
    erp.rpc("ir.model.fields", "unlink", [made])
    run = connected.sync(name)
    assert (run["mode"], run["deleted"]) == ("incremental", 1)
    assert_mirrors(connected, erp, name)


@pytest.mark.extension_only("changes Odoo irreversibly, and the other tests of the file run in both hosts")
@ONLY_PLAIN
def test_records_that_all_lack_write_date_are_read_once(connected: Supabase, erp: Odoo) -> None:
    connected.create_mirror("ir.model", domain=[["state", "=", "base"]])
    for mode in ("full", "incremental"):
        run = connected.sync("ir_model")
        assert (run["mode"], run["updated"]) == (mode, 0)
        assert_mirrors(connected, erp, "ir_model", where="r.state = 'base'", at_least=100)
    erp.pg.psql("update ir_model set info = 'By SQL' where model = 'res.partner'", dbname=erp.dbname)
    assert connected.sync("ir_model", "full")["updated"] == 1
    assert_mirrors(connected, erp, "ir_model", where="r.state = 'base'")


@pytest.mark.parametrize("model", ["res.users.apikeys", "ir.profile", "res.device"])
def test_model_without_history_of_its_own_can_be_mirrored(connected: Supabase, model: str) -> None:
    """`res.device` is a view that has the history of the records behind it."""
    connected.create_mirror(model)
    connected.sync(model.replace(".", "_"))


def test_model_without_write_date_compares_ids_between_full_runs(connected: Supabase, erp: Odoo) -> None:
    model, name = "ir.module.module.dependency", "ir_module_module_dependency"
    connected.create_mirror(model)
    assert connected.row("select has_write_date from ipai.mirror_state where mirror = %s", name) == {"has_write_date": False}
    assert connected.sync(name)["mode"] == "full"
    assert_mirrors(connected, erp, name, at_least=1_000)
    before = versions(connected, f"ipai.{name}")
    run = connected.sync(name)
    # With the addon, Odoo reports what has changed.
    has_token = connected.row("select token is not null as there from ipai.mirror_state where mirror = %s", name)["there"]
    mode = "incremental" if has_token else "reconcile"
    assert (run["mode"], run["fetched"], run["updated"]) == (mode, 0, 0)
    assert versions(connected, f"ipai.{name}") == before
    erp.pg.psql(
        f"""delete from {name} where id in (select id from {name} order by id limit 7);
            insert into {name} (name, module_id) select 'new', min(id) from ir_module_module""",
        dbname=erp.dbname,
    )
    run = connected.sync(name)
    assert (run["mode"], run["inserted"], run["deleted"]) == (mode, 1, 7)
    assert_mirrors(connected, erp, name)
    erp.pg.psql(f"update {name} set name = name || ' by SQL' where id % 100 = 0", dbname=erp.dbname)
    assert connected.sync(name, "full")["updated"] > 0
    assert_mirrors(connected, erp, name)


# Several Odoo databases in one table --------------------------------------------------------------


@pytest.fixture
def tenants(connected: Supabase, other: Odoo) -> Supabase:
    """Mirrors of two Odoo databases in one table, each equal to its database."""
    connected.server(other.url, name="other", dbname=other.dbname)
    connected.create_mirror("res.partner", target="public.partners", server="odoo", name="acme", constants={"tenant": "acme"}, overlap="0")
    connected.create_mirror(
        "res.partner", target="public.partners", server="other", name="globex", constants={"tenant": "globex"}, overlap="0"
    )
    connected.rows("call ipai.run_sync()")
    return connected


def of(tenant: str) -> str:
    return f"tenant = '{tenant}'"


def test_two_odoo_databases_share_one_table(tenants: Supabase, erp: Odoo, other: Odoo) -> None:
    acme, globex = assert_mirrors(tenants, erp, "acme"), assert_mirrors(tenants, other, "globex", at_least=150)
    assert acme.rows != globex.rows
    counts = tenants.row("select count(*), count(distinct tenant) as tenants, count(distinct odoo_id) as ids from public.partners")
    assert (counts["count"], counts["tenants"]) == (acme.rows + globex.rows, 2)
    # Most ids exist in each of the databases.
    assert counts["ids"] < counts["count"] - 100
    deltas = tenants.rows("select mirror, odoo_total, mirror_total, delta, verdict from ipai.sync_count_delta order by mirror")
    assert deltas == [
        {"mirror": "acme", "odoo_total": acme.rows, "mirror_total": acme.rows, "delta": 0, "verdict": "ok"},
        {"mirror": "globex", "odoo_total": globex.rows, "mirror_total": globex.rows, "delta": 0, "verdict": "ok"},
    ]
    columns = tenants.rows("select column_name::text as name from information_schema.columns where table_name = 'partners'")
    assert [column["name"] for column in columns].count("tenant") == 1
    key = tenants.row(
        "select pg_get_indexdef(indexrelid) as key from pg_index where indrelid = 'public.partners'::regclass and indisunique"
    )
    assert key["key"].endswith("(tenant, odoo_id)")


@pytest.mark.parametrize("mode", ["full", "reconcile", "incremental"])
def test_run_of_one_database_keeps_rows_of_the_other(tenants: Supabase, erp: Odoo, other: Odoo, mode: str) -> None:
    before = versions(tenants, "public.partners", of("globex"))
    cursor = tenants.row("select cursor, fingerprint, filled_as, drift from ipai.mirror_state where mirror = 'globex'")
    runs = tenants.rows("select r::text from ipai.run_log r where mirror = 'globex'")
    # These ids also exist in the other database.
    shared = other.rpc("res.partner", "search", [("name", "like", "Other")], order="id", limit=40)
    edited = erp.rpc("res.partner", "search", [("id", "in", shared), ("user_ids", "=", False), ("name", "not like", "parent")], limit=4)
    deleted = erp.rpc("res.partner", "create", [{"name": "Short lived"} for _ in range(3)])
    # After the deletion of the newest record a run reads every record, so the edits get a newer
    # write_date.
    time.sleep(1.1)
    erp.rpc("res.partner", "write", edited[:2], {"street": f"Street of a {mode} run"})
    tenants.sync("acme")
    erp.rpc("res.partner", "unlink", deleted)
    run = tenants.sync("acme", mode)
    assert (run["mode"], run["deleted"], run["odoo_count"]) == (mode, 3, run["mirror_count"])
    assert_mirrors(tenants, erp, "acme")
    assert_mirrors(tenants, other, "globex")
    assert versions(tenants, "public.partners", of("globex")) == before
    assert tenants.row("select cursor, fingerprint, filled_as, drift from ipai.mirror_state where mirror = 'globex'") == cursor
    assert tenants.rows("select r::text from ipai.run_log r where mirror = 'globex'") == runs


def test_deletion_limit_counts_only_rows_of_the_mirror(tenants: Supabase, erp: Odoo, other: Odoo) -> None:
    made = other.rpc("res.partner", "create", [{"name": f"Many {i}"} for i in range(130)])
    tenants.sync("globex")
    other.rpc("res.partner", "unlink", made)
    # This is more than 100 rows and more than the limit for this mirror, but not for the whole
    # table.
    tenants.rows("select ipai.alter_mirror('globex', max_delete_ratio => 0.4)")
    rows = tenants.row("select count(*) filter (where tenant = 'globex') as theirs, count(*) from public.partners")
    assert 0.4 * rows["theirs"] < 130 < 0.4 * rows["count"]
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
        tenants.sync("globex")
    assert tenants.last_run("globex")["state"] == "refused"
    tenants.rows("call ipai.run_sync('globex', max_delete_ratio => 1)")
    assert tenants.last_run("globex")["deleted"] == 130
    assert_mirrors(tenants, other, "globex")
    assert_mirrors(tenants, erp, "acme")


def test_unreachable_database_does_not_stop_the_other_mirror(tenants: Supabase, erp: Odoo, other: Odoo) -> None:
    before = versions(tenants, "public.partners", of("acme"))
    tenants.set_url("http://127.0.0.1:9")
    other.rpc("res.partner", "create", {"name": "Meanwhile"})
    with pytest.raises(psycopg.Error, match="acme"):
        tenants.rows("call ipai.run_sync()")
    assert (tenants.last_run("acme")["state"], tenants.last_run("globex")["state"]) == ("failed", "succeeded")
    assert tenants.last_run("globex")["inserted"] == 1
    assert versions(tenants, "public.partners", of("acme")) == before
    assert_mirrors(tenants, other, "globex")


def test_rows_of_other_constants_are_never_written(tenants: Supabase, erp: Odoo, other: Odoo) -> None:
    tenants.rows("insert into public.partners (tenant, odoo_id, name) select 'initech', n, 'Theirs' from generate_series(1, 400) n")
    before = versions(tenants, "public.partners", of("initech"))
    for mirror in ("acme", "globex"):
        assert tenants.sync(mirror, "full")["deleted"] == 0
    assert versions(tenants, "public.partners", of("initech")) == before
    assert_mirrors(tenants, erp, "acme")
    assert_mirrors(tenants, other, "globex")


@pytest.mark.extension_only("calls refresh_counts, which the program has no command for")
def test_counts_cover_only_rows_of_the_mirror(tenants: Supabase, erp: Odoo, other: Odoo) -> None:
    tenants.rows("delete from public.partners where tenant = 'globex' and odoo_id % 10 = 0")
    tenants.rows("select ipai.refresh_counts()")
    deltas = {row["mirror"]: row for row in tenants.rows("select * from ipai.sync_count_delta")}
    assert (deltas["acme"]["delta"], deltas["acme"]["verdict"]) == (0, "ok")
    assert deltas["globex"]["delta"] > 10 and deltas["globex"]["verdict"] == "drift"
    # The incremental run detects the missing rows by the counts.
    assert tenants.sync("globex")["inserted"] == deltas["globex"]["delta"]
    assert_mirrors(tenants, other, "globex")


def test_field_of_only_one_database_is_null_for_the_other(tenants: Supabase, erp: Odoo, other: Odoo) -> None:
    made = add_field(erp, "res.partner", "x_tier", "integer")
    try:
        erp.pg.psql("update res_partner set x_tier = id * 7", dbname=erp.dbname)
        tenants.rows("select * from ipai.refresh_mirror('acme', '{x_tier}')")
        assert tenants.sync("acme")["mode"] == "full"
        with pytest.raises(psycopg.errors.UndefinedColumn):
            tenants.rows("select * from ipai.refresh_mirror('globex', '{x_tier}')")
        assert tenants.sync("globex")["mode"] == "incremental"
        assert tenants.sync("globex", "full")["updated"] == 0
        assert "x_tier" in assert_mirrors(tenants, erp, "acme").fields
        assert "x_tier" not in assert_mirrors(tenants, other, "globex").fields
        assert tenants.row("select count(x_tier) from public.partners where tenant = 'globex'") == {"count": 0}
        # A third mirror has the first mirror's columns, and reads only the fields that it names.
        tenants.server(other.url, name="third", dbname=other.dbname)
        options = {"target": "public.partners", "server": "third", "name": "initech", "constants": {"tenant": "initech"}}
        with pytest.raises(psycopg.errors.UndefinedColumn, match="x_tier"):
            tenants.create_mirror("res.partner", **options)
        tenants.create_mirror("res.partner", fields=["name", "email"], **options)
        tenants.sync("initech")
        assert assert_mirrors(tenants, other, "initech").fields == ("active", "email", "name")
    finally:
        erp.rpc("ir.model.fields", "unlink", [made])


def test_dropped_mirror_keeps_its_rows_in_a_shared_table(tenants: Supabase, erp: Odoo) -> None:
    with pytest.raises(psycopg.errors.ObjectInUse):
        tenants.rows("select ipai.drop_mirror('globex', drop_table => true)")
    tenants.rows("select ipai.drop_mirror('globex')")
    before = versions(tenants, "public.partners", of("globex"))
    assert len(before) > 150
    assert tenants.sync("acme", "full")["deleted"] == 0
    assert versions(tenants, "public.partners", of("globex")) == before
    tenants.rows("select ipai.drop_mirror('acme', drop_table => true)")
    assert tenants.row("select to_regclass('public.partners')") == {"to_regclass": None}


def test_constants_of_any_type_separate_the_rows(connected: Supabase, erp: Odoo) -> None:
    for number in (1, 2):
        constants = {"tenant": number, "is_test": number == 2, "Region": "é 'quoted'"}
        connected.create_mirror(
            "res.country", fields=["name", "code"], target="public.countries", name=f"countries {number}", constants=constants
        )
        connected.sync(f"countries {number}")
    for number in (1, 2):
        connected.sync(f"countries {number}", "full")
        assert_mirrors(connected, erp, f"countries {number}", at_least=250)
    rows = connected.rows('select tenant, is_test, "Region", count(*) > 250 as all from public.countries group by 1, 2, 3 order by 1')
    region = "é 'quoted'"
    assert [tuple(row.values()) for row in rows] == [(1, False, region, True), (2, True, region, True)]
