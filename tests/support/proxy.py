"""Simulates network faults with a proxy in front of Odoo whose connections fail at random."""

from __future__ import annotations

import random
import select
import socket
import socketserver
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Any


class Proxy:
    """A proxy on 127.0.0.1, which runs within a `with` block.

    `faults` is the fraction of connections that fail.
    """

    def __init__(self, port: int, seed: int) -> None:
        self.target = port
        self.faults = 0.0
        #: The number of connections by outcome.
        self.outcomes: dict[str, int] = {}
        self._chance = random.Random(seed)
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._tcp = _Server(self)
        self.port: int = self._tcp.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Proxy:
        threading.Thread(target=self._tcp.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._tcp.shutdown()
        self._tcp.server_close()

    def cut(self) -> None:
        """Closes all connections."""
        with self._lock:
            for connection in self._open:
                # Either side may have closed it already.
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def handle(self, client: socket.socket) -> None:
        with self._lock:
            broken = self._chance.random() < self.faults
            outcome = self._chance.choice(["refused", "cut", "late", "502", "503"]) if broken else "normal"
            cut = self._chance.randrange(1, 20_000)
            self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
        if outcome == "refused":
            return
        if outcome in ("502", "503"):
            client.recv(1 << 16)
            client.sendall(
                f"HTTP/1.1 {outcome} Bad\r\nContent-Type: text/html\r\nContent-Length: 6\r\nConnection: close\r\n\r\n<html>".encode()
            )
            return
        if outcome == "late":
            time.sleep(0.3)
        with socket.create_connection(("127.0.0.1", self.target)) as odoo:
            ends = {client, odoo}
            with self._lock:
                self._open |= ends
            try:
                _forward(client, odoo, cut if outcome == "cut" else None)
            finally:
                with self._lock:
                    self._open -= ends


def _forward(client: socket.socket, odoo: socket.socket, cut: int | None) -> None:
    """Forwards data in both directions until one side ends, or until Odoo has sent `cut` bytes."""
    sent = 0
    while True:
        readable, _, _ = select.select([client, odoo], [], [], 60)
        if not readable:
            return
        for ready in readable:
            data = ready.recv(1 << 16)
            if not data:
                return
            if ready is client:
                odoo.sendall(data)
                continue
            if cut is not None and sent + len(data) >= cut:
                client.sendall(data[: cut - sent])
                return
            sent += len(data)
            client.sendall(data)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 50

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(socketserver.BaseRequestHandler):
    server: Any

    def handle(self) -> None:
        # Either side may disconnect first.
        with suppress(OSError):
            self.server.proxy.handle(self.request)
