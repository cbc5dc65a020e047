"""Provides users, a simulated Realtime and a real Odoo for the dashboard's tests."""

from __future__ import annotations

import json
import threading
from types import TracebackType
from typing import Any, Self, cast

from playwright.sync_api import WebSocketRoute

from harness import shell
from harness.dashboard import Dashboard
from harness.odoo import Odoo
from harness.postgres import Cluster
from harness.postgrest import PostgREST

STORES = 24
DAYS = 365
ANA, BEN, CARLA, NORA = "Ana, brand 7", "Ben, brand 8", "Carla, all brands", "Nora, no brand"


class FakeRealtime:
    """Simulates Realtime for `page.route_web_socket`.

    The content of its messages does not matter: the page reloads its data after each of them.
    """

    def __init__(self) -> None:
        self._sockets: list[tuple[WebSocketRoute, str]] = []

    def __call__(self, socket: WebSocketRoute) -> None:
        def answer(data: str | bytes) -> None:
            join_ref, ref, topic, event, payload = json.loads(data)
            changes = payload.get("config", {}).get("postgres_changes", [])
            response = {"postgres_changes": [{**asked, "id": 1} for asked in changes]} if event == "phx_join" else {}
            socket.send(json.dumps([join_ref, ref, topic, "phx_reply", {"status": "ok", "response": response}]))
            if event == "phx_join":
                self._sockets.append((socket, topic))
                subscribed = {"extension": "postgres_changes", "status": "ok", "message": "Subscribed to PostgreSQL", "channel": topic}
                socket.send(json.dumps([join_ref, None, topic, "system", subscribed]))

        socket.on_message(answer)

    def change(self) -> None:
        """Notifies the page of a changed row."""
        socket, topic = self._sockets[-1]
        change: dict[str, Any] = {"type": "UPDATE", "schema": "ipai", "table": "ipai_sample_metrics", "columns": [], "errors": None}
        change |= {"record": {}, "old_record": {}, "commit_timestamp": "2026-01-06T08:00:00Z"}
        socket.send(json.dumps([None, None, topic, "postgres_changes", {"ids": [1], "data": change}]))

    def close(self) -> None:
        self._sockets[-1][0].close()


class Company:
    """Odoo, an up-to-date mirror and the page, as in `scripts/demo --dashboard`."""

    def __init__(self, odoo: Odoo, cluster: Cluster, api: PostgREST, site: Dashboard) -> None:
        self.odoo = odoo
        self.cluster = cluster
        self.api = api
        self.site = site

    def sync(self) -> None:
        """Runs the statement that pg_cron runs every minute."""
        self.cluster.psql("call ipai.run_sync('sample_metrics')", user="postgres")

    def user(self, beginning: str) -> str:
        (name,) = (user["name"] for user in self.site.config["demoUsers"] if user["name"].startswith(beginning))
        return cast(str, name)


class Follower:
    """A session that follows the metrics as the job of pg_cron does, within a `with` block."""

    _CALL = "call ipai.follow_sync(array['sample_metrics'], during => '10 minutes')"

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._thread = threading.Thread(target=self._follow)
        self._failure: shell.CommandFailed | None = None

    def _follow(self) -> None:
        try:
            self._cluster.psql(self._CALL, user="postgres")
        except shell.CommandFailed as failure:
            self._failure = failure

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            shell.wait_until(self._has_polled, "the follower's first poll")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _has_polled(self) -> bool:
        if self._failure is not None:
            raise self._failure
        return self._cluster.psql("select polled_at from ipai.followers") != ""

    def stop(self) -> None:
        """Cancels the call. The row of the follower stays. Idempotent."""
        self._cluster.psql("select pg_cancel_backend(pid) from pg_stat_activity where query like 'call ipai.follow_sync%'")
        self._thread.join()
        assert self._failure is None or "canceling statement" in str(self._failure) + self._failure.output, self._failure

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()
        self._cluster.psql("delete from ipai.followers")
