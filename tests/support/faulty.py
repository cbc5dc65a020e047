"""Simulates an Odoo on 127.0.0.1 that can respond late, incompletely, wrongly or not at all.

Without faults it responds like Odoo 19, from records in memory. Its fault responses are recorded
from a real Odoo 19 (tests/corpus). It speaks XML-RPC and, with an API key as its password, JSON-2.

    with FaultyOdoo([metric(1), metric(2)]) as server:
        # Two responses with status 503; further calls succeed.
        server.on("search_read", status(503, retry_after=1), times=2)
"""

from __future__ import annotations

import base64
import http.client
import json
import operator
import secrets
import select
import socket
import socketserver
import ssl
import threading
import time
import xmlrpc.client
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from email.message import Message
from http.server import BaseHTTPRequestHandler
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

from harness import shell
from harness.odoo import api_key

RECORDED = Path(__file__).resolve().parents[1] / "corpus/odoo19"
MODEL = "ipai.sample.metric"
ADDON = "ipai.sync"
UID = 2

Record = dict[str, Any]

_JSON2 = "/json/2/"
#: The names of arguments that XML-RPC sends by position.
_POSITIONAL = {
    "search_read": ("domain",),
    "search": ("domain",),
    "search_count": ("domain",),
    "export": ("model", "domain", "fields", "limit"),
    "digest": ("model", "domain", "bounds"),
    "has_table": ("model",),
}


def metric(odoo_id: int, **changes: Any) -> Record:
    """Returns a record of the model as `read` with `load=''` returns it."""
    return {
        "id": odoo_id,
        "name": f"Metric {odoo_id}",
        "code": "METRIC",
        "date": "2026-01-05",
        "brand_id": False,
        "store_id": False,
        "value": float(odoo_id),
        "unit": "count",
        "is_alert": False,
        "notes": False,
        "active": True,
        "write_date": "2026-01-05 08:00:00",
        **changes,
    }


# Requests and responses -------------------------------------------------------------------------


@dataclass(frozen=True)
class Request:
    """A received call."""

    path: str
    #: `version`, `authenticate`, or the model's method for execute_kw.
    method: str
    model: str = ""
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    dbname: str = ""
    #: The login for authenticate, the uid for execute_kw.
    user: str | int = ""
    password: str = ""
    #: When it was received, in seconds of the monotonic clock.
    received_at: float = field(default_factory=time.monotonic, compare=False)

    @property
    def is_json2(self) -> bool:
        return self.path.startswith(_JSON2)

    @staticmethod
    def parse(path: str, headers: Message[str, str], body: bytes) -> Request:
        if path.startswith(_JSON2):
            return Request._parse_json2(path, headers, json.loads(body))
        params, method = cast(tuple[tuple[Any, ...], str], xmlrpc.client.loads(body))
        if method == "execute_kw":
            dbname, uid, password, model, of_model, args, kwargs = params
            return Request(path, of_model, model, tuple(args), kwargs, dbname, uid, password)
        if method == "authenticate":
            return Request(path, method, "", params, {}, *params[:3])
        return Request(path, str(method), "", params)

    @staticmethod
    def _parse_json2(path: str, headers: Message[str, str], kwargs: dict[str, Any]) -> Request:
        """Reads the arguments that XML-RPC would send by position from their names."""
        model, method = path.removeprefix(_JSON2).split("/")
        args = tuple(kwargs.pop(name) for name in ("ids", *_POSITIONAL.get(method, ())) if name in kwargs)
        key = headers.get("Authorization", "").removeprefix("bearer ")
        return Request(path, method, model, args, kwargs, headers.get("X-Odoo-Database", ""), UID, key)

    @property
    def domain(self) -> list[Any]:
        return list(self.args[0])


