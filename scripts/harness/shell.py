"""Commands, servers, Debian packages, ports."""

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

#: Who runs servers: Postgres refuses to run as root.
SERVICE_USER = "postgres" if os.geteuid() == 0 else getpass.getuser()

#: Changes to the inherited environment; None removes a variable.
Environment = Mapping[str, str | None]

_STOP_SECONDS = 20
_BEGIN = time.monotonic()


class CommandFailed(RuntimeError):
    """A command ended with a status other than 0. `output` is what it printed, when that was captured."""

    def __init__(self, cmd: Sequence[str], status: int, output: str) -> None:
        self.status = status
        self.output = output
        super().__init__(f"{' '.join(cmd)}: exit status {status}" + (f"\n{output.rstrip()}" if output.strip() else ""))


def run_main(main: Callable[[], int]) -> NoReturn:
    """Ends the program with the status of `main`: 130 after Ctrl-C, 1 with what a failed command said."""
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
    except CommandFailed as failure:
        print(failure, file=sys.stderr)
        sys.exit(1)


def log_progress(message: str) -> None:
    """Tells the user what happens next, with the seconds since the start."""
    print(f"[{time.monotonic() - _BEGIN:6.1f}] {message}", flush=True)


def environment(changes: Environment | None = None, user: str | None = None) -> dict[str, str]:
    """Our environment with `changes`; HOME and the like follow `user`."""
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
    """Arguments of Popen that run the command as `user`; nothing when that is who we are."""
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
    """Runs a command to its end.

    capture: return what it prints (stdout and stderr apart) in place of showing it
    check: raise CommandFailed, with the captured output, when its status is not 0
    user: run as this user (we must be root, or be that user)
    stop_seconds: how long the command may take to end when we are interrupted
    """
    words = [str(word) for word in cmd]
    process = subprocess.Popen(
        words,
        # Nothing we run may wait for an answer from the terminal.
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
    """Starts a server that prints into the file `log`. `stop` stops it, or else the end of our process.

    killed_with: the signal that the system sends to the server when our process is killed
    """
    # No signal may come between the server's start and the note that it is to be stopped.
    with open(log, "ab") as output, cleanup.defer_signals():
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", killed_with, "--", *map(str, cmd)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment(env, user),
            cwd=cwd,
            # A group of its own: the terminal's Ctrl-C is for us, who then stop servers in order.
            start_new_session=True,
            **_identity(user),
        )
        cleanup.on_exit(lambda: _terminate(process))
    return process


def start_module(module: str, *arguments: str) -> None:
    """Starts a module of these scripts in the background. It ends with us, and its output is discarded."""
    start([sys.executable, "-m", module, *arguments], cwd=Path(__file__).parents[1], log=os.devnull)


def stop(process: subprocess.Popen[bytes], *, with_signal: int = signal.SIGTERM) -> None:
    """Stops a server: asks with a signal, waits, and kills it when that does not help. Stopping twice is fine."""
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
    """Returns once `condition()` is true; TimeoutError naming `what` after `seconds`. The condition may raise to give up at once."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        time.sleep(every)


_ports: set[int] = set()
#: Below the ports that the system gives to outgoing connections.
_PORTS = range(10_000, 32_000)


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on, and that this process was not given before.

    Two workers of pytest never get the same one: each takes every second port.
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
    """The command, through sudo when we are not root."""
    return [*([] if os.geteuid() == 0 else ["sudo"]), *map(str, cmd)]


def _run_as_root(*cmd: str) -> None:
    """Runs a command as root. Unlike `run` it leaves the terminal to it, where sudo may ask for a password."""
    words = as_root(cmd)
    status = subprocess.run(words, env=environment({"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"})).returncode
    if status != 0:
        raise CommandFailed(words, status, "")


_apt_updated = False


def apt_install(*packages: str) -> None:
    """Installs those Debian packages that are missing. Does nothing, and needs no rights, when all are there."""
    if not any(not _is_installed(package) for package in packages):
        return
    # apt waits for another apt that installs, but not for one that updates the lists.
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
        # Brings the configuration file which says whether a server package makes a cluster.
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
    # Another apt may be running, as on a freshly started machine.
    _run_as_root("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-o", "DPkg::Lock::Timeout=600", command, *options, *packages)


@contextmanager
def _no_main_cluster() -> Iterator[None]:
    """Keeps Debian's server package from making and starting a cluster on port 5432, which nobody asked for."""
    config = "/etc/postgresql-common/createcluster.conf"
    kept = f"{config}.ipai_sync"
    _run_as_root("sh", "-c", f"test -e {kept} || cp -p {config} {kept}; echo 'create_main_cluster = false' >> {config}")
    try:
        yield
    finally:
        _run_as_root("mv", kept, config)
