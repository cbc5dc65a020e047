"""Simulates an Odoo whose addon tells what has changed."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable, Iterable
from typing import Any

from support.definitions import ScriptedOdoo
from support.faulty import Record, Request, encode_export, result

#: What the addon answers for a mirror that reads these fields.
Answer = Callable[[list[str]], dict[str, Any]]


class ChangingOdoo(ScriptedOdoo):
    """An Odoo with an addon that can tell what has changed."""

    def __init__(self, records: Iterable[Record]) -> None:
        super().__init__(records)
        self.addon = True
        #: The answer for mirrors with a token, or the text of a whole answer.
        self.reply: Answer | bytes = lambda fields: {"state": "same", "token": "first"}
        #: How often it was asked with the right password.
        self.polls = 0

    def _of_addon(self, request: Request) -> bytes:
        match request.method:
            case "info":
                return result({"protocol": 1, "version": "1.0.0", "uuid": self.uuid, "changes": 1})
            case "has_table":
                return result(True)
            case "changes":
                self.polls += 1
                return result(base64.b64encode(zlib.compress(self._changes(request))).decode())
        return super()._of_addon(request)

    def _changes(self, request: Request) -> bytes:
        reply = self.reply
        if isinstance(reply, bytes):
            return reply
        asked = json.loads(zlib.decompress(base64.b64decode(request.args[0])))
        answers = [reply(fields) if token else {"state": "unknown", "token": "first"} for _, _, fields, _, token in asked]
        return json.dumps({"uuid": self.uuid, "mirrors": answers}).encode()

    def changed(self, ids: list[int], fields: list[str], token: str = "next") -> dict[str, Any]:
        """Returns the answer to changes of these records, as the addon gives it."""
        known = [record["id"] for record in self.records]
        shown = [record for record in self.records if record["id"] in ids]
        return {
            "state": "changed",
            "token": token,
            "ids": ids,
            "page": encode_export(shown, ["id", *fields], self.uuid),
            "digest": [len(known), str(sum(known)), str(sum(number**2 for number in known))],
        }
