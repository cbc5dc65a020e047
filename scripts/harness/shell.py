"""Runs commands and servers, installs Debian packages and finds free ports."""

from __future__ import annotations

import fcntl
import getpass
import os
import pwd
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, TypedDict

from . import cleanup

#: The user that runs servers, because Postgres refuses to run as root.
SERVICE_USER = "postgres" if os.geteuid() == 0 else getpass.getuser()

#: Changes to the inherited environment; None removes a variable.
Environment = Mapping[str, str | None]

_STOP_SECONDS = 20
_BEGIN = time.monotonic()


class CommandFailed(RuntimeError):
    """A command exited with a status other than 0; `output` is its captured output."""

    def __init__(self, cmd: Sequence[str], status: int, output: str) -> None:
        self.status = status
        self.output = output
        super().__init__(f"{' '.join(cmd)}: exit status {status}" + (f"\n{output.rstrip()}" if output.strip() else ""))


def run_main(main: Callable[[], int]) -> NoReturn:
    """Exits with the status of `main`: 130 after Ctrl-C, 1 with the output of a failed command."""
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
    except CommandFailed as failure:
        print(failure, file=sys.stderr)
        sys.exit(1)


def log_progress(message: str) -> None:
    """Prints a message with the seconds since the start."""
    print(f"[{time.monotonic() - _BEGIN:6.1f}] {message}", flush=True)


def environment(changes: Environment | None = None, user: str | None = None) -> dict[str, str]:
    """Returns this process's environment with `changes`, and with HOME of `user`."""
    result = dict(os.environ)
    if user is not None:
        result.update(HOME=pwd.getpwnam(user).pw_dir, USER=user, LOGNAME=user)
    for name, value in (changes or {}).items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = value
    return result


class _Identity(TypedDict, total=False):
    user: int
    group: int
    extra_groups: list[int]
    umask: int


def _identity(user: str | None) -> _Identity:
    """Returns the arguments with which Popen runs a command as `user`."""
    if user is None or user == pwd.getpwuid(os.geteuid()).pw_name:
        return {}
    entry = pwd.getpwnam(user)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": os.getgrouplist(user, entry.pw_gid), "umask": 0o022}


def run(
    cmd: Sequence[str | Path],
    *,
    check: bool = True,
    capture: bool = False,
    env: Environment | None = None,
    cwd: str | Path | None = None,
    user: str | None = None,
    stdin: str | None = None,
    stop_seconds: float = _STOP_SECONDS,
) -> subprocess.CompletedProcess[str]:
    """Runs a command until it exits.

    check: raise CommandFailed, with the captured output, if the status is not 0
    capture: return stdout and stderr instead of printing them
    user: run as this user, which must be the current user unless this process is root
    stop_seconds: how long to wait for the command's end when this process is interrupted
    """
    words = [str(word) for word in cmd]
    process = subprocess.Popen(
        words,
        # No command may wait for input from the terminal.
        stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
        stdout=subprocess.PIPE if capture else None,
        stderr=subprocess.PIPE if capture else None,
        text=True,
        errors="replace",
        env=environment(env, user),
        cwd=cwd,
        **_identity(user),
    )
    try:
        stdout, stderr = process.communicate(stdin)
    except BaseException:
        _terminate(process, seconds=stop_seconds)
        raise
    if check and process.returncode != 0:
        raise CommandFailed(words, process.returncode, (stdout or "") + (stderr or ""))
    return subprocess.CompletedProcess(words, process.returncode, stdout, stderr)


def start(
    cmd: Sequence[str | Path],
    *,
    user: str | None = None,
    env: Environment | None = None,
    cwd: str | Path | None = None,
    log: str | Path,
    killed_with: str = "KILL",
) -> subprocess.Popen[bytes]:
    """Starts a server that writes to the file `log`; `stop` or the end of this process stops it.

    killed_with: the signal that the kernel sends to the server if this process is killed
    """
    # Defer signals until the server's cleanup is registered.
    with open(log, "ab") as output, cleanup.defer_signals():
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", killed_with, "--", *map(str, cmd)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment(env, user),
            cwd=cwd,
            # A separate process group: Ctrl-C in the terminal reaches this process only, which then
            # stops its servers in order.
            start_new_session=True,
            **_identity(user),
        )
        cleanup.on_exit(lambda: _terminate(process))
    return process