class Exchange:
    """A request and the means to respond to it."""

    def __init__(self, server: FaultyOdoo, handler: BaseHTTPRequestHandler, request: Request) -> None:
        self.server = server
        self.handler = handler
        self.request = request

    def send(self, code: int, headers: Mapping[str, object], body: bytes) -> None:
        """Sends a response with Odoo's usual headers, which `headers` extends or replaces.

        A response of XML-RPC to a request of JSON-2 is sent as its counterpart in JSON-2.
        """
        kind = "text/xml"
        if self.request.is_json2:
            kind = "application/json"
            if code == http.HTTPStatus.OK and "Content-Type" not in headers:
                code, body = _json2(body)
        self.handler.send_response(code)
        standard = {"Content-Type": f"{kind}; charset=utf-8", "Content-Length": len(body), "Connection": "close"}
        for name, value in {**standard, **headers}.items():
            # None removes a usual header.
            if value is not None:
                self.handler.send_header(name, str(value))
        self.handler.end_headers()
        self.handler.wfile.write(body)

    def answer(self) -> bytes:
        """Returns the body of Odoo's regular response, in the wire format of the request."""
        body = self.server.answer(self.request)
        return _json2(body)[1] if self.request.is_json2 else body

    def wait(self, seconds: float = float("inf")) -> bool:
        """Waits; returns False as soon as the client disconnects or the server stops."""
        if self.server.ending.is_set():
            return False
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            step = min(0.02, max(deadline - time.monotonic(), 0))
            if self.server.ending.is_set() or _is_disconnected(self.handler.connection, step):
                return False
        return True


def _is_disconnected(connection: socket.socket, seconds: float) -> bool:
    readable, _, _ = select.select([connection], [], [], seconds)
    # More data would be a second request, which no client sends. The method of the class is called
    # because TLS sockets do not support MSG_PEEK.
    return bool(readable) and socket.socket.recv(connection, 1, socket.MSG_PEEK) == b""


#: A function that handles one exchange.
Behaviour = Callable[[Exchange], None]


# Behaviours -------------------------------------------------------------------------------------


def respond_normally(exchange: Exchange) -> None:
    exchange.send(200, {}, exchange.server.answer(exchange.request))


def never_respond(exchange: Exchange) -> None:
    """Reads the request and never responds."""
    exchange.wait()


def delayed(seconds: float) -> Behaviour:
    """Responds normally after a delay."""

    def behave(exchange: Exchange) -> None:
        if exchange.wait(seconds):
            respond_normally(exchange)

    return behave


def blocked_until(gate: threading.Event) -> Behaviour:
    """Responds normally once the event is set."""

    def behave(exchange: Exchange) -> None:
        while not gate.is_set():
            if not exchange.wait(0.02):
                return
        respond_normally(exchange)

    return behave


def trickling(exchange: Exchange, pause: float = 0.02) -> None:
    """Sends a normal response byte by byte, 50 bytes a second."""
    body = exchange.answer()
    exchange.send(200, {"Content-Length": len(body)}, b"")
    for byte in body:
        exchange.handler.wfile.write(bytes([byte]))
        if not exchange.wait(pause):
            return


def close_connection(exchange: Exchange) -> None:
    """Reads the request and closes the connection."""


def close_within_headers(exchange: Exchange) -> None:
    exchange.handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Le")


def truncated(keep: Callable[[bytes], int], *, announced: bool = True) -> Behaviour:
    """Sends the first `keep(body)` bytes and closes the connection.

    announced: send the Content-Length of the whole body instead of that of the sent part
    """

    def behave(exchange: Exchange) -> None:
        body = exchange.answer()
        part = body[: keep(body)]
        exchange.send(200, {"Content-Length": len(body if announced else part)}, part)

    return behave


def raw(head: bytes, body: Callable[[bytes], Iterable[bytes]] = lambda body: [body]) -> Behaviour:
    """Sends `head` instead of status line and headers, and then pieces of the body.

    It stops when the client disconnects.
    """

    def behave(exchange: Exchange) -> None:
        exchange.handler.wfile.write(head)
        for piece in body(exchange.answer()):
            exchange.handler.wfile.write(piece)
            if not exchange.wait(0):
                return

    return behave


