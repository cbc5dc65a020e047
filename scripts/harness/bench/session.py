"""Statements timed by psql, and the memory of the backend that runs them."""

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
    """A psql that is told one statement after the other. As with a user's psql, each is a transaction of its own."""

    def __init__(self, cluster: Cluster, user: str = "postgres") -> None:
        program = cluster.installation.bindir / "psql"
        self._directory = paths.run_dir()
        self._errors = self._directory / "errors"
        with open(self._errors, "w") as errors:
            self._process = subprocess.Popen(
                [program, "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", cluster.dsn(user=user)],
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
        """The answer of a query that gives one line."""
        self._send(f"{query};")
        return self._read_line()

    def execute(self, statement: str) -> None:
        """Runs a statement and throws its answer away."""
        self.timed(statement)

    def timed(self, statement: str) -> float:
        """Runs a statement; its seconds, as psql's \\timing has them. What it answers is thrown away."""
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
    """How far a process's own memory rises while the `with` block runs, in bytes. What it shares with others does not count."""

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
        # The kernel keeps the peak of all memory only, in which the shared buffers are most.
        while not self._finished.wait(self._EVERY):
            self._peak = max(self._peak, self._current())

    def _current(self) -> int:
        return anonymous(self._status.read_text())


def anonymous(status: str) -> int:
    """A process's own memory in bytes, from its /proc/PID/status."""
    match = re.search(r"^RssAnon:\s+(\d+) kB$", status, re.MULTILINE)
    if not match:
        raise ValueError("no RssAnon in /proc/PID/status")
    return int(match[1]) * 1024
