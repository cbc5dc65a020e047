# Copyright 2026 ipai_sync contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).

"""Defines the sample metrics and the RPC methods with which other systems read and write them."""

import math
import random
import re
from datetime import date, datetime, timezone

from odoo import api, fields, models
from odoo.exceptions import UserError, ValidationError
from odoo.tools.convert import convert_file
from odoo.tools.sql import create_index

# Percentages outside of these bounds are alerts; the bounds themselves are not.
ALERT_BELOW = 10.0
ALERT_ABOVE = 95.0

# The server builds a response in memory, at about 10 kB a row. Larger reads need several pages.
MAX_LIMIT = 50_000
# Odoo's ids are 32-bit columns, and XML-RPC integers have 32 bits too.
MAX_ID = 2**31 - 1

CODE = re.compile(r"[A-Z0-9_]+")
DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
# A date, or a date and time with an optional fraction (which is removed) and an optional zone.
DATETIME = re.compile(
    r"(?P<day>\d{4}-\d{2}-\d{2})"
    r"(?:[T ](?P<time>\d{2}:\d{2}(?::\d{2})?)(?:\.\d+)?"
    r"\s?(?P<zone>[Zz]|[+-]\d{2}:?\d{2})?)?",
    re.ASCII,
)

# The keys of the two read methods. They are a contract with the callers: never reorder or rename.
METRIC_FIELDS = ["id", "name", "code", "date", "brand_id", "store_id", "value", "unit", "is_alert"]
EXPORT_FIELDS = [*METRIC_FIELDS, "notes", "active"]

PAYLOAD_REQUIRED = ("name", "code", "unit")
PAYLOAD_KEYS = (*PAYLOAD_REQUIRED, "date", "brand_id", "store_id", "value", "notes", "active")

# The metrics that the scheduled action creates each day: name, code, unit, minimum and maximum.
SEEDS = (
    ("Daily sales", "SALES", "amount", 20_000, 250_000),
    ("Transactions", "TRANSACTIONS", "count", 150, 2_500),
    ("Footfall", "FOOTFALL", "count", 400, 6_000),
    ("Shelf availability", "SHELF_AVAILABILITY", "percent", 70, 100),
    ("Conversion rate", "CONVERSION_RATE", "percent", 5, 40),
)


