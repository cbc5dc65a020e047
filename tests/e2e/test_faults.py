"""Tests every kind of invalid response of Odoo in the middle of a full run.

Odoo has changed since the last run. No row may be lost or wrongly deleted, no secret may appear in
errors or logs, and the next run must succeed.
"""

from __future__ import annotations

import base64
import gzip
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from harness.odoo import api_key
from support.faulty import (
    Behaviour,
    Exchange,
    FaultyOdoo,
    Record,
    Request,
    chunked,
    close_connection,
    close_within_headers,
    encode_export,
    fault,
    for_records,
    gzip_bomb,
    metric,
    modified_body,
    modified_value,
    never_respond,
    raw,
    recorded,
    respond_normally,
    result,
    status,
    trickling,
    truncated,
    web_page,
)
from support.reliability import Section
from support.sessions import Connection, idle_resources, wait_for_release
from support.supabase import Supabase

pytestmark = pytest.mark.both_hosts

SECTION = Section("Invalid responses of Odoo")

PASSWORD = "hunter2-Zq9"
#: Marks content that is not Odoo's. Errors and logs must not contain it.
FOREIGN_TEXT = "PAGE-TEXT"
CALL = "call ipai.run_sync('sample_metrics', 'full')"
SYNC = "select * from ipai.sync_mirror('sample_metrics')"

ROWS = 30
BEFORE = [metric(n) for n in range(1, ROWS + 1)]
_LATER = "2026-01-06 08:00:00"
#: Two records are renamed, one on each of two pages; one record is deleted and one is new.
AFTER = [
    *(metric(n, **({"name": "Renamed", "write_date": _LATER} if n in (2, 17) else {})) for n in range(1, ROWS + 1) if n != 25),
    metric(31, write_date=_LATER),
]

#: The kinds of responses: Odoo's method, and the number of correct responses before the fault.
PAGE, IDS, COUNT, EXPORT, DIGEST, INFO = "page", "ids", "count", "bulk page", "digests", "addon"
KINDS = {
    **{PAGE: ("search_read", 1), IDS: ("search", 0), COUNT: ("search_count", 1)},
    **{EXPORT: ("export", 1), DIGEST: ("digest", 0), INFO: ("info", 0)},
}
PLAIN, ADDON = (PAGE, IDS, COUNT), (EXPORT, DIGEST, INFO)

#: Limits of a run's duration in seconds and of its memory. A response may have 256 MB, and the
#: growing buffer needs as much again.
SECONDS = 60
MEMORY = 800 << 20


@dataclass(frozen=True)
class Fault:
    #: The SQLSTATE of the error, or None if the run succeeds nevertheless.
    sqlstate: str | None
    behave: Behaviour
    kinds: Iterable[str] = PLAIN
    times: float = float("inf")
    #: The timeout of a request in seconds. Only the faults that need it have a short one.
    timeout: int = 60
    #: The SQLSTATE with the addon, if it differs.
    by_addon: str | None = "the same"


# The faults ---------------------------------------------------------------------------------------

OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nConnection: close\r\n"
EVERYWHERE = (*PLAIN, *ADDON)
#: The fault is independent of the decoder, so two kinds of responses suffice for these slow tests.
WIRE = (PAGE, EXPORT)


def _http(headers: bytes, body: Callable[[bytes], Iterable[bytes]] = lambda body: [body]) -> Behaviour:
    return raw(OK + headers + b"\r\n", body)


def _endless(piece: bytes) -> Iterator[bytes]:
    while True:
        yield piece


def _cut_chunks(body: bytes) -> Iterator[bytes]:
    yield from list(chunked(body))[:2]


def _once(behave: Behaviour) -> Fault:
    """One wrong response; later responses are correct."""
    return Fault(None, behave, WIRE, times=1, by_addon=None)