def chunked(body: bytes, size: int = 100) -> Iterator[bytes]:
    """Yields the body in HTTP's chunked encoding, including the last chunk."""
    for begin in range(0, len(body), size):
        part = body[begin : begin + size]
        yield b"%x\r\n%s\r\n" % (len(part), part)
    yield b"0\r\n\r\n"


def gzip_bomb(megabytes: int) -> Iterator[bytes]:
    """Yields a gzip stream of zeros with a compression ratio of about 1000."""
    compress = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    # After a full flush, the compressed bytes can be repeated.
    megabyte = compress.compress(bytes(1 << 20)) + compress.flush(zlib.Z_FULL_FLUSH)
    yield b"\x1f\x8b\x08" + bytes(6) + b"\xff"
    yield from (megabyte for _ in range(megabytes))


def modified_body(change: Callable[[bytes], bytes], **headers: object) -> Behaviour:
    """Sends the regular body, changed."""
    return lambda exchange: exchange.send(200, headers, change(exchange.answer()))


def modified_value(change: Callable[[Any], Any]) -> Behaviour:
    """Sends the regular result, changed: a well-formed response with wrong content."""

    def behave(exchange: Exchange) -> None:
        (value,), _ = xmlrpc.client.loads(exchange.server.answer(exchange.request))
        exchange.send(200, {}, result(change(value)))

    return behave


def status(code: int, *, retry_after: object = None, location: str | None = None, body: bytes = b"<html>proxy page</html>") -> Behaviour:
    """Sends an HTML page with this status, as a proxy does."""
    headers: dict[str, object] = {"Content-Type": "text/html"}
    if retry_after is not None:
        headers["Retry-After"] = retry_after
    if location is not None:
        headers["Location"] = location
    return lambda exchange: exchange.send(code, headers, body)


def web_page(body: bytes, content_type: str = "text/html; charset=utf-8") -> Behaviour:
    """Sends a body that is not XML-RPC, with status 200."""
    return lambda exchange: exchange.send(200, {"Content-Type": content_type}, body)


def recorded(name: str) -> Behaviour:
    """Sends a body recorded from Odoo 19."""
    return lambda exchange: exchange.send(200, {}, _recording(name))


def fault(code: int, text: str) -> Behaviour:
    body = xmlrpc.client.dumps(xmlrpc.client.Fault(code, text), methodresponse=True).encode()
    return lambda exchange: exchange.send(200, {}, body)


def for_records(ids: Iterable[int], behave: Behaviour) -> Behaviour:
    """Responds normally to requests whose answers have no values of these records."""
    wanted = set(ids)

    def behave_for(exchange: Exchange) -> None:
        sends = wanted.intersection(exchange.server.sent_ids(exchange.request))
        (behave if sends else respond_normally)(exchange)

    return behave_for


def returning(value: Any) -> Behaviour:
    """Sends this result for every call."""
    return lambda exchange: exchange.send(200, {}, result(value))


def _json2(body: bytes) -> tuple[int, bytes]:
    """Returns status and body in JSON-2 of a response of XML-RPC.

    Another body stays the same.
    """
    try:
        (value,), _ = xmlrpc.client.loads(body)
    except xmlrpc.client.Fault as fault:
        return _json2_error(int(fault.faultCode), fault.faultString)
    except Exception:
        return http.HTTPStatus.OK, body
    return http.HTTPStatus.OK, json.dumps(value, ensure_ascii=False).encode()


def _json2_error(code: int, text: str) -> tuple[int, bytes]:
    """Returns the error of JSON-2 that Odoo 19 sends in place of a fault."""
    last = text.rstrip().splitlines()[-1]
    exception, _, message = last.partition(": ")
    match code:
        case 2 if text.startswith("Object ") and text.endswith(" doesn't exist"):
            status, name, message = 404, "werkzeug.exceptions.NotFound", f"the model {text.split()[1]!r} does not exist"
        case 2:
            status, name, message = 422, "odoo.exceptions.UserError", text
        case 3:
            status, name, message = 401, "werkzeug.exceptions.Unauthorized", "Invalid apikey"
        case 4:
            status, name, message = 403, "odoo.exceptions.AccessError", text
        case _ if message.startswith("The method '"):
            status, name = 404, "werkzeug.exceptions.NotFound"
        case _:
            status, name = 500, exception if "." in exception else f"builtins.{exception}"
    return status, json.dumps({"name": name, "message": message, "arguments": [], "context": {}, "debug": text}).encode()


