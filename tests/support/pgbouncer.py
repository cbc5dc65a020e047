"""Runs Debian's PgBouncer in front of a cluster."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from harness import paths, shell
from harness.postgres import Cluster


class PgBouncer:
    """A connection pooler on 127.0.0.1, which runs within a `with` block.

    mode: `session` or `transaction`
    port: where it listens
    users: roles that may connect, to any database
    """

    def __init__(self, cluster: Cluster, mode: str, *, port: int | None = None, users: Sequence[str] = ("postgres",)) -> None:
        self.port = port or shell.free_port()
        self._mode = mode
        self._folder = paths.run_dir()
        shutil.chown(self._folder, shell.SERVICE_USER)
        (self._folder / "users").write_text("".join(f'"{user}" ""\n' for user in users))
        self._write_settings(cluster)
        self._process: subprocess.Popen[bytes] | None = None

    def _write_settings(self, cluster: Cluster) -> None:
        (self._folder / "pgbouncer.ini").write_text(
            f"""[databases]
                * = host={cluster.host} port={cluster.port}
                [pgbouncer]
                listen_addr = 127.0.0.1
                listen_port = {self.port}
                unix_socket_dir =
                auth_type = trust
                auth_file = {self._folder}/users
                pool_mode = {self._mode}
                default_pool_size = 5
                server_connect_timeout = 2
                server_login_retry = 1
            """.replace("                ", "")
        )

    def __enter__(self) -> PgBouncer:
        self._start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def dsn(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres?sslmode=disable"

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def restart(self) -> None:
        """Restarts it at once, which closes all connections."""
        self._stop()
        self._start()

    def redirect(self, cluster: Cluster) -> None:
        """Connects clients to another cluster from now on, as after a failover."""
        self._write_settings(cluster)
        self.restart()

    def _start(self) -> None:
        log = self._folder / "log"
        command: list[str | Path] = ["/usr/sbin/pgbouncer", self._folder / "pgbouncer.ini"]
        self._process = shell.start(command, user=shell.SERVICE_USER, cwd=self._folder, log=log)
        shell.wait_until(lambda: self._is_listening() or not self.is_running, "PgBouncer to accept connections", every=0.02)
        assert self.is_running, log.read_text()

    def _is_listening(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def _stop(self) -> None:
        if self._process is not None:
            shell.stop(self._process)
            self._process = None
