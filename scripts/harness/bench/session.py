"""Times statements with psql, and measures the memory of their backend."""

from __future__ import annotations

import re
import subprocess
import threading
from pathlib import Path
from types import TracebackType

from .. import paths, postgres, shell
from ..postgres import Cluster

_TIME = re.compile(r"Time: ([\d.]+) ms")


class Session:
    """A psql session; each statement runs in its own transaction, as in a user's psql."""

    def __init__(self, cluster: Cluster, user: str = "postgres", dbname: str = "postgres") -> None:
        program = cluster.installation.bindir / "psql"
        self._directory = paths.run_dir()
        self._errors = self._directory / "errors"
        with open(self._errors, "w") as errors:
            self._process = subprocess.Popen(
                [program, "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", cluster.dsn(dbname, user)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=shell.environment(postgres.client_environment()),
            )
        self.backend = int(self.query("select pg_backend_pid()"))

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is None:
            self._process.communicate()
        else:
            self._process.kill()
            self._process.wait()

    def query(self, query: str) -> str:
        """Returns the result of a query that returns one line."""
        self._send(f"{query};")
        return self._read_line()

    def execute(self, statement: str) -> None:
        """Runs a statement and discards its result."""
        self.timed(statement)

    def timed(self, statement: str) -> float:
        """Runs a statement, discards its result and returns the seconds of psql's \\timing."""
        self._send(f"\\o /dev/null\n\\timing on\n{statement};\n\\timing off\n\\o")
        match = _TIME.search(self._read_line())
        if not match:
            raise RuntimeError(f"psql did not time: {statement}")
        return float(match[1]) / 1000

    def _send(self, lines: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{lines}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            self._raise_failure()

    def _read_line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._raise_failure()
        return line.rstrip("\n")

    def _raise_failure(self) -> None:
        status = self._process.wait()
        raise shell.CommandFailed(["psql"], status, self._errors.read_text(errors="replace"))


class Memory:
    """Measures by how many bytes a process's private memory grows within a `with` block."""

    _EVERY = 0.01

    def __init__(self, pid: int) -> None:
        self._status = Path(f"/proc/{pid}/status")
        self._finished = threading.Event()
        self._sampler = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Memory:
        self._at_start = self._peak = self._current()
        self._sampler.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._finished.set()
        self._sampler.join()

    @property
    def rise(self) -> int:
        return self._peak - self._at_start

    def _sample(self) -> None:
        # The kernel's own peak value includes shared memory, which is mostly shared buffers.
        while not self._finished.wait(self._EVERY):
            try:
                self._peak = max(self._peak, self._current())
            except (OSError, ValueError):
                # The process has ended.
                return

    def _current(self) -> int:
        return anonymous(self._status.read_text())


def anonymous(status: str) -> int:
    """Returns a process's private memory in bytes from its /proc/PID/status."""
    match = re.search(r"^RssAnon:\s+(\d+) kB$", status, re.MULTILINE)
    if not match:
        raise ValueError("no RssAnon in /proc/PID/status")
    return int(match[1]) * 1024
