"""The text that `ipai.sync` answers with.

A line of JSON, which names the columns and the database; a line a record, in the text format of Postgres's COPY; and `\\.` with the number of records, which
shows that the text is whole. All of it is compressed by zlib and then base64, so that XML-RPC and JSON-RPC carry it unchanged.
"""

import base64
import io
import json
import math
import zlib
from datetime import date, datetime

from odoo.fields import Date, Datetime

# What a column holds: i integer, f double, b boolean, s text, j one JSON document. Any type that is not listed is JSON.
WIRE_TYPES = {
    "boolean": "b",
    "integer": "i",
    "many2one": "i",
    "many2one_reference": "i",
    "float": "f",
    "monetary": "f",
    "char": "s",
    "text": "s",
    "html": "s",
    "selection": "s",
    "reference": "s",
    "date": "s",
    "datetime": "s",
    "binary": "s",
}

# As COPY writes them.
ESCAPES = str.maketrans({"\\": r"\\", "\b": r"\b", "\t": r"\t", "\n": r"\n", "\v": r"\v", "\f": r"\f", "\r": r"\r"})
NULL = r"\N"

# XML carries none of these, so Odoo's XML-RPC drops them. Only JSON documents lose them here: in a document they are escapes, which whoever
# reads the lines cannot drop. In other cells they stand as they are.
CONTROL_CHARACTERS = dict.fromkeys(set(range(32)) - {9, 10, 13})


class Page:
    """Lines of records, compressed while they come."""

    def __init__(self, columns, uuid):
        self._packed = _Packed()
        # COPY writes a line at a time: the buffer spares a call of Python for each.
        self._buffer = io.BufferedWriter(self._packed, 1 << 18)
        self.write = self._buffer.write
        self.write(json.dumps({"uuid": uuid, "columns": columns}, separators=(",", ":")).encode() + b"\n")

    def close(self):
        """The whole answer; nothing can be written any more."""
        self._buffer.flush()
        rows = self._packed.lines - 1
        self.write(b"\\. %d\n" % rows)
        self._buffer.flush()
        return base64.b64encode(self._packed.end()).decode("ascii")


class _Packed(io.RawIOBase):
    def __init__(self):
        super().__init__()
        self._zlib = zlib.compressobj(1)
        self._parts = []
        self.lines = 0

    def writable(self):
        return True

    def write(self, data):
        data = bytes(data)
        # Within a cell a newline is an escape.
        self.lines += data.count(b"\n")
        self._parts.append(self._zlib.compress(data))
        return len(data)

    def end(self):
        self._parts.append(self._zlib.flush())
        return b"".join(self._parts)


def cell(wire_type, value):
    """What `read` gives, as the bytes of a cell."""
    return _CELLS[wire_type](value).encode()


def _boolean(value):
    return "t" if value else "f"


def _unset(value):
    # Not `not value`: 0 and '' are values.
    return value is None or value is False


def _integer(value):
    if _unset(value):
        return NULL
    # Odoo makes a float of an integer above 2^31 - 1.
    return str(value) if isinstance(value, float) and not value.is_integer() else str(int(value))


def _double(value):
    if _unset(value):
        return NULL
    value = float(value)
    if math.isfinite(value):
        return repr(value)
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _text(value):
    return NULL if _unset(value) else plain(value).translate(ESCAPES)


def _json(value):
    if _unset(value):
        return NULL
    return json.dumps(_document(value), ensure_ascii=False, separators=(",", ":")).translate(ESCAPES)


_CELLS = {"b": _boolean, "i": _integer, "f": _double, "s": _text, "j": _json}


def plain(value):
    """A value as text, in the form that it has in an answer of XML-RPC."""
    if isinstance(value, datetime):
        return Datetime.to_string(value)
    if isinstance(value, date):
        return Date.to_string(value)
    # A binary field reads as base64, in bytes.
    return value.decode() if isinstance(value, bytes) else str(value)


def _document(value):
    """A value in the types that JSON has."""
    if isinstance(value, dict):
        return {plain(key).translate(CONTROL_CHARACTERS): _document(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_document(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return _double(value)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return plain(value).translate(CONTROL_CHARACTERS)
