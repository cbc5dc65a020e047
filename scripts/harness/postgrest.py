"""Runs a real PostgREST on a cluster behind a gateway, and scripts that use supabase-js.

PostgREST connects as `authenticator` and switches to the role that a token names. This module signs
the tokens like Supabase's auth server.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import os
import shutil
import subprocess
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from . import paths, postgres, setup, shell
from .postgres import Cluster

#: The path prefix of the REST API in a Supabase project.
PREFIX = "/rest/v1"
_SECRET = "the secret of a temporary cluster, long enough for HS256"


class PostgREST:
    """A PostgREST server, which runs within a `with` block.

    settings: additional PostgREST settings; their names are PostgREST's environment variables in
    lower case without PGRST_; None removes a default of this class
    """

    host = "127.0.0.1"

    def __init__(self, cluster: Cluster, **settings: object) -> None:
        self.port = shell.free_port()
        self.directory = paths.run_dir()
        self.log = self.directory / "postgrest.log"
        self._admin_port = shell.free_port()
        self._settings: dict[str, object] = {
            # Supabase's own settings, plus the exposed schema of the mirrors.
            "db_uri": cluster.dsn(user="authenticator"),
            "db_schemas": "public, ipai",
            "db_extra_search_path": "public, extensions",
            "db_anon_role": "anon",
            "db_max_rows": 1000,
            "jwt_secret": _SECRET,
            "db_pool": 5,
            "log_level": "info",
            "server_host": self.host,
            "server_port": self.port,
            "admin_server_port": self._admin_port,
            **settings,
        }
        self._server: subprocess.Popen[bytes] | None = None
        self._gateway: Gateway | None = None

    def __enter__(self) -> PostgREST:
        ours = {f"PGRST_{name.upper()}": str(value) for name, value in self._settings.items() if value is not None}
        theirs: dict[str, str | None] = {name: None for name in os.environ if name.startswith("PGRST_")}
        server = shell.start(
            [setup.ensure_node_tools().postgrest],
            user=shell.SERVICE_USER,
            cwd=self.directory,
            env={**postgres.client_environment(), **theirs, **ours},
            log=self.log,
        )
        self._server = server

        def ready() -> bool:
            if server.poll() is not None:
                raise RuntimeError(f"PostgREST did not start:\n{self._end_of_log()}")
            try:
                with urllib.request.urlopen(f"http://{self.host}:{self._admin_port}/ready", timeout=5) as answer:
                    return bool(answer.status == 200)
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                return False

        try:
            shell.wait_until(ready, "PostgREST with the database's schema", seconds=30)
            self._gateway = Gateway(self.port)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop()
        if error is not None:
            error.add_note(f"PostgREST's log ends with\n{self._end_of_log()}")
        shutil.rmtree(self.directory, ignore_errors=True)

    def _stop(self) -> None:
        if self._gateway is not None:
            self._gateway.stop()
            self._gateway = None
        if self._server is not None:
            shell.stop(self._server)
            self._server = None

    def _end_of_log(self) -> str:
        return self.log.read_text(errors="replace")[-4000:]

    @property
    def url(self) -> str:
        """The project's URL for supabase-js."""
        assert self._gateway is not None
        return f"http://{self.host}:{self._gateway.server_port}"

    def token(self, role: str = "authenticated", *, secret: str = _SECRET, lasts: float = 3600, **claims: Any) -> str:
        """Returns a token as Supabase's auth server signs it.

        It is a user's token, or, for the role `anon` or `service_role`, the project's own key.
        """
        now = int(time.time())
        user = {"sub": "6a9c0e5e-0000-4000-8000-000000000001", "aud": "authenticated"} if role == "authenticated" else {}
        header = {"alg": "HS256", "typ": "JWT"}
        payload = {"iss": "supabase", **user, "iat": now, "exp": int(now + lasts), "role": role, **claims}
        signed = f"{_encoded(header)}.{_encoded(payload)}"
        signature = hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest()
        return f"{signed}.{_base64(signature)}"


def _encoded(part: dict[str, Any]) -> str:
    return _base64(json.dumps(part, separators=(",", ":")).encode())


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def run_script(script: str, **variables: str) -> str:
    """Runs an ECMAScript module that may import @supabase/supabase-js, and returns its output.

    `variables` are set in its environment.
    """
    tools = setup.ensure_node_tools()
    folder = paths.run_dir()
    try:
        (folder / "node_modules").symlink_to(tools.node_modules)
        file = folder / "script.mjs"
        file.write_text(script)
        return shell.run([tools.node, file], cwd=folder, env={"NODE_OPTIONS": None, **variables}, capture=True).stdout
    finally:
        shutil.rmtree(folder)


# The gateway ------------------------------------------------------------------------------------
# PostgREST serves at /, a Supabase project at /rest/v1. Like Supabase's gateway, this one removes
# the prefix.

#: Headers that concern a single connection and must not be forwarded.
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding"}


class Gateway(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, port: int, handler: type[GatewayHandler] | None = None) -> None:
        super().__init__((PostgREST.host, 0), handler or GatewayHandler)
        self.postgrest_port = port
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        self.shutdown()
        self.server_close()


class GatewayHandler(BaseHTTPRequestHandler):
    server: Gateway
    protocol_version = "HTTP/1.1"

    def _forward(self) -> None:
        self.close_connection = True
        if not self.path.startswith(f"{PREFIX}/"):
            self.send_error(http.client.NOT_FOUND)
            return
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        connection = http.client.HTTPConnection(PostgREST.host, self.server.postgrest_port, timeout=120)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
            connection.request(self.command, self.path.removeprefix(PREFIX), body or None, headers)
            answer = connection.getresponse()
            content = answer.read()
            self.send_response_only(answer.status, answer.reason)
            for name, value in answer.getheaders():
                if name.lower() not in {*_HOP_BY_HOP, "content-length"}:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(content)
        finally:
            connection.close()

    do_GET = do_HEAD = do_POST = do_PATCH = do_PUT = do_DELETE = do_OPTIONS = _forward

    def log_message(self, format: str, *args: Any) -> None:
        pass