def start_module(module: str, *arguments: str) -> None:
    """Starts a module of the scripts in the background; it ends with this process."""
    start([sys.executable, "-m", module, *arguments], cwd=Path(__file__).parents[1], log=os.devnull)


def stop(process: subprocess.Popen[bytes], *, with_signal: int = signal.SIGTERM) -> None:
    """Stops a server with a signal, and kills it if it does not end in time. Idempotent."""
    _terminate(process, with_signal)


def _terminate(process: subprocess.Popen[Any], with_signal: int = signal.SIGTERM, seconds: float = _STOP_SECONDS) -> None:
    if process.poll() is not None:
        return
    process.send_signal(with_signal)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(_STOP_SECONDS)


def wait_until(condition: Callable[[], object], what: str, *, seconds: float = 60, every: float = 0.05) -> None:
    """Returns once `condition()` is true; after `seconds` it raises TimeoutError naming `what`.

    The condition may raise to end the wait early.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        time.sleep(every)


_ports: set[int] = set()
#: Below the range that the system uses for outgoing connections.
_PORTS = range(10_000, 32_000)


def free_port() -> int:
    """Returns an unused TCP port of 127.0.0.1 that this process has not returned before.

    pytest's two workers use odd and even ports, so they never get the same one.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    while True:
        port = random.choice(_PORTS[worker % 2 :: 2])
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in _ports:
            _ports.add(port)
            return port


def as_root(cmd: Sequence[str | Path]) -> list[str]:
    """Returns the command, with sudo if this process is not root."""
    return [*([] if os.geteuid() == 0 else ["sudo"]), *map(str, cmd)]


def _run_as_root(*cmd: str) -> None:
    """Runs a command as root, with access to the terminal, where sudo may ask for a password."""
    words = as_root(cmd)
    status = subprocess.run(words, env=environment({"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"})).returncode
    if status != 0:
        raise CommandFailed(words, status, "")


_apt_updated = False


def apt_install(*packages: str) -> None:
    """Installs the missing packages; needs no privileges if all of them are installed."""
    if not any(not _is_installed(package) for package in packages):
        return
    # apt can wait for another apt that installs packages, but not for one that updates the lists.
    with open(Path(tempfile.gettempdir()) / f"ipai_sync-apt-{os.geteuid()}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _install_missing(packages)


def _install_missing(packages: Sequence[str]) -> None:
    global _apt_updated
    missing = [package for package in packages if not _is_installed(package)]
    if not missing:
        return
    log_progress(f"Installing Debian packages, up to a minute: {' '.join(missing)}")
    if not _apt_updated:
        _apt("update")
        _apt_updated = True
    if any(package.startswith("postgresql") for package in missing):
        # Contains the configuration file that controls whether a server package creates a cluster.
        if not _is_installed("postgresql-common"):
            _apt("install", "postgresql-common")
        with _no_main_cluster():
            _apt("install", *missing)
    else:
        _apt("install", *missing)


def _is_installed(package: str) -> bool:
    query = run(["dpkg-query", "-W", "-f", "${db:Status-Status}", package], check=False, capture=True)
    return query.returncode == 0 and query.stdout.strip() == "installed"


def _apt(command: str, *packages: str) -> None:
    options = ["-y", "--no-install-recommends"] if command == "install" else []
    # Another apt may be running, for instance on a freshly started machine.
    _run_as_root("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-o", "DPkg::Lock::Timeout=600", command, *options, *packages)


@contextmanager
def _no_main_cluster() -> Iterator[None]:
    """Keeps Debian's server package from creating and starting a cluster on port 5432."""
    config = "/etc/postgresql-common/createcluster.conf"
    kept = f"{config}.ipai_sync"
    _run_as_root("sh", "-c", f"test -e {kept} || cp -p {config} {kept}; echo 'create_main_cluster = false' >> {config}")
    try:
        yield
    finally:
        _run_as_root("mv", kept, config)
