import math
import random
import re
from datetime import date, datetime, timezone

from odoo import api, fields, models
from odoo.exceptions import UserError, ValidationError
from odoo.tools.sql import create_index

# A percent outside of these bounds is an alert; the bounds themselves are not.
ALERT_BELOW = 10.0
ALERT_ABOVE = 95.0

# One answer is built in the server's memory, about 10 kB a row: larger reads are paged.
MAX_LIMIT = 50_000
# Odoo's ids are 32-bit columns, and XML-RPC carries no larger integer either.
MAX_ID = 2**31 - 1

CODE = re.compile(r"[A-Z0-9_]+")
DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
# A date, or a date and time with an optional fraction (which is dropped) and an optional zone.
MOMENT = re.compile(
    r"(?P<day>\d{4}-\d{2}-\d{2})"
    r"(?:[T ](?P<time>\d{2}:\d{2}(?::\d{2})?)(?:\.\d+)?"
    r"\s?(?P<zone>[Zz]|[+-]\d{2}:?\d{2})?)?",
    re.ASCII,
)

# The keys of the two read methods: the data contract with the callers. Never reorder or rename.
METRIC_FIELDS = ["id", "name", "code", "date", "brand_id", "store_id", "value", "unit", "is_alert"]
EXPORT_FIELDS = [*METRIC_FIELDS, "notes", "active"]

PAYLOAD_REQUIRED = ("name", "code", "unit")
PAYLOAD_KEYS = (*PAYLOAD_REQUIRED, "date", "brand_id", "store_id", "value", "notes", "active")