TRANSPORT: dict[str, Fault] = {
    "no answer": Fault("08006", never_respond, [PAGE], timeout=1),
    "no answer, once": Fault(None, never_respond, WIRE, times=1, timeout=2, by_addon=None),
    "a byte a second, once": Fault(None, lambda exchange: trickling(exchange, 1.0), [PAGE], times=1, timeout=2),
    "hangs up": Fault(None, close_connection, [EXPORT]),
    "hangs up, once": _once(close_connection),
    "hangs up in the headers, once": _once(close_within_headers),
    "hangs up before the body, once": _once(truncated(lambda body: 0)),
    "hangs up in the middle of the body, once": _once(truncated(lambda body: len(body) // 2)),
    "hangs up before the last byte, once": _once(truncated(lambda body: len(body) - 1)),
    "Content-Length too small": Fault("08P01", modified_body(lambda body: body, **{"Content-Length": 100}), WIRE, by_addon=None),
    "Content-Length too large, once": _once(modified_body(lambda body: body, **{"Content-Length": 10**6})),
    "Content-Length of 10^18": Fault("54000", modified_body(lambda body: body, **{"Content-Length": 10**18}), WIRE, by_addon=None),
    "Content-Length that is not a number, once": _once(modified_body(lambda body: body, **{"Content-Length": "many"})),
    "two Content-Lengths, once": _once(_http(b"Content-Length: 10\r\nContent-Length: 20\r\n")),
    "chunked": Fault(None, _http(b"Transfer-Encoding: chunked\r\n", chunked), WIRE, by_addon=None),
    "chunked, truncated once": _once(_http(b"Transfer-Encoding: chunked\r\n", _cut_chunks)),
    "chunks without a size, once": _once(_http(b"Transfer-Encoding: chunked\r\n", lambda body: [b"zz\r\n", body])),
    "gzip": Fault(None, lambda exchange: _gzip(exchange, gzip.compress), WIRE, by_addon=None),
    "gzip, truncated once": _once(lambda exchange: _gzip(exchange, lambda body: gzip.compress(body)[:-20])),
    "gzip announced and not sent, once": _once(lambda exchange: _gzip(exchange, lambda body: body)),
    "a gzip bomb of 1 GB": Fault("54000", _http(b"Content-Encoding: gzip\r\n", lambda body: gzip_bomb(1024)), WIRE, by_addon=None),
    "another compression": Fault("08P01", modified_body(zlib.compress, **{"Content-Encoding": "br"}), WIRE, by_addon=None),
    "a header of 10 MB, once": _once(_http(b"X: " + b"x" * (10 << 20) + b"\r\n")),
    "headers without end, once": _once(raw(OK, lambda body: _endless(b"X: x\r\n" * 1000))),
    "no HTTP, once": _once(raw(b"220 smtp.example.com ESMTP\r\n", lambda body: [])),
    "429, Retry-After 1, once": _once(status(429, retry_after=1)),
    "429, Retry-After a date, once": _once(status(429, retry_after="Wed, 21 Oct 2026 07:28:00 GMT")),
    "429, Retry-After nonsense, once": _once(status(429, retry_after="-99999999999999999999")),
    "502 with HTML, once": _once(status(502)),
    "503 with HTML, once": _once(status(503)),
    "504 with HTML, once": _once(status(504)),
    "503 with HTML, always": Fault("08006", status(503), [PAGE]),
    "500": Fault("08006", status(500), WIRE, by_addon=None),
    "204": Fault("08P01", status(204, body=b""), WIRE),
    "206": Fault("08P01", status(206, body=b"<methodResponse>"), WIRE),
    "404": Fault("08P01", status(404), WIRE),
}


def _gzip(exchange: Exchange, compress: Callable[[bytes], bytes]) -> None:
    exchange.send(200, {"Content-Encoding": "gzip"}, compress(exchange.answer()))


def _xml(change: Callable[[bytes], bytes]) -> Fault:
    """Modifies the body. A run with the addon continues without the addon."""
    return Fault("08P01", modified_body(change), EVERYWHERE, by_addon=None)


def _foreign(body: str, kind: str = "text/html") -> Fault:
    return Fault("08P01", web_page(body.encode(), kind), EVERYWHERE, by_addon=None)


def _value(value: bytes) -> Callable[[bytes], bytes]:
    """Replaces the whole value of the response."""
    return lambda body: b"<?xml version='1.0'?><methodResponse><params><param>" + value + b"</param></params></methodResponse>"


def _inside(value: bytes) -> Callable[[bytes], bytes]:
    """Replaces the first text or integer in the response."""

    def change(body: bytes) -> bytes:
        changed, times = re.subn(rb"<value><(string|int)>[^<]*</\1></value>", lambda _: value, body, count=1)
        assert times
        return changed

    return change


def _doctype(declarations: str, reference: str) -> Callable[[bytes], bytes]:
    text = f"<value><string>{reference}</string></value>"
    document = f"<!DOCTYPE methodResponse [{declarations}]><methodResponse><params><param>{text}</param></params></methodResponse>"
    return lambda body: document.encode()


_LAUGHS = '<!ENTITY a0 "PAGE-TEXT">' + "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
_NESTED = b"<value><array><data>" * 10_000 + b"</data></array></value>" * 10_000


def _gigabyte(announced: bool) -> Behaviour:
    begin, end = (
        b"<?xml version='1.0'?><methodResponse><params><param><value><string>",
        b"</string></value></param></params></methodResponse>",
    )
    length = b"Content-Length: %d\r\n" % (len(begin) + len(end) + (1 << 30)) if announced else b""

    def pieces(body: bytes) -> Iterator[bytes]:
        yield begin
        megabyte = b"x" * (1 << 20)
        yield from (megabyte for _ in range(1024))
        yield end

    return _http(length, pieces)


def _traceback(exception: str) -> Behaviour:
    return fault(1, f'Traceback (most recent call last):\n  File "a.py", line 1, in a\n    b()\n{exception}\n')


def _above(records: int, behave: Behaviour) -> Behaviour:
    """Responds normally to requests for at most this many records."""
    return lambda exchange: (behave if asked_for(exchange.request) > records else respond_normally)(exchange)


def asked_for(request: Request) -> int:
    """Returns how many records a page asks for; 0 for a list of ids."""
    if request.method == "export":
        return 0 if request.args[2] == ["id"] else int(request.args[3])
    return int(request.kwargs["limit"])


def _heavy(behave: Behaviour, timeout: int = 60) -> Fault:
    """Odoo cannot send more than three records at once."""
    return Fault(None, _above(3, behave), WIRE, by_addon=None, timeout=timeout)


MEMORY_ERROR = _traceback("MemoryError")
POOL_FULL = _traceback("psycopg2.pool.PoolError: The Connection Pool Is Full")
CONFLICT = _traceback("psycopg2.errors.SerializationFailure: could not serialize access due to concurrent update")
SHUTDOWN = _traceback("psycopg2.errors.AdminShutdown: terminating connection due to administrator command")
DATE = _traceback("ValueError: year 20026 is out of range")

HEAVY_PAGES: dict[str, Fault] = {
    "a MemoryError above 3 records": _heavy(MEMORY_ERROR),
    "a MemoryError for one record": Fault(None, for_records([15], MEMORY_ERROR), WIRE),
    "a MemoryError always": Fault("38000", MEMORY_ERROR, WIRE, by_addon=None),
    "a date that Python cannot hold": Fault(None, for_records([15], DATE), [PAGE]),
    "413 above 3 records": _heavy(status(413)),
    "413 always": Fault("08P01", status(413), WIRE, by_addon=None),
    "504 above 3 records": _heavy(status(504)),
    "504 always": Fault("08006", status(504), WIRE, by_addon=None),
    "a worker that is killed above 3 records": _heavy(close_connection),
    "a worker that is killed for one record": Fault(None, for_records([15], close_connection), WIRE),
    "502 above 3 records": _heavy(status(502)),
    "no answer above 3 records": _heavy(never_respond, timeout=1),
}

PASSING: dict[str, Fault] = {
    "a full connection pool, once": _once(POOL_FULL),
    "a full connection pool, always": Fault("08006", POOL_FULL, WIRE),
    "a serialization failure, once": _once(CONFLICT),
    "a database server that shuts down, once": _once(SHUTDOWN),
}

DOCUMENTS: dict[str, Fault] = {
    "a login page with status 200": _foreign(f"<!DOCTYPE html><html><title>Sign in</title>{FOREIGN_TEXT}</html>"),
    "a captive portal that claims to be XML": _foreign(
        f'<html><meta http-equiv="refresh" content="0; url=/{FOREIGN_TEXT}"/></html>', "text/xml"
    ),
    "JSON": _foreign(f'{{"error": "{FOREIGN_TEXT}"}}', "application/json"),
    "nothing": _foreign("", "text/xml"),
    "XML of another kind": _foreign(f"<feed>{FOREIGN_TEXT}</feed>", "text/xml"),
    "XML truncated in the middle": _xml(lambda body: body[: len(body) // 2]),
    "XML truncated before the last byte": _xml(lambda body: body.rstrip()[:-1]),
    "XML nested 10,000 deep": Fault("08P01", modified_body(_inside(_NESTED)), EVERYWHERE, by_addon=None),
    "a string of 1 GB, announced": Fault("54000", _gigabyte(True), WIRE, by_addon=None),
    "a string of 1 GB, not announced": Fault("54000", _gigabyte(False), WIRE, by_addon=None),
    "a DTD": _xml(_doctype('<!ENTITY a "x">', "x")),
    "an entity of a DTD": _xml(_doctype('<!ENTITY a "PAGE-TEXT">', "&a;")),
    "billion laughs": _xml(_doctype(_LAUGHS, "&a9;")),
    "an external entity": _xml(_doctype('<!ENTITY a SYSTEM "file:///etc/passwd">', "&a;")),
    "an undeclared entity": _xml(_inside(b"<value><string>&nbsp;</string></value>")),
    "another encoding declared": _xml(lambda body: re.sub(rb"^<\?xml[^>]*\?>", b'<?xml version="1.0" encoding="ISO-8859-1"?>', body)),
    "another encoding": _xml(lambda body: body.decode().encode("utf-16")),
    "invalid UTF-8": _xml(_inside(b"<value><string>\xff\xfe</string></value>")),
    "a NUL character": _xml(_inside(b"<value><string>a\x00b</string></value>")),
    "something after the end": _xml(lambda body: body + b"<methodResponse/>"),
    "two answers": _xml(lambda body: body.rstrip() * 2),
    "no value": _xml(_value(b"")),
    "nil": _xml(_value(b"<value><nil/></value>")),
    "a type that XML-RPC lacks": _xml(_inside(b"<value><date>2026-01-05</date></value>")),
    "an invalid integer": _xml(_inside(b"<value><int>many</int></value>")),
    "an integer out of range": _xml(_inside(b"<value><int>99999999999999999999</int></value>")),
    "a fault of Odoo": Fault("38000", fault(1, "Traceback (most recent call last):\nValueError: broken"), EVERYWHERE, by_addon=None),
    "an invalid fault": _xml(
        lambda body: b"<?xml version='1.0'?><methodResponse><fault><value><int>1</int></value></fault></methodResponse>"
    ),
    "no more access": Fault("42501", recorded("fault_access_error_read_portal"), EVERYWHERE, by_addon=None),
    "another password": Fault("28P01", recorded("object_wrong_password"), EVERYWHERE),
}


def _rows(sqlstate: str | None, change: Callable[[list[Record]], Any]) -> Fault:
    return Fault(sqlstate, modified_value(change), [PAGE])


def _row(sqlstate: str | None, **changes: Any) -> Fault:
    """Changes values of record 12."""
    return _rows(sqlstate, lambda rows: [{**row, **changes} if row["id"] == 12 else row for row in rows])


def _without(name: str) -> Callable[[list[Record]], list[Record]]:
    return lambda rows: [{key: value for key, value in row.items() if key != name} for row in rows]


def _odd(number: int, body: bytes) -> bytes:
    """Replaces the first brand by an integer that Python would not encode."""
    return body.replace(
        b"<name>brand_id</name>\n<value><boolean>0</boolean></value>", b"<name>brand_id</name>\n<value><i8>%d</i8></value>" % number, 1
    )


def _others(exchange: Exchange) -> None:
    """Returns no further page, and other records when the run requests records by their ids."""
    by_id = any(term[:2] == ["id", "in"] for term in exchange.request.domain)
    modified_value(lambda rows: [{**row, "id": row["id"] + 100} for row in rows] if by_id else [])(exchange)


WRONG_ROWS: dict[str, Fault] = {
    "rows out of order": _rows("08P01", lambda rows: rows[::-1]),
    "the last row repeated": _rows("08P01", lambda rows: [*rows, rows[-1]]),
    "the previous page again": _rows("08P01", lambda rows: [{**row, "id": row["id"] - 10} for row in rows]),
    "more rows than asked for": _rows("08P01", lambda rows: [*rows, {**rows[-1], "id": rows[-1]["id"] + 1}] if rows else rows),
    "an invalid row": _rows("08P01", lambda rows: [*rows[:2], 7]),
    "a row that is a list": _rows("08P01", lambda rows: [*rows[:2], [1, 2]]),
    "a struct instead of the rows": _rows("08P01", lambda rows: rows[0] if rows else {}),
    "a number instead of the rows": _rows("08P01", len),
    "a row without id": _rows("08P01", _without("id")),
    "an id that is text": _row("08P01", id="12"),
    "an id that is false": _row("08P01", id=False),
    "an id that is not an integer": _row("08P01", id=12.0),
    "rows without write_date": _rows("08P01", _without("write_date")),
    **{f"rows without {name}": _rows("08P01", _without(name)) for name in ("name", "value", "active")},
    "an additional field": Fault(None, modified_value(lambda rows: [{**row, "surplus": [{"a": 1}]} for row in rows]), [PAGE]),
    "a number that is text": _row(None, value="much"),
    "an invalid number": _row(None, value=[1]),
    "a text that is a number": _row(None, name=7),
    "a text that is a struct": _row(None, notes={"a": 1}),
    "an invalid date": _row(None, date="31.12.2026"),
    "a date that does not exist": _row(None, date="2026-02-30"),
    "a date that is a number": _row(None, date=20260105),
    "an invalid time": _row("08P01", write_date="yesterday"),
    "a boolean that is text": _row(None, active="yes"),
    "a boolean that is a number": _row(None, is_alert=2),
    "a record that is text": _row(None, brand_id="Brand"),
    "a record that is a list of many": _row(None, brand_id=[7, 8, 9]),
    "a record that is a fraction": _row(None, store_id=1.5),
    "a record beyond 64 bits": Fault("08P01", modified_body(lambda body: _odd(2**63, body)), [PAGE]),
    "a choice that the table refuses": _row(None, unit="furlong"),
    "a required text that is unset": _row(None, name=False),
    "ids out of order": Fault("08P01", modified_value(lambda ids: ids[::-1]), [IDS]),
    "the last id repeated": Fault("08P01", modified_value(lambda ids: [*ids, ids[-1]]), [IDS]),
    "ids that are text": Fault("08P01", modified_value(lambda ids: [str(number) for number in ids]), [IDS]),
    "ids before those asked for": Fault("08P01", modified_value(lambda ids: [0, *ids]), [IDS]),
    "a number instead of the ids": Fault("08P01", modified_value(len), [IDS]),
    "no ids, though records are counted": Fault(None, modified_value(lambda ids: []), [IDS]),
    "half of the ids, though all records are counted": Fault(None, modified_value(lambda ids: ids[::2]), [IDS]),
    "ids without records": Fault(None, modified_value(lambda ids: [*ids, 5000] if ids and ids[-1] < 5000 else ids), [IDS]),
    "an empty page, though records are counted": Fault(None, modified_value(lambda rows: []), [PAGE], times=1),
    "other records than those asked for by their ids": Fault("08P01", _others, [PAGE]),
    "a count that is text": Fault("08P01", modified_value(str), [COUNT]),
    "a negative count": Fault("08P01", modified_value(lambda count: -1), [COUNT]),
    "a count that is false": Fault("08P01", modified_value(lambda count: False), [COUNT]),
    "a count that is too large": Fault(None, modified_value(lambda count: count + 7), [COUNT]),
}


def _packed(change: Callable[[bytes], bytes], compress: Callable[[bytes], bytes] = zlib.compress) -> Fault:
    """Modifies the text of a bulk page and compresses it again.

    The run continues without the addon.
    """

    def repacked(value: str) -> str:
        return base64.b64encode(compress(change(zlib.decompress(base64.b64decode(value))))).decode()

    return Fault(None, modified_value(repacked), [EXPORT])


def _lines(change: Callable[[list[bytes]], list[bytes]]) -> Fault:
    return _packed(lambda text: b"\n".join(change(text.split(b"\n"))))


def _bomb(megabytes: int) -> str:
    # A single line, within the name of a column.
    return base64.b64encode(zlib.compress(b'{"columns": [["' + b"x" * (megabytes << 20), 9)).decode()


WRONG_ADDON_RESPONSES: dict[str, Fault] = {
    "invalid base64": Fault(None, modified_value(lambda text: "?" + text[1:]), [EXPORT]),
    "truncated base64": Fault(None, modified_value(lambda text: text[: len(text) // 2 + 1]), [EXPORT]),
    "no zlib": _packed(lambda text: text, lambda text: text),
    "truncated zlib": _packed(lambda text: text, lambda text: zlib.compress(text)[:-20]),
    "a wrong checksum": _packed(lambda text: text, lambda text: zlib.compress(text)[:-4] + b"\0\0\0\0"),
    "a zlib bomb of 512 MB": Fault(None, modified_value(lambda text: BOMB), [EXPORT]),
    "a page without its end": _lines(lambda lines: lines[:-2]),
    "one row less than announced": _lines(lambda lines: [lines[0], *lines[2:]]),
    "a row twice": _lines(lambda lines: [*lines[:2], *lines[1:]]),
    "a row after the end": _lines(lambda lines: [*lines[:-1], lines[1], b""]),
    "a cell too few": _lines(lambda lines: [lines[0], lines[1].rsplit(b"\t", 1)[0], *lines[2:]]),
    "a cell too many": _lines(lambda lines: [lines[0], lines[1] + b"\tx", *lines[2:]]),
    "columns in another order than their names": _lines(
        lambda lines: [lines[0].replace(b'"name"', b'"?"').replace(b'"code"', b'"name"'), *lines[1:]]
    ),
    "columns of an invalid type": _lines(lambda lines: [lines[0].replace(b'"s"', b'"q"'), *lines[1:]]),
    "no columns": _lines(lambda lines: lines[1:]),
    "rows of a bulk page out of order": _lines(lambda lines: [lines[0], *lines[-3:0:-1], *lines[-2:]]),
    "a bulk page not in UTF-8": _lines(lambda lines: [lines[0], lines[1].replace(b"METRIC", b"\xff"), *lines[2:]]),
    "a NUL in a bulk page": _lines(lambda lines: [lines[0], lines[1].replace(b"METRIC", b"\0"), *lines[2:]]),
    "an unknown escape": _lines(lambda lines: [lines[0], lines[1].replace(b"METRIC", b"\\x41"), *lines[2:]]),
    "a bulk page that is a number": Fault(None, modified_value(len), [EXPORT]),
    "a bulk page of other rows": Fault(None, modified_value(lambda text: encode_export(BEFORE[:3], [*metric(1)])), [EXPORT]),
    "an empty bulk page, though records are counted": Fault(
        None, modified_value(lambda text: encode_export([], [*metric(1)])), [EXPORT], times=1
    ),
    "digests that are not numbers": Fault(None, modified_value(lambda digests: [["x", "y", "z"] for _ in digests]), [DIGEST]),
    "a digest too few": Fault(None, modified_value(lambda digests: digests[1:]), [DIGEST]),
    "digests of nothing": Fault(None, modified_value(lambda digests: [[0, "0", "0"] for _ in digests]), [DIGEST]),
    "digests out of range": Fault(None, modified_value(lambda digests: [[2**31 - 1, "9" * 38, "-" + "9" * 38] for _ in digests]), [DIGEST]),
}
BOMB: str = _bomb(512)


def _json(change: Callable[[bytes], bytes]) -> Fault:
    """Modifies the body. A run with the addon continues without the addon."""
    return Fault("08P01", modified_body(change), EVERYWHERE, by_addon=None)


def _json_value(value: bytes) -> Callable[[bytes], bytes]:
    """Replaces the first value of a member or element, or else the whole body."""

    def change(body: bytes) -> bytes:
        first = rb'(?<=": )(\d+|"[^"]*")' if body.startswith(b"[{") else rb'\d+|"[^"]*"'
        changed, times = re.subn(first, lambda _: value, body, count=1)
        assert times
        return changed

    return change


def _json_error(code: int, body: str) -> Behaviour:
    return lambda exchange: exchange.send(code, {}, body.encode())


#: Responses to requests over JSON-2.
JSON2: dict[str, Fault] = {
    "JSON-2: hangs up in the middle of the body, once": _once(truncated(lambda body: len(body) // 2)),
    "JSON-2: gzip": Fault(None, lambda exchange: _gzip(exchange, gzip.compress), WIRE, by_addon=None),
    "JSON-2: a gzip bomb of 1 GB": Fault("54000", _http(b"Content-Encoding: gzip\r\n", lambda body: gzip_bomb(1024)), WIRE, by_addon=None),
    "JSON-2: truncated in the middle": _json(lambda body: body[: len(body) // 2]),
    "JSON-2: truncated before the last byte": Fault(
        "08P01", modified_body(lambda body: body[:-1]), (PAGE, IDS, EXPORT, DIGEST), by_addon=None
    ),
    "JSON-2: nested 10,000 deep": _json(lambda body: b"[" * 10_000 + b"]" * 10_000),
    "JSON-2: a value nested 10,000 deep": _json(_json_value(b"[" * 10_000 + b"]" * 10_000)),
    "JSON-2: invalid UTF-8": _json(_json_value(b'"\xff\xfe"')),
    "JSON-2: a NUL character": _json(_json_value(b'"a\x00b"')),
    "JSON-2: half of a surrogate pair": _json(_json_value(b'"\\ud800"')),
    "JSON-2: something after the end": _json(lambda body: body + b"[]"),
    "JSON-2: null": _json(lambda body: b"null"),
    "JSON-2: a number beyond a double": _json(_json_value(b"1e999")),
    "JSON-2: NaN": _json(lambda body: b"NaN"),
    "JSON-2: a word that starts like NaN": _json(_json_value(b"NaNo")),
    "JSON-2: nothing": _json(lambda body: b""),
    "JSON-2: a login page with status 200": _foreign(f"<!DOCTYPE html><html><title>Sign in</title>{FOREIGN_TEXT}</html>"),
    "JSON-2: XML": _foreign(f"<?xml version='1.0'?><feed>{FOREIGN_TEXT}</feed>", "text/xml"),
    "JSON-2: an object of another kind": _foreign(f'{{"error": "{FOREIGN_TEXT}"}}', "application/json"),
    "JSON-2: a key that has expired": Fault("28P01", recorded("object_wrong_password"), EVERYWHERE),
    "JSON-2: no more access": Fault("42501", recorded("fault_access_error_read_portal"), EVERYWHERE, by_addon=None),
    "JSON-2: an error of Odoo": Fault("38000", _traceback("ValueError: broken"), EVERYWHERE, by_addon=None),
    "JSON-2: a MemoryError above 3 records": _heavy(MEMORY_ERROR),
    "JSON-2: a MemoryError for one record": Fault(None, for_records([15], MEMORY_ERROR), WIRE),
    "JSON-2: a full connection pool, once": _once(POOL_FULL),
    "JSON-2: a full connection pool, always": Fault("08006", POOL_FULL, WIRE),
    "JSON-2: a serialization failure, once": _once(CONFLICT),
    "JSON-2: 404 with HTML": Fault("08P01", status(404), WIRE),
    "JSON-2: 403 with JSON of a proxy": Fault("08P01", _json_error(403, f'{{"error": "{FOREIGN_TEXT}"}}'), WIRE),
    "JSON-2: 404 with JSON of a proxy": Fault("08P01", _json_error(404, f'{{"error": "{FOREIGN_TEXT}"}}'), WIRE),
    "JSON-2: 500 with half an error": Fault("08006", _json_error(500, '{"name": "builtins.Val'), WIRE, by_addon=None),
    "JSON-2: 503 with JSON, once": _once(_json_error(503, f'{{"name": "x", "message": "{FOREIGN_TEXT}"}}')),
    "JSON-2: 429 with JSON, once": _once(_json_error(429, '{"name": "x", "message": "slow down"}')),
    "JSON-2: rows out of order": _rows("08P01", lambda rows: rows[::-1]),
    "JSON-2: a row that is a list": _rows("08P01", lambda rows: [*rows[:2], [1, 2]]),
    "JSON-2: a row without id": _rows("08P01", _without("id")),
    "JSON-2: an id that is not an integer": _row("08P01", id=12.0),
    "JSON-2: a text that is a number": _row(None, name=7),
    "JSON-2: a number that is text": _row(None, value="much"),
    "JSON-2: ids that are fractions": Fault("08P01", modified_value(lambda ids: [number + 0.0 for number in ids]), [IDS]),
    "JSON-2: a count that is false": Fault("08P01", modified_value(lambda count: False), [COUNT]),
}

_ALL = (TRANSPORT, HEAVY_PAGES, PASSING, DOCUMENTS, WRONG_ROWS, WRONG_ADDON_RESPONSES, JSON2)
FAULTS = {name: fault for faults in _ALL for name, fault in faults.items()}
assert len(FAULTS) == sum(map(len, _ALL))
#: Faults that the decoder handles, which is the same in both hosts.
_OF_DECODER = {*DOCUMENTS, *WRONG_ADDON_RESPONSES, *JSON2}
#: The program meets each of the other faults once, and the rest at night.
CASES = [
    pytest.param(
        *(name, kind),
        id=f"{name}, {kind}",
        marks=pytest.mark.program_nightly if number or fault.timeout < 60 or name in _OF_DECODER else (),
    )
    for name, fault in FAULTS.items()
    for number, kind in enumerate(fault.kinds)
]


# Properties that every fault must preserve --------------------------------------------------------


def values(record: Record) -> tuple[Any, ...]:
    texts = (record[name] or None for name in ("name", "date", "brand_id", "notes"))
    return (*texts, record["value"], record["active"])


def mirrored(supabase: Supabase) -> dict[int, tuple[Any, ...]]:
    rows = supabase.mirror("odoo_id, name, date::text, brand_id, notes, value::float8, active")
    return {row.pop("odoo_id"): tuple(row.values()) for row in rows}


def assert_no_wrong_row(supabase: Supabase, *edited: int) -> None:
    """Checks that each row, except for the edited ones, equals a present or former record.

    Only the row of the deleted record may be missing.
    """
    records_by_id = [{record["id"]: values(record) for record in records} for records in (BEFORE, AFTER)]
    found = {number: row for number, row in mirrored(supabase).items() if number not in edited}
    assert not {number: row for number, row in found.items() if row not in [records.get(number) for records in records_by_id]}
    assert records_by_id[0].keys() - found.keys() <= {25, *edited}


def assert_equal(supabase: Supabase, erp: FaultyOdoo) -> None:
    assert mirrored(supabase) == {record["id"]: values(record) for record in erp.records}


@contextmanager
def limited_memory(supabase: Supabase, connection: Connection) -> Iterator[None]:
    """Checks that the peak memory of the calls stays within the limit."""
    with supabase.peak_memory(connection) as peak:
        yield
    assert 0 < peak[0] < MEMORY


@pytest.fixture(autouse=True)
def check_logs(supabase: Supabase) -> Iterator[None]:
    """Checks that the logs contain neither the password nor content that is not Odoo's."""
    log = supabase.cluster.log
    begins = log.stat().st_size
    yield
    with open(log, "rb") as file:
        file.seek(begins)
        new = file.read()
    new = re.sub(rb"STATEMENT:  .*vault.create_secret.*", b"", new)
    runs = str(supabase.rows("select * from ipai.run_log")) + str(supabase.rows("select message from ipai.sync_alerts"))
    for text in (PASSWORD, api_key("admin", PASSWORD), FOREIGN_TEXT):
        assert text.encode() not in new and text not in runs


def error_text(error: psycopg.Error) -> str:
    diag = error.diag
    return " ".join(part or "" for part in (diag.message_primary, diag.message_detail, diag.message_hint, diag.context))


# The test -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_run_handles_an_invalid_response(supabase: Supabase, name: str, kind: str) -> None:
    case = FAULTS[name]
    addon = kind in ADDON
    expected = case.by_addon if addon and case.by_addon != "the same" else case.sqlstate
    method, first = KINDS[kind]
    if name in JSON2:
        supabase.protocol = "json2"
    with FaultyOdoo(BEFORE, password=PASSWORD, addon=addon) as erp:
        supabase.server(erp.url, password=PASSWORD, timeout=str(case.timeout))
        supabase.register(page_size=10)
        connection = supabase.connect()
        warnings: list[str] = []
        connection.add_notice_handler(
            lambda notice: warnings.append(notice.message_primary or "") if notice.severity == "WARNING" else None
        )
        connection.execute(CALL)
        before = idle_resources(connection.info.backend_pid)
        rows = supabase.mirror("odoo_id, xmin::text")

        faulty_exchanges: list[Exchange] = []

        def behave(exchange: Exchange) -> None:
            faulty_exchanges.append(exchange)
            case.behave(exchange)

        def begin() -> None:
            """Starts the fault after the correct responses."""
            faulty_exchanges.clear()
            erp.records = AFTER
            erp.on(method, respond_normally, times=first)
            erp.on(method, behave, times=case.times)

        begin()
        with SECTION.trial(f"{name}: {kind}") as trial, limited_memory(supabase, connection):
            try:
                connection.execute(CALL)
            except psycopg.Error as error:
                trial.record_outcome(error)
                assert error.sqlstate == expected, error_text(error)
                assert PASSWORD not in error_text(error) and FOREIGN_TEXT not in error_text(error)
                run = supabase.last_run()
                assert (run["state"], run["sqlstate"], run["message"]) == ("failed", error.sqlstate, error.diag.message_primary)
            else:
                rejects = supabase.rows("select from ipai.sync_rejects")
                # The alert shows operators what the warning shows the caller.
                degraded = is_degraded(supabase)
                assert degraded == (kind == INFO or bool(warnings))
                outcome = " without the addon" if degraded else ", with a reject" if rejects else ""
                trial.record_outcome(f"the run completes{outcome}")
                assert expected is None
                run = supabase.last_run()
                assert run["state"] == "succeeded"
            assert faulty_exchanges
            assert trial.seconds is not None and trial.seconds < SECONDS
            assert_no_wrong_row(supabase)
            wait_for_release(before, connection.info.backend_pid)

        # A sync in a transaction must change nothing. Slow faults are not repeated.
        if expected and trial.seconds < 2 and supabase.syncs_in_transactions:
            erp.clear_faults()
            supabase.rows("truncate ipai.ipai_sample_metrics")
            erp.records = BEFORE
            connection.execute(CALL)
            rows = supabase.mirror("odoo_id, xmin::text")
            begin()
            with pytest.raises(psycopg.Error) as raised:
                connection.execute(SYNC)
            assert raised.value.sqlstate == expected
            assert supabase.mirror("odoo_id, xmin::text") == rows

        erp.clear_faults()
        connection.execute(CALL)
        assert_equal(supabase, erp)
        assert not is_degraded(supabase)
        wait_for_release(before, connection.info.backend_pid)


def is_degraded(supabase: Supabase) -> bool:
    return "degraded" in [row["kind"] for row in supabase.rows("select kind from ipai.sync_alerts")]


#: What the table refuses for as long as the first statement holds, and until the second.
REFUSALS = {
    "a foreign key refuses a deletion": (
        "create table public.invoices (metric bigint references ipai.ipai_sample_metrics (odoo_id)); insert into public.invoices values (25)",
        "drop table public.invoices",
    ),
    "a check refuses a record": (
        "alter table ipai.ipai_sample_metrics add constraint picky check (name <> 'Renamed' or odoo_id <> 2)",
        "alter table ipai.ipai_sample_metrics drop constraint picky",
    ),
    "a unique index refuses a record": (
        "create unique index picky on ipai.ipai_sample_metrics (name)",
        "drop index ipai.picky",
    ),
}


@pytest.mark.postgres17
@pytest.mark.parametrize("name", REFUSALS)
def test_refusal_stops_nothing_else_while_it_lasts(supabase: Supabase, name: str) -> None:
    cause, remedy = REFUSALS[name]
    with FaultyOdoo(BEFORE) as erp:
        supabase.server(erp.url)
        supabase.register(page_size=10)
        supabase.rows(CALL)
        supabase.rows(cause)
        erp.records = [dict(record) for record in AFTER]
        with SECTION.trial(f"{name}, in each of four runs") as trial:
            for number in range(4):
                erp.records[5] |= {"name": f"Edit {number}", "write_date": f"2026-01-07 08:00:0{number}"}
                run = supabase.run("'sample_metrics', 'full'" if number == 2 else "'sample_metrics'")
                assert (run["state"], run["resumes"]) == ("succeeded", None)
                assert mirrored(supabase)[6][0] == f"Edit {number}"
                assert_no_wrong_row(supabase, 6)
                assert [row["kind"] for row in supabase.rows("select kind from ipai.sync_alerts")] == ["rejects"]
                (reject,) = supabase.rows("select refused, sqlstate from ipai.sync_rejects")
            trial.record_outcome(f"the runs complete, with a reject ({reject['refused']}, {reject['sqlstate']})")
        supabase.rows(remedy)
        supabase.run()
        assert_equal(supabase, erp)
        assert supabase.rows("select from ipai.sync_rejects union all select from ipai.sync_alerts") == []


@pytest.mark.postgres17
@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_redirect_during_a_run_is_not_followed(supabase: Supabase, code: int) -> None:
    with FaultyOdoo(BEFORE, password=PASSWORD) as erp, FaultyOdoo(BEFORE, password=PASSWORD) as other:
        supabase.server(erp.url, password=PASSWORD)
        supabase.register(page_size=10)
        erp.on("search_read", respond_normally, times=1)
        erp.on("search_read", status(code, location=f"{other.url}/xmlrpc/2/object"))
        with SECTION.trial(f"a redirect to another host, {code}: {PAGE}") as trial:
            with pytest.raises(psycopg.Error) as raised:
                supabase.rows(CALL)
            trial.record_outcome(raised.value)
        assert raised.value.sqlstate == "08001" and PASSWORD not in error_text(raised.value)
        # The request contains the password.
        assert other.requests == []
        erp.clear_faults()
        supabase.rows(CALL)
        assert_equal(supabase, erp)


@pytest.mark.parametrize("addon", [False, True], ids=["plain", "addon"])
def test_run_stops_after_endless_pages(supabase: Supabase, addon: bool) -> None:
    """Odoo returns more and more records, independent of its counts. The run must stop."""

    def page(exchange: Exchange) -> None:
        domain, limit = (
            (exchange.request.args[1], exchange.request.args[3]) if addon else (exchange.request.domain, exchange.request.kwargs["limit"])
        )
        (after,) = (term[2] for term in domain if term[:2] == ["id", ">"])
        rows = [metric(after + n) for n in range(1, limit + 1)]
        exchange.send(200, {}, result(encode_export(rows, ["id", *exchange.request.args[2]]) if addon else rows))

    with FaultyOdoo(BEFORE, addon=addon) as erp:
        supabase.server(erp.url)
        supabase.register(page_size=20_000)
        connection = supabase.connect()
        connection.execute(CALL)
        before = idle_resources(connection.info.backend_pid)
        erp.on("export" if addon else "search_read", page)
        kind = EXPORT if addon else PAGE
        with SECTION.trial(f"pages without end: {kind}") as trial, limited_memory(supabase, connection):
            with pytest.raises(psycopg.Error) as raised:
                connection.execute(CALL)
            trial.record_outcome(raised.value)
        assert raised.value.sqlstate == "54000"
        wait_for_release(before, connection.info.backend_pid)
        erp.clear_faults()
        # The pages contained records that do not exist, more than a run may delete.
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
            connection.execute(CALL)
        connection.execute("call ipai.run_sync('sample_metrics', 'full', max_delete_ratio => 1)")
        assert mirrored(supabase) == {record["id"]: values(record) for record in BEFORE}


@pytest.mark.whole_file
def test_page_matches_the_recorded_outcomes() -> None:
    SECTION.compare()
