# Copyright 2026 ipai_sync contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).

"""Tells many mirrors at once which records have changed."""

import base64
import json
import logging
import time
import zlib

import psycopg2
from odoo import api, models
from odoo.exceptions import UserError
from odoo.tools import ormcache

from ..capture.mirror import Mirror
from ..capture.scan import Later, Scanner, limit_waiting
from ..capture.sources import access_needs, domain_needs, field_needs
from ..capture.tokens import Moment, Token, ages
from .ipai_sync import REWRITTEN_TABLES

_logger = logging.getLogger(__name__)

# The pages of an answer have together at most this many characters, or one page more.
PAGE_BUDGET = 4 << 20
# Binary fields are large: a page with some of them has at most this many records.
MAX_BINARY_IDS = 100
# A request that decompresses to more is refused.
MAX_REQUEST = 64 << 20

# All ids.
BOUNDS = [-(2**62), 2**62]


class IpaiSync(models.AbstractModel):
    _inherit = "ipai.sync"

    # Not read-only: Odoo would send the request to a replica, which lags behind.
    @api.model
    def changes(self, mirrors, budget=0):
        """Return, for each mirror, whether and which of its records have changed since its token.

        ``mirrors`` is base64 of zlib of a JSON list of ``[model, domain, fields, context, token]``.
        ``budget`` limits the time of the search for changes, in milliseconds; 0 does not.
        ``docs/reference/bulk-export-format.md`` of the project describes request and answer.
        """
        requests = self._decode_changes_request(mirrors, budget)
        deadline = time.monotonic() + budget / 1000 if budget else float("inf")
        limit_waiting(self.env)
        moment = Moment.now(self.env)
        if moment.snapshot is None:
            answers = [{"state": "unsupported", "reason": self.env._("This database server is a standby.")} for _ in requests]
        else:
            answers = self._changes(requests, moment, deadline)
        answer = json.dumps({"uuid": self._uuid(), "mirrors": answers}, separators=(",", ":"))
        return base64.b64encode(zlib.compress(answer.encode(), 1)).decode("ascii")

    def _decode_changes_request(self, mirrors, budget):
        try:
            decompressor = zlib.decompressobj()
            text = decompressor.decompress(base64.b64decode(mirrors, validate=True), MAX_REQUEST)
            if not decompressor.eof:
                raise ValueError
            requests = json.loads(text)
        except (ValueError, TypeError, RecursionError, zlib.error) as error:
            raise UserError(self.env._("The mirrors must be base64 of zlib of JSON.")) from error
        if not isinstance(requests, list) or not all(map(_is_request, requests)):
            raise UserError(self.env._("The mirrors must be a list of [model, domain, fields, context, token]."))
        if type(budget) not in (int, float) or not 0 <= budget < float("inf"):
            raise UserError(self.env._("The budget must be a number of milliseconds."))
        return requests

    def _changes(self, requests, moment, deadline):
        answers = [None] * len(requests)
        mirrors = {}
        for place, request in enumerate(requests):
            try:
                mirror = self._mirror(*request)
                if mirror.token and not mirror.token.is_comparable(moment, mirror.definition):
                    mirror.token = None
                if mirror.token and mirror.token.snapshot == moment.snapshot:
                    answers[place] = {"state": "same", "token": request[4]}
                    continue
                mirror.needs = self._needs(mirror)
                mirrors[place] = mirror
                answers[place] = {"state": "later"}
            except psycopg2.Error:
                raise
            except Exception as error:
                answers[place] = _error(error)
        if mirrors:
            self._examine(mirrors, answers, moment, deadline)
        return answers

    def _mirror(self, model, domain, names, context, token):
        records = self._records(model).with_env(self.env(context=context))
        definition = zlib.crc32(repr([self.env.uid, model, domain, names, sorted(context.items())]).encode(errors="replace"))
        return Mirror(records, domain, names or list(records.fields_get(attributes=())), token and Token.parse(token), definition)

    def _needs(self, mirror):
        records = mirror.records
        needs = [*self._field_needs(records._name, tuple(mirror.names)), *domain_needs(records, mirror.domain)]
        if "ir.rule" in records.env and not records.env.su:
            needs += domain_needs(records, records.env["ir.rule"]._compute_domain(records._name, "read"))
        return tuple(dict.fromkeys(needs))

    @ormcache("model", "names")
    def _field_needs(self, model, names):
        records = self.env[model]
        needs = field_needs(records, names)
        return tuple(dict.fromkeys([*needs, *access_needs(self.env)]))

    def _examine(self, mirrors, answers, moment, deadline):
        """Fill in the answers of mirrors whose tables may have changed, by place."""
        tables = {need.source.table for mirror in mirrors.values() for need in mirror.needs}
        scanner = Scanner(self.env, tables, deadline)
        for place, mirror in list(mirrors.items()):
            if getattr(mirror.records, "_table_query", None) or mirror.records._table not in scanner.tables:
                reason = self.env._("%s has no table of its own.", mirror.records._name)
                answers[place] = {"state": "unsupported", "reason": reason}
                del mirrors[place]
            else:
                mirror.prepare(scanner)
        self._set_ages(mirrors.values(), moment)

        compared = []
        for place in self._scan(mirrors, scanner, moment, deadline):
            try:
                mirrors[place].compare(scanner)
                compared.append(place)
            except Later:
                continue
            except Exception as error:
                answers[place] = _error(error)
        rewritten = scanner.rewritten()
        changed, page_budget = [], PAGE_BUDGET
        for place in compared:
            mirror = mirrors[place]
            if mirror.tables & rewritten:
                continue
            if mirror.state == "changed":
                if changed and time.monotonic() > deadline:
                    continue
                changed.append(place)
            answers[place] = self._answer(mirror, page_budget)
            if answers[place]["state"] in ("same", "changed", "many", "unknown"):
                answers[place]["token"] = mirror.new_token(moment)
            page_budget -= len(answers[place].get("page") or "")
        if changed:
            self.env.cr.execute(REWRITTEN_TABLES)
            if self.env.cr.fetchall():
                # Which mirrors have read these tables is not known.
                for place in changed:
                    answers[place] = {"state": "later"}

    def _set_ages(self, mirrors, moment):
        known = [mirror for mirror in mirrors if mirror.token]
        by_bound = ages(self.env, {mirror.token.bound(moment) for mirror in known})
        for mirror in known:
            mirror.age = by_bound[mirror.token.bound(moment)]

    def _scan(self, mirrors, scanner, moment, deadline):
        """Scan the tables of as many mirrors as the time allows, and return their places."""
        places = []
        for place in sorted(mirrors, key=lambda place: mirrors[place].urgency(moment)):
            if places and time.monotonic() > deadline:
                break
            for need in mirrors[place].needs:
                scanner.add(need.source, mirrors[place].age)
            places.append(place)
        scanner.flush()
        return places

    def _answer(self, mirror, page_budget):
        """Return the answer for a mirror that was compared, without its token."""
        if mirror.state in ("same", "many"):
            return {"state": mirror.state}
        try:
            # A failure must not affect the other mirrors.
            with self.env.cr.savepoint(flush=False):
                mirror.records.check_access("read")
                fields = mirror.records.fields_get(mirror.names, ["type"])
                if unknown := [name for name in mirror.names if name not in fields]:
                    raise UserError(self.env._("Unknown or unreadable fields: %s", ", ".join(unknown)))
                if mirror.state == "unknown":
                    return {"state": "unknown"}
                return self._changed(mirror, fields, page_budget)
        except (psycopg2.errors.LockNotAvailable, psycopg2.errors.QueryCanceled):
            return {"state": "later"}
        except Exception as error:
            return _error(error)

    def _changed(self, mirror, fields, page_budget):
        sync, model = mirror.records.env["ipai.sync"], mirror.records._name
        ids, page = sorted(mirror.ids | mirror.inexact), None
        has_binary = any(field["type"] == "binary" for field in fields.values())
        if ids and page_budget > 0 and not (has_binary and len(ids) > MAX_BINARY_IDS):
            page = sync._export(model, [*mirror.domain, ("id", "in", ids)], mirror.names)
            page = page if len(page) <= PAGE_BUDGET else None
        if page is None:
            # The client reads these ids later. The others are tried again if other mirrors had the
            # budget; a page that is too large would be too large again.
            ids = sorted(mirror.ids)
            mirror.is_exact = not ids and (page_budget > 0 or not mirror.inexact)
        [digest] = sync._digest(model, mirror.domain, BOUNDS)
        return {"state": "changed", "ids": ids, "page": page, "digest": digest}


def _error(error):
    if not isinstance(error, UserError):
        _logger.info("a mirror cannot be read", exc_info=error)
    return {"state": "error", "message": str(error) or type(error).__name__}


def _is_request(request):
    if not isinstance(request, list) or len(request) != 5:
        return False
    model, domain, names, context, token = request
    return (
        isinstance(model, str)
        and isinstance(domain, list)
        and isinstance(names, list)
        and all(isinstance(name, str) for name in names)
        and isinstance(context, dict)
        and (token is None or isinstance(token, str))
    )