# What the scheduled action seeds each day: name, code, unit, lowest and highest value.
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
    # The id makes the order total: metrics of one day never change places between two pages.
    _order = "date desc, id desc"
    _rec_names_search = ["name", "code"]

    name = fields.Char(required=True)
    code = fields.Char(
        required=True,
        index=True,
        help="Short name of what is measured: capitals, digits and underscores, such as STORE_SALES.",
    )
    date = fields.Date(
        index=True,
        # Today where the user is (context or preferences), not where the server is.
        default=fields.Date.context_today,
        help="Day the metric is about, in the time zone of the user who recorded it.",
    )
    # Deleting a partner unsets the metric's field and keeps the metric.
    brand_id = fields.Many2one("res.partner", ondelete="set null", index="btree_not_null")
    store_id = fields.Many2one("res.partner", ondelete="set null", index="btree_not_null")
    # The mean of mixed units means little, but their sum means nothing at all.
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
        help="A percent below 10 or above 95. Counts and amounts never are.",
    )

    def init(self):
        super().init()
        # Whoever mirrors the metrics asks for what was written last, every few minutes.
        create_index(self.env.cr, "ipai_sample_metric__write_date_index", self._table, ["write_date"])

    @api.depends("value", "unit")
    def _compute_is_alert(self):
        for metric in self:
            metric.is_alert = metric.unit == "percent" and not (
                # Written so that a NaN, which only SQL can put there, is no alert.
                math.isnan(metric.value) or ALERT_BELOW <= metric.value <= ALERT_ABOVE
            )

    # -- validation ---------------------------------------------------------------------------

    @api.constrains("name")
    def _check_name(self):
        for metric in self:
            if not (metric.name or "").strip():
                raise ValidationError(self.env._("A metric needs a name."))

    @api.constrains("code")
    def _check_code(self):
        for metric in self:
            if not CODE.fullmatch(metric.code or ""):
                raise ValidationError(
                    self.env._(
                        "The code %(code)s cannot be used: a code consists of capital letters A to Z, "
                        "digits and underscores, such as STORE_SALES.",
                        code=repr(metric.code or ""),
                    )
                )

    @api.constrains("value")
    def _check_value(self):
        for metric in self:
            if not math.isfinite(metric.value):
                raise ValidationError(self.env._("The value of the metric %(name)s must be a finite number.", name=metric.name))

    # -- the methods that other systems call, over XML-RPC and JSON-RPC ------------------------
    #
    # What they return holds no None, which XML-RPC cannot carry: unset is False, and dates are
    # text. They run as the caller, with the caller's access rights.

    @api.model
    def create_from_payload(self, payload):
        """Create one metric from a dict of plain values and return its id.

        Required: ``name``, ``code``, ``unit``. Optional: ``date`` ('YYYY-MM-DD'; absent means
        today for the user, False means none), ``brand_id`` and ``store_id`` (ids of partners),
        ``value``, ``notes``, ``active``. Any other key is refused, so that a misspelt one is
        noticed and not silently lost.
        """
        self.check_access("create")
        return self.create(self._values_from_payload(payload)).id

    @api.model
    def get_metrics(self, filters=None, limit=100):
        """Return up to ``limit`` metrics that match the Odoo domain ``filters``, newest date first.

        Archived metrics are left out, as in any Odoo search, unless the domain names ``active``.
        """
        limit = self._whole_number("limit", limit, 100, 1, MAX_LIMIT)
        if filters and not isinstance(filters, (list, tuple)):
            raise UserError(self.env._("filters must be a list of conditions, such as [['unit', '=', 'percent']]."))
        try:
            return self._read_plain(filters or [], METRIC_FIELDS, self._order, limit)
        except (AssertionError, IndexError, TypeError, ValueError) as error:
            # What Odoo raises for an unknown field, operator or a list that is no domain (18: IndexError).
            raise UserError(self.env._("These filters cannot be used: %(error)s", error=error)) from error

    @api.model
    def export_to_supabase_payload(self, limit=1000, since_date=None, after_id=0):
        """Return up to ``limit`` metrics by ascending id, archived ones included.

        ``since_date`` keeps those written at that moment or later: 'YYYY-MM-DD' (midnight UTC),
        'YYYY-MM-DD HH:MM:SS' (UTC) or ISO 8601 with 'T' and 'Z' or an offset.

        To read everything, call again with ``after_id`` = the last row's ``odoo_id`` until the
        answer is empty. Pages go by id and not by time: a metric that changes meanwhile can
        neither be returned twice nor push another one out of a page. Deleted metrics leave no
        trace here; compare ids or counts (``get_sync_stats``) to notice them.
        """
        limit = self._whole_number("limit", limit, 1000, 1, MAX_LIMIT)
        after_id = self._whole_number("after_id", after_id, 0, 0, MAX_ID)
        domain = [("id", ">", after_id)]
        if since := self._utc_moment("since_date", since_date):
            # Never ">": Odoo stores microseconds, and versions differ in how they compare them.
            domain.append(("write_date", ">=", since))
        rows = self.with_context(active_test=False)._read_plain(domain, EXPORT_FIELDS, "id", limit)
        return [{"odoo_id": row.pop("id"), **row} for row in rows]

    @api.model
    def get_sync_stats(self):
        """Return counts over all metrics that the caller may read, archived ones included."""
        stats = {"total": 0, "active": 0, "archived": 0, "alerts": 0}
        groups = self.with_context(active_test=False)._read_group([], ["active", "is_alert"], ["__count"])
        for active, is_alert, count in groups:
            stats["total"] += count
            stats["active" if active else "archived"] += count
            if is_alert:
                stats["alerts"] += count
        return stats

    # -- the scheduled action -----------------------------------------------------------------

    @api.model
    def _cron_seed_sample_metrics(self):
        """Create today's sample metrics; those that the day already has are left alone."""
        today = fields.Date.context_today(self)
        present = set(self.with_context(active_test=False).search([("date", "=", today)]).mapped("code"))
        # The same day gives the same values, on any server.
        dice = random.Random(today.toordinal())
        values = [
            {
                "name": name,
                "code": code,
                "date": today,
                "unit": unit,
                "value": float(dice.randint(low, high)),
                "notes": "Seeded by the scheduled action.",
            }
            for name, code, unit, low, high in SEEDS
        ]
        return self.create([row for row in values if row["code"] not in present])

    # -- reading ------------------------------------------------------------------------------

    def _read_plain(self, domain, field_names, order, limit):
        """``search_read`` in values that XML-RPC and JSON carry alike, keys in the given order."""
        # load='' gives a many2one as a bare id and spares the server to look its name up.
        rows = self.search_read(domain, field_names, order=order, limit=limit, load="")
        for row in rows:
            # isoformat and not str: XML-RPC would write the year 1 without its zeros.
            row["date"] = row["date"].isoformat() if row["date"] else False
        return [{name: row[name] for name in field_names} for row in rows]

    # -- checking what callers send -------------------------------------------------------------

    def _whole_number(self, name, number, default, low, high):
        # None and False are how JSON and XML-RPC clients say "not given".
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

    def _utc_moment(self, name, moment):
        """A naive datetime in UTC, as Odoo stores them, in whole seconds; None where not given."""
        if moment is None or moment is False:
            return None
        # Callers inside Odoo may have a date or datetime already.
        text = moment.isoformat() if isinstance(moment, date) else moment
        parts = MOMENT.fullmatch(text) if isinstance(text, str) else None
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
                    "%(name)s cannot be %(moment)s. Accepted are a date 'YYYY-MM-DD' (midnight UTC), "
                    "'YYYY-MM-DD HH:MM:SS' (UTC), and ISO 8601 such as '2026-01-06T08:00:00Z' or "
                    "'2026-01-06T08:00:00+08:00'.",
                    name=name,
                    moment=repr(moment),
                )
            ) from None

    def _values_from_payload(self, payload):
        """Check ``payload`` and turn it into values for ``create``; all problems in one message."""
        if not isinstance(payload, dict):
            raise UserError(self.env._("The payload must be a dictionary with name, code, unit and so on."))
        problems = []
        if unknown := sorted(str(key) for key in payload if key not in PAYLOAD_KEYS):
            problems.append(
                self.env._(
                    "Unknown keys: %(unknown)s. Accepted are %(known)s.",
                    unknown=", ".join(unknown),
                    known=", ".join(PAYLOAD_KEYS),
                )
            )
        # None (JSON) and False (XML-RPC) say that a value is unset.
        unset = [key for key in PAYLOAD_KEYS if payload.get(key) is None or payload.get(key) is False]
        if missing := [key for key in PAYLOAD_REQUIRED if key in unset or payload[key] == ""]:
            problems.append(self.env._("Missing: %(missing)s.", missing=", ".join(missing)))

        values = {}
        for key in PAYLOAD_KEYS:
            if key not in payload or key in missing:
                continue
            if key in unset:
                # Only `active` can be False and mean it; None leaves it at its default.
                if key != "active" or payload[key] is False:
                    values[key] = False
                continue
            try:
                values[key] = self._payload_value(key, payload[key])
            except (ValueError, OverflowError):
                problems.append(
                    self.env._(
                        "%(key)s must be %(expected)s, not %(given)s.",
                        key=key,
                        expected=self._payload_expectation(key),
                        given=repr(payload[key]),
                    )
                )
        if problems:
            raise UserError("\n".join(problems))
        return values

    def _payload_value(self, key, given):
        """``given`` as the field's type, or ValueError. Checked here, because Odoo itself answers
        a wrong type with a traceback."""
        if key == "value":
            if type(given) not in (int, float):
                raise ValueError(given)
            return float(given)
        if key == "active":
            # False is dealt with already, as every False.
            if given is not True:
                raise ValueError(given)
            return given
        if key in ("brand_id", "store_id"):
            if type(given) is not int or not 0 < given <= MAX_ID:
                raise ValueError(given)
            if not self.env["res.partner"].browse(given).exists():
                raise ValueError(given)
            return given
        # The others are text. Postgres stores neither a NUL nor half of a surrogate pair.
        if not isinstance(given, str) or "\0" in given:
            raise ValueError(given)
        given.encode()
        if key == "unit" and given not in dict(self._fields["unit"].selection):
            raise ValueError(given)
        if key == "date":
            if not DATE.fullmatch(given):
                raise ValueError(given)
            return date.fromisoformat(given)
        return given

    def _payload_expectation(self, key):
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