class SampleMetric(models.Model):
    _name = "ipai.sample.metric"
    _description = "IPAI Sample Metric"
    # The id makes the order total, so metrics of one day keep their order between pages.
    _order = "date desc, id desc"
    _rec_names_search = ("name", "code")

    name = fields.Char(required=True)
    code = fields.Char(
        required=True,
        index=True,
        help="Short name of the measured quantity: capital letters, digits and underscores, such as STORE_SALES.",
    )
    date = fields.Date(
        index=True,
        # Today in the time zone of the user (context or preferences), not of the server.
        default=fields.Date.context_today,
        help="The day of the metric, in the time zone of the user who recorded it.",
    )
    # Deleting a partner unsets the field and keeps the metric.
    brand_id = fields.Many2one("res.partner", ondelete="set null", index="btree_not_null")
    store_id = fields.Many2one("res.partner", ondelete="set null", index="btree_not_null")
    # A sum over different units would be meaningless.
    value = fields.Float(default=0.0, aggregator="avg")
    unit = fields.Selection(
        [("percent", "Percent"), ("count", "Count"), ("amount", "Amount")],
        required=True,
    )
    notes = fields.Text()
    active = fields.Boolean(default=True)
    is_alert = fields.Boolean(
        string="Alert",
        compute="_compute_is_alert",
        store=True,
        help="Set for a percentage below 10 or above 95. Never set for counts and amounts.",
    )

    def init(self):
        result = super().init()
        # Mirrors search by write_date every few minutes.
        create_index(self.env.cr, "ipai_sample_metric__write_date_index", self._table, ["write_date"])
        return result

    @api.depends("value", "unit")
    def _compute_is_alert(self):
        for metric in self:
            metric.is_alert = metric.unit == "percent" and not (
                # NaN, which only SQL can store, is not an alert.
                math.isnan(metric.value) or ALERT_BELOW <= metric.value <= ALERT_ABOVE
            )

    # -- validation ---------------------------------------------------------------------------

    @api.constrains("name")
    def _check_name(self):
        for metric in self:
            if not (metric.name or "").strip():
                raise ValidationError(self.env._("The name of a metric must not be empty."))

    @api.constrains("code")
    def _check_code(self):
        for metric in self:
            if not CODE.fullmatch(metric.code or ""):
                raise ValidationError(
                    self.env._(
                        "Invalid code %(code)s. A code consists of capital letters A to Z, digits and underscores, such as STORE_SALES.",
                        code=repr(metric.code or ""),
                    )
                )

    @api.constrains("value")
    def _check_value(self):
        for metric in self:
            if not math.isfinite(metric.value):
                raise ValidationError(self.env._("The value of the metric %(name)s must be a finite number.", name=metric.name))

    # -- RPC methods ----------------------------------------------------------------------------
    #
    # XML-RPC has no None: the methods return False for unset values, and dates as text. They run
    # with the caller's access rights.

    @api.model
    def create_from_payload(self, payload):
        """Create one metric from a dict of plain values and return its id.

        Required: ``name``, ``code``, ``unit``. Optional: ``date`` ('YYYY-MM-DD'; absent means today
        for the user, False means none), ``brand_id`` and ``store_id`` (ids of partners), ``value``,
        ``notes``, ``active``. Any other key raises an error, so that a misspelt key is noticed.
        """
        self.check_access("create")
        return self.create(self._values_from_payload(payload)).id

    @api.model
    def get_metrics(self, filters=None, limit=100):
        """Return up to ``limit`` metrics that match the Odoo domain ``filters``, newest date first.

        As in any Odoo search, archived metrics are excluded unless the domain contains ``active``.
        """
        limit = self._check_integer("limit", limit, 100, 1, MAX_LIMIT)
        if filters and not isinstance(filters, (list, tuple)):
            raise UserError(self.env._("filters must be a list of conditions, such as [['unit', '=', 'percent']]."))
        try:
            return self._read_serializable(filters or [], METRIC_FIELDS, self._order, limit)
        except (AssertionError, IndexError, TypeError, ValueError) as error:
            # Odoo raises these for unknown fields and operators, and for lists that are not domains
            # (IndexError in Odoo 18).
            raise UserError(self.env._("Invalid filters: %(error)s", error=error)) from error

    @api.model
    def export_to_supabase_payload(self, limit=1000, since_date=None, after_id=0):
        """Return up to ``limit`` metrics by ascending id, including archived ones.

        ``since_date`` selects metrics written at that time or later: 'YYYY-MM-DD' (midnight UTC),
        'YYYY-MM-DD HH:MM:SS' (UTC) or ISO 8601 with 'T' and 'Z' or an offset.

        To read all metrics, call again with ``after_id`` = the last row's ``odoo_id`` until the
        result is empty. Keyset pagination by id ensures that a metric that changes meanwhile is not
        returned twice and does not displace another one. The export does not report deleted
        metrics; compare ids or counts (``get_sync_stats``) to detect them.
        """
        limit = self._check_integer("limit", limit, 1000, 1, MAX_LIMIT)
        after_id = self._check_integer("after_id", after_id, 0, 0, MAX_ID)
        domain = [("id", ">", after_id)]
        if since := self._parse_datetime("since_date", since_date):
            # Not ">": Odoo stores microseconds, and its versions compare them differently.
            domain.append(("write_date", ">=", since))
        rows = self.with_context(active_test=False)._read_serializable(domain, EXPORT_FIELDS, "id", limit)
        return [{"odoo_id": row.pop("id"), **row} for row in rows]

    @api.model
    def get_sync_stats(self):
        """Return counts of all metrics that the caller may read, including archived ones."""
        stats = {"total": 0, "active": 0, "archived": 0, "alerts": 0}
        groups = self.with_context(active_test=False)._read_group([], ["active", "is_alert"], ["__count"])
        for active, is_alert, count in groups:
            stats["total"] += count
            stats["active" if active else "archived"] += count
            if is_alert:
                stats["alerts"] += count
        return stats

    # -- installation and update ----------------------------------------------------------------

    @api.model
    def _load_access_rights(self):
        """Load the access rights in the form that this version of Odoo has.

        A data file calls it: a manifest cannot name different files for different versions.
        """
        # The XML ids differ between the two files, because a database may be upgraded.
        file = "20/ir.access.csv" if "ir.access" in self.env else "18/ir.model.access.csv"
        convert_file(self.env, "ipai_sample_metrics", f"security/{file}", None, mode="update")

    # -- scheduled action -----------------------------------------------------------------------

    @api.model
    def _cron_seed_sample_metrics(self):
        """Create today's sample metrics, except for those that exist already."""
        today = fields.Date.context_today(self)
        present = set(self.with_context(active_test=False).search([("date", "=", today)]).mapped("code"))
        # The seed depends on the day only, so all servers generate the same values.
        rng = random.Random(today.toordinal())
        values = [
            {
                "name": name,
                "code": code,
                "date": today,
                "unit": unit,
                "value": float(rng.randint(low, high)),
                "notes": "Seeded by the scheduled action.",
            }
            for name, code, unit, low, high in SEEDS
        ]
        return self.create([row for row in values if row["code"] not in present])

    # -- reading --------------------------------------------------------------------------------

    def _read_serializable(self, domain, field_names, order, limit):
        """Return ``search_read`` with values that XML-RPC and JSON support, and ordered keys."""
        # load='' returns a many2one as its id, without reading its name.
        rows = self.search_read(domain, field_names, order=order, limit=limit, load="")
        for row in rows:
            # isoformat, because str would omit the leading zeros of the year 1.
            row["date"] = row["date"].isoformat() if row["date"] else False
        return [{name: row[name] for name in field_names} for row in rows]

    # -- validation of arguments ----------------------------------------------------------------

    def _check_integer(self, name, number, default, low, high):
        # JSON clients pass None for an absent argument, XML-RPC clients pass False.
        if number is None or number is False:
            return default
        if type(number) is not int or not low <= number <= high:
            raise UserError(
                self.env._(
                    "%(name)s must be a whole number from %(low)s to %(high)s, not %(number)s.",
                    name=name,
                    low=low,
                    high=high,
                    number=repr(number),
                )
            )
        return number

    def _parse_datetime(self, name, value):
        """Parse a time into Odoo's form: naive, in UTC, with whole seconds; None if absent."""
        if value is None or value is False:
            return None
        # Callers inside Odoo may pass a date or datetime.
        text = value.isoformat() if isinstance(value, date) else value
        parts = DATETIME.fullmatch(text) if isinstance(text, str) else None
        try:
            if not parts:
                raise ValueError(text)
            zone = (parts["zone"] or "Z").upper().replace("Z", "+00:00")
            if ":" not in zone:
                zone = f"{zone[:3]}:{zone[3:]}"
            exact = datetime.fromisoformat(f"{parts['day']}T{parts['time'] or '00:00'}{zone}")
            return exact.astimezone(timezone.utc).replace(tzinfo=None)
        except (ValueError, OverflowError):
            raise UserError(
                self.env._(
                    "Invalid %(name)s: %(value)s. Valid values are a date 'YYYY-MM-DD' (midnight UTC), "
                    "'YYYY-MM-DD HH:MM:SS' (UTC), and ISO 8601 such as '2026-01-06T08:00:00Z' or "
                    "'2026-01-06T08:00:00+08:00'.",
                    name=name,
                    value=repr(value),
                )
            ) from None

    def _values_from_payload(self, payload):
        """Convert ``payload`` to values for ``create``; one error lists all problems."""
        if not isinstance(payload, dict):
            raise UserError(self.env._("The payload must be a dictionary with at least the keys name, code and unit."))
        problems = []
        if unknown := sorted(str(key) for key in payload if key not in PAYLOAD_KEYS):
            problems.append(
                self.env._(
                    "Unknown keys: %(unknown)s. Valid keys are %(known)s.",
                    unknown=", ".join(unknown),
                    known=", ".join(PAYLOAD_KEYS),
                )
            )
        # None (JSON) and False (XML-RPC) mean that a value is unset.
        unset = [key for key in PAYLOAD_KEYS if payload.get(key) is None or payload.get(key) is False]
        if missing := [key for key in PAYLOAD_REQUIRED if key in unset or payload[key] == ""]:
            problems.append(self.env._("Missing: %(missing)s.", missing=", ".join(missing)))

        values = {}
        for key in PAYLOAD_KEYS:
            if key not in payload or key in missing:
                continue
            if key in unset:
                # False is a value of `active` only; None keeps its default.
                if key != "active" or payload[key] is False:
                    values[key] = False
                continue
            try:
                values[key] = self._payload_value(key, payload[key])
            except (ValueError, OverflowError):
                problems.append(
                    self.env._(
                        "%(key)s must be %(expected)s, not %(value)s.",
                        key=key,
                        expected=self._expected_type(key),
                        value=repr(payload[key]),
                    )
                )
        if problems:
            raise UserError("\n".join(problems))
        return values

    def _payload_value(self, key, value):
        """Convert ``value`` to the field's type, or raise ValueError.

        Odoo itself responds to a wrong type with a traceback.
        """
        if key == "value":
            if type(value) not in (int, float):
                raise ValueError(value)
            return float(value)
        if key == "active":
            # Every False has been handled as an unset value.
            if value is not True:
                raise ValueError(value)
            return value
        if key in ("brand_id", "store_id"):
            if type(value) is not int or not 0 < value <= MAX_ID:
                raise ValueError(value)
            if not self.env["res.partner"].browse(value).exists():
                raise ValueError(value)
            return value
        # The other fields are text. Postgres cannot store NUL or a lone surrogate.
        if not isinstance(value, str) or "\0" in value:
            raise ValueError(value)
        value.encode()
        if key == "unit" and value not in dict(self._fields["unit"].selection):
            raise ValueError(value)
        if key == "date":
            if not DATE.fullmatch(value):
                raise ValueError(value)
            return date.fromisoformat(value)
        return value

    def _expected_type(self, key):
        if key == "value":
            return self.env._("a number")
        if key == "active":
            return self.env._("true or false")
        if key in ("brand_id", "store_id"):
            return self.env._("the id of an existing partner")
        if key == "unit":
            return self.env._("one of %(units)s", units=", ".join(dict(self._fields["unit"].selection)))
        if key == "date":
            return self.env._("a date 'YYYY-MM-DD'")
        return self.env._("text without NUL characters")
