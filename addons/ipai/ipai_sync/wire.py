# Copyright 2026 ipai_sync contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).

"""Encodes the pages that ``ipai.sync`` returns.

A page is a line of JSON with the columns and the database, a line for each record in the text
format of Postgres's COPY, and `\\.` with the number of records, which proves that the page is
complete. The text is compressed with zlib and encoded with base64, so that XML-RPC and JSON-RPC
transfer it unchanged.
"""

import base64
import io
import json
import math
import zlib
from datetime import date, datetime

from odoo.fields import Date, Datetime

# Types of cells: i integer, f double, b boolean, s text, j JSON document. Unlisted types are JSON.
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

# The escapes of COPY.
ESCAPES = str.maketrans({"\\": r"\\", "\b": r"\b", "\t": r"\t", "\n": r"\n", "\v": r"\v", "\f": r"\f", "\r": r"\r"})
NULL = r"\N"

# XML does not allow these characters, so Odoo's XML-RPC removes them. They are removed here from
# JSON documents only, where they would be escapes that a reader of the lines cannot remove. Other
# cells keep them.
CONTROL_CHARACTERS = dict.fromkeys(set(range(32)) - {9, 10, 13})


class Page:
    """A page of lines, which is compressed while it is written."""

    def __init__(self, columns, uuid):
        self._lines = _CompressedLines()
        # COPY writes line by line; the buffer avoids a Python call for each line.
        self._buffer = io.BufferedWriter(self._lines, 1 << 18)
        self.write = self._buffer.write
        self.write(json.dumps({"uuid": uuid, "columns": columns}, separators=(",", ":")).encode() + b"\n")

    def close(self):
        """Return the whole page; no more lines can be written."""
        self._buffer.flush()
        rows = self._lines.count - 1
        self.write(b"\\. %d\n" % rows)
        self._buffer.flush()
        return base64.b64encode(self._lines.end()).decode("ascii")


class _CompressedLines(io.RawIOBase):
    def __init__(self):
        super().__init__()
        self._zlib = zlib.compressobj(1)
        self._parts = []
        self.count = 0

    def writable(self):
        return True

    def write(self, data):
        # pylint: disable=method-required-super  # RawIOBase has no implementation.
        data = bytes(data)
        # Newlines within cells are escaped.
        self.count += data.count(b"\n")
        self._parts.append(self._zlib.compress(data))
        return len(data)

    def end(self):
        self._parts.append(self._zlib.flush())
        return b"".join(self._parts)


def binary_content(value):
    """Return the base64 of a value that `read` returns for a binary field.

    Odoo 20 returns a dict with the size and perhaps a file name. Odoo 18 and 19 return the base64.
    Other structures, which a computed binary field may hold, are returned unchanged.
    """
    return value["content"] if isinstance(value, dict) and {"content", "size"} <= value.keys() else value


def encode_cell(wire_type, value):
    """Encode a value of `read` as the bytes of a cell."""
    return _CELL_ENCODERS[wire_type](value).encode()


def _boolean(value):
    return "t" if value else "f"


def _is_unset(value):
    # Not `not value`, because 0 and '' are set.
    return value is None or value is False


def _integer(value):
    if _is_unset(value):
        return NULL
    # Odoo returns integers above 2^31 - 1 as float.
    return str(value) if isinstance(value, float) and not value.is_integer() else str(int(value))


def _double(value):
    if _is_unset(value):
        return NULL
    value = float(value)
    if math.isfinite(value):
        return repr(value)
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _text(value):
    return NULL if _is_unset(value) else to_text(value).translate(ESCAPES)


def _json(value):
    if _is_unset(value):
        return NULL
    return json.dumps(_document(value), ensure_ascii=False, separators=(",", ":")).translate(ESCAPES)


_CELL_ENCODERS = {"b": _boolean, "i": _integer, "f": _double, "s": _text, "j": _json}


def to_text(value):
    """Convert a value to text as in an XML-RPC response."""
    if isinstance(value, datetime):
        return Datetime.to_string(value)
    if isinstance(value, date):
        return Date.to_string(value)
    # A binary field reads as base64 in bytes.
    return value.decode() if isinstance(value, bytes) else str(value)


def _document(value):
    """Convert a value to types that JSON supports."""
    if isinstance(value, dict):
        return {to_text(key).translate(CONTROL_CHARACTERS): _document(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_document(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return _double(value)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return to_text(value).translate(CONTROL_CHARACTERS)
