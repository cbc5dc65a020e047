"""Sends requests to Odoo and discards the responses, to measure Odoo and the socket alone."""

from __future__ import annotations

import http.client
import threading
import time
import xmlrpc.client
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, cast

from ..odoo import MODEL, Odoo

_OBJECT = "/xmlrpc/2/object"
_SECONDS = 600


def request(odoo: Odoo, model: str, method: str, *args: Any, **kwargs: Any) -> bytes:
    """Returns the body of a call as administrator."""
    uid = odoo.uid(odoo.admin_user, odoo.admin_password)
    params = (odoo.dbname, uid, odoo.admin_password, model, method, list(args), kwargs)
    return xmlrpc.client.dumps(params, "execute_kw").encode()


def fetch(port: int, bodies: Iterable[bytes]) -> float:
    """Sends the requests one after the other, discards the responses and returns the seconds."""
    buffer = bytearray(1 << 20)
    began = time.perf_counter()
    for body in bodies:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_SECONDS)
        connection.request("POST", _OBJECT, body, {"Content-Type": "text/xml"})
        answer = connection.getresponse()
        if answer.status != http.HTTPStatus.OK:
            raise RuntimeError(f"Odoo responded with status {answer.status}")
        received = 0
        while size := answer.readinto(buffer):
            received += size
        connection.close()
        # A fault is short, and its status is 200 too.
        if received < len(buffer) and b"<fault>" in buffer[:received]:
            raise RuntimeError(f"Odoo responded with a fault: {buffer[:received].decode()}")
    return time.perf_counter() - began


class Recorder:
    """A proxy between ipai_sync and Odoo that records the requests for pages of records."""

    def __init__(self, odoo: Odoo) -> None:
        self._server = _Server(odoo.port)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def pages(self) -> list[bytes]:
        return [body for body in self._server.bodies if asks_for_records(body)]

    def forget(self) -> None:
        """Removes the requests recorded so far."""
        self._server.bodies.clear()

    def __enter__(self) -> Recorder:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()


def asks_for_records(body: bytes) -> bool:
    """Returns whether a request is for a page of mirrored records.

    Requests for counts, ids, fields or the company are not.
    """
    params, name = xmlrpc.client.loads(body)
    if name != "execute_kw":
        return False
    model, method = cast(tuple[Any, ...], params)[3:5]
    return model == MODEL and method in ("search_read", "read")


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, odoo_port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.odoo_port = odoo_port
        self.bodies: list[bytes] = []


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == _OBJECT:
            self.server.bodies.append(body)
        connection = http.client.HTTPConnection("127.0.0.1", self.server.odoo_port, timeout=_SECONDS)
        try:
            connection.request("POST", self.path, body, {"Content-Type": "text/xml"})
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        self.send_response_only(answer.status, answer.reason)
        for name in ("Content-Type", "Date"):
            if value := answer.getheader(name):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        pass
