"""A proxy in front of Odoo whose connections break, by chance."""

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
    """Listens on 127.0.0.1 for as long as the `with` block lasts. `faults` is the part of the connections that break in some way."""

    def __init__(self, port: int, seed: int) -> None:
        self.target = port
        self.faults = 0.0
        #: How many connections there were, by what became of them.
        self.outcomes: dict[str, int] = {}
        self._chance = random.Random(seed)
        self._lock = threading.Lock()
        self._tcp = _Server(self)
        self.url = f"http://127.0.0.1:{self._tcp.server_address[1]}"

    def __enter__(self) -> Proxy:
        threading.Thread(target=self._tcp.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._tcp.shutdown()
        self._tcp.server_close()

    def handle(self, client: socket.socket) -> None:
        with self._lock:
            broken = self._chance.random() < self.faults
            fate = self._chance.choice(["refused", "cut", "late", "502", "503"]) if broken else "well"
            cut = self._chance.randrange(1, 20_000)
            self.outcomes[fate] = self.outcomes.get(fate, 0) + 1
        if fate == "refused":
            return
        if fate in ("502", "503"):
            client.recv(1 << 16)
            client.sendall(
                f"HTTP/1.1 {fate} Bad\r\nContent-Type: text/html\r\nContent-Length: 6\r\nConnection: close\r\n\r\n<html>".encode()
            )
            return
        if fate == "late":
            time.sleep(0.3)
        with socket.create_connection(("127.0.0.1", self.target)) as odoo:
            _pass_on(client, odoo, cut if fate == "cut" else None)


def _pass_on(client: socket.socket, odoo: socket.socket, cut: int | None) -> None:
    """Both ways, until one side ends; or until Odoo has said so much."""
    said = 0
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
            if cut is not None and said + len(data) >= cut:
                client.sendall(data[: cut - said])
                return
            said += len(data)
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
        # Whoever hangs up first.
        with suppress(OSError):
            self.server.proxy.handle(self.request)