def _recording(name: str) -> bytes:
    return (RECORDED / f"{name}.xml").read_bytes()


_WIRE_TYPES = {bool: "b", int: "i", float: "f"}
_ESCAPES = {"\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\v": "\\v", "\f": "\\f", "\r": "\\r"}


def encode_export(records: list[Record], names: list[str], uuid: str | None = None) -> str:
    """Encodes a page like the addon (docs/reference/bulk-export-format.md)."""
    kinds = {name: _WIRE_TYPES.get(type(value), "s") for name, value in metric(1, brand_id=1, store_id=1, notes="").items()}

    def cell(name: str, value: Any) -> str:
        if kinds[name] == "b":
            return "t" if value else "f"
        return "\\N" if value is False else "".join(_ESCAPES.get(c, c) for c in str(value))

    lines = [json.dumps({"uuid": uuid, "columns": [[name, kinds[name]] for name in names]})]
    lines += ["\t".join(cell(name, record[name]) for name in names) for record in records]
    lines += [f"\\. {len(records)}", ""]
    return base64.b64encode(zlib.compress("\n".join(lines).encode(), 1)).decode()


# The server -------------------------------------------------------------------------------------


class FaultyOdoo:
    """The simulated server, which runs within a `with` block.

    `records` may be changed at any time.

    tls: the files of a certificate and its key, for https
    addon: simulate the addon ipai_sync
    json2: speak JSON-2, as Odoo does from version 19 on
    """

    def __init__(
        self,
        records: Iterable[Record] = (),
        *,
        dbname: str = "odoo",
        login: str = "admin",
        password: str = "admin",
        tls: tuple[Path, Path] | None = None,
        addon: bool = False,
        json2: bool = True,
    ) -> None:
        self.addon = addon
        self.json2 = json2
        #: database.uuid, which the addon reports.
        self.uuid = "5f0a2f5e-0000-11f1-8000-000000000001"
        #: The create_date of company 1. None: access denied; empty: no company.
        self.company: str | None = "2026-01-01 08:00:00"
        self.records = list(records)
        self.dbname = dbname
        self.login = login
        self.password = password
        self.api_key = api_key(login, password)
        #: The received requests, in order.
        self.requests: list[Request] = []
        #: Accepts connections but reads and sends nothing, so a TLS handshake never completes.
        self.unresponsive = False
        #: The number of open connections.
        self.connections = 0
        self.ending = threading.Event()
        self._rules: list[_Rule] = []
        self._lock = threading.Lock()
        self._tcp = _Server(self)
        self.port: int = self._tcp.server_address[1]
        self.https_url = f"https://127.0.0.1:{self.port}"
        self.url = f"http://127.0.0.1:{self.port}"
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            # Each connection's own thread performs the handshake.
            self._tcp.socket = context.wrap_socket(self._tcp.socket, server_side=True, do_handshake_on_connect=False)
            self.url = self.https_url

    def __enter__(self) -> Self:
        threading.Thread(target=self._tcp.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.ending.set()
        self._tcp.shutdown()
        self._tcp.server_close()

    def on(self, method: str | None, behaviour: Behaviour, *, times: float = float("inf")) -> None:
        """Lets `behaviour` handle the next `times` calls of `method` (None: any method).

        Earlier rules take precedence.
        """
        self._rules.append(_Rule(method, behaviour, times))

    def wait_until_disconnected(self, seconds: float) -> None:
        """Returns once every client has disconnected.

        This includes clients that disconnected before their connection was accepted. Otherwise
        their requests would be received later.
        """
        with socket.create_connection(("127.0.0.1", self.port), timeout=seconds) as last:
            # Connections are accepted in order. This one sends no request, and is closed once it
            # has been accepted.
            last.shutdown(socket.SHUT_WR)
            with suppress(ConnectionResetError):
                last.recv(1)
        shell.wait_until(lambda: self.connections == 0, "connections to Odoo to close", seconds=seconds, every=0.002)

    def clear_faults(self) -> None:
        """Responds normally from now on."""
        self._rules.clear()
        self.unresponsive = False

    def received(self, method: str) -> list[Request]:
        return [request for request in self.requests if request.method == method]

    def take_calls(self) -> list[str]:
        """Returns the methods called since the last call of this function."""
        methods = [request.method for request in self.requests]
        self.requests.clear()
        return methods

    # Regular responses

    def answer(self, request: Request) -> bytes:
        if request.path == "/json/version":
            return (RECORDED / "web_version.json").read_bytes()
        if request.method == "version":
            return _recording("version")
        if request.dbname != self.dbname:
            return _recording("authenticate_wrong_db")
        if request.is_json2:
            return self._answer_user(request) if request.password == self.api_key else _recording("object_wrong_password")
        if request.method == "authenticate":
            right = (request.user, request.password) == (self.login, self.password)
            return result(UID) if right else _recording("authenticate_wrong_password")
        if (request.user, request.password) != (UID, self.password):
            return _recording("object_wrong_password")
        return self._answer_user(request)

    def _answer_user(self, request: Request) -> bytes:
        """Returns the response to a request of the user."""
        if (request.model, request.method) == ("res.users", "read"):
            return result([{"id": UID, "login": self.login, "company_ids": list(range(1, 10))}])
        if request.method == "context_get":
            return result({"lang": "en_US", "tz": False, "uid": UID})
        if request.model == "res.users.apikeys" and request.method in ("generate", "revoke"):
            return self._of_keys(request)
        if request.model == ADDON and self.addon:
            return self._of_addon(request)
        if (request.model, request.method) == ("res.company", "read"):
            if self.company is None:
                return _recording("fault_access_error_read_portal")
            return result([{"id": 1, "create_date": self.company}] if self.company else [])
        if request.model != MODEL:
            return _recording("fault_missing_model")
        if request.method == "fields_get":
            # Additional attributes, which were not requested, do not matter.
            return _recording("fields_get")
        if request.method == "read":
            fields = ["id", *request.kwargs["fields"]]
            return result([{name: record[name] for name in fields} for record in self.records if record["id"] in request.args[0]])
        found = self._search(request)
        match request.method:
            case "search_count":
                return result(len(found))
            case "search":
                return result([record["id"] for record in found])
            case "search_read":
                fields = ["id", *request.kwargs["fields"]]
                return result([{name: record[name] for name in fields} for record in found])
        return _recording("fault_missing_method")

    def _of_keys(self, request: Request) -> bytes:
        """Replaces the API key, as later versions of Odoo 19 do on request."""
        if request.method == "revoke":
            return result(True)
        self.api_key = secrets.token_hex(20)
        return result(self.api_key)

    def _of_addon(self, request: Request) -> bytes:
        if request.method == "info":
            return result({"protocol": 1, "version": "1.0.0", "uuid": self.uuid})
        model, domain, wanted, *limit = request.args
        if model != MODEL:
            return _recording("fault_missing_model")
        limits = {"limit": limit[0]} if limit else {}
        found = self._search(replace(request, args=(domain,), kwargs={**request.kwargs, **limits}))
        if request.method == "export":
            # As in the addon, an empty list selects all fields.
            return result(encode_export(found, ["id", *(name for name in wanted or metric(1).keys() if name != "id")], self.uuid))
        ranges = ([record["id"] for record in found if low < record["id"] <= high] for low, high in pairwise(wanted))
        return result([[len(ids), str(sum(ids)), str(sum(number * number for number in ids))] for ids in ranges])

    def sent_ids(self, request: Request) -> list[int]:
        """Returns the ids of the records whose values the answer to this request has."""
        match request.method:
            case "read" if request.model == MODEL:
                return list(request.args[0])
            case "search_read":
                return [record["id"] for record in self._search(request)]
            case "export" if request.args[2] != ["id"]:
                _, domain, _, limit = request.args
                found = self._search(replace(request, args=(domain,), kwargs={**request.kwargs, "limit": limit}))
                return [record["id"] for record in found]
        return []

    def _search(self, request: Request) -> list[Record]:
        tests: dict[str, Callable[[Any, Any], Any]] = {
            **{"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge},
            **{"=": operator.eq, "in": lambda a, b: a in b},
        }
        found = sorted(self.records, key=lambda record: record["id"])
        if request.kwargs.get("context", {}).get("active_test", True):
            found = [record for record in found if record["active"]]

        def holds(terms: Iterator[Any], record: Record) -> bool:
            """Evaluates the next term, or an operator with its two operands."""
            term = next(terms)
            if term in ("|", "&"):
                both = [holds(terms, record), holds(terms, record)]
                return any(both) if term == "|" else all(both)
            name, comparison, value = term
            return bool(tests[comparison](record[name], value))

        def matches(record: Record) -> bool:
            terms = iter(request.domain)
            # Terms in a list are combined with "and".
            results = []
            with suppress(StopIteration):
                while True:
                    results.append(holds(terms, record))
            return all(results)

        found = [record for record in found if matches(record)]
        return found[: request.kwargs.get("limit")]

    # Called by the connections' threads

    def handle(self, exchange: Exchange) -> None:
        with self._lock:
            self.requests.append(exchange.request)
            rule = next((rule for rule in self._rules if rule.left > 0 and rule.method in (None, exchange.request.method)), None)
            if rule:
                rule.left -= 1
        (rule.behaviour if rule else respond_normally)(exchange)

    def count(self, change: int) -> None:
        with self._lock:
            self.connections += change


@dataclass
class _Rule:
    method: str | None
    behaviour: Behaviour
    left: float


def result(value: Any) -> bytes:
    """Encodes a response with this result."""
    return xmlrpc.client.dumps((value,), methodresponse=True).encode()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 50

    def __init__(self, odoo: FaultyOdoo) -> None:
        self.odoo = odoo
        super().__init__(("127.0.0.1", 0), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        # Count in the accepting thread: the connection's own thread may start late.
        self.odoo.count(1)
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.odoo.count(-1)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignores errors of clients that disconnect, which are intended."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    server_version = "Werkzeug/3.1"
    protocol_version = "HTTP/1.1"

    def handle(self) -> None:
        odoo = self.server.odoo
        while odoo.unresponsive and not odoo.ending.is_set():
            # Nothing is read from the client, so the kernel must report whether it is still
            # connected.
            state = self.connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
            if state != _TCP_ESTABLISHED:
                return
            time.sleep(0.02)
        super().handle()

    def do_POST(self) -> None:
        self.close_connection = True
        body = self.rfile.read(int(self.headers["Content-Length"]))
        odoo = self.server.odoo
        # Odoo finds no database, so it answers like for any unknown path.
        is_lost = self.headers.get("X-Odoo-Database", odoo.dbname) != odoo.dbname
        if self.path.startswith("/json/") and (is_lost or not odoo.json2):
            self.send_error(http.client.NOT_FOUND)
            return
        odoo.handle(Exchange(odoo, self, Request.parse(self.path, self.headers, body)))

    def do_GET(self) -> None:
        self.close_connection = True
        odoo = self.server.odoo
        if self.path == "/json/version" and odoo.json2:
            odoo.handle(Exchange(odoo, self, Request(self.path, "version")))
            return
        self.send_error(http.client.METHOD_NOT_ALLOWED)

    def log_message(self, format: str, *args: Any) -> None:
        pass


_TCP_ESTABLISHED = 1


@contextmanager
def unreachable_address() -> Iterator[str]:
    """Yields the address of a host that drops connection requests, like a firewall."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        # Linux drops connection requests when the queue is full.
        waiting = [socket.socket() for _ in range(4)]
        try:
            for connection in waiting:
                connection.setblocking(False)
                connection.connect_ex(listener.getsockname())
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            for connection in waiting:
                connection.close()
