"""Provides a clean Debian 12 in a folder, in which packages are installed as a user installs them.

Its processes have mounts and process ids of their own: when the first one ends, the kernel ends the
others and removes the mounts. They share the network of this machine. All of this needs root.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path
from types import TracebackType

from . import debian, paths, setup, shell

#: What a machine with Debian 12 has, besides the minimum, and what PostgreSQL's packages need.
_INCLUDED = ("ca-certificates", "sudo")
#: Their packages are in apt's cache, so that an installation needs no network.
_CACHED = ("postgresql-15", "postgresql-15-cron")
#: Starts nothing, but takes in processes whose parent has ended.
_FIRST_PROCESS = "while sleep 1; do :; done"


class CleanDebian:
    """A new Debian 12 within a `with` block."""

    def __init__(self) -> None:
        self.root = paths.run_dir() / "debian"
        self._first: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> CleanDebian:
        shell.run(["cp", "-a", ensure_base(), self.root])
        log = self.root.with_name("log")
        mounts = ["--mount", "--pid", "--fork", "--kill-child", f"--mount-proc={self.root / 'proc'}"]
        self._first = shell.start(["unshare", *mounts, "sh", "-c", _FIRST_PROCESS], log=log)
        children = Path(f"/proc/{self._first.pid}/task/{self._first.pid}/children")
        shell.wait_until(lambda: children.read_text(), "the first process of the clean Debian")
        self._enter("mount", "-t", "tmpfs", "tmpfs", self.root / "dev/shm")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._first is not None:
            # It waits for the first process inside, and does not end by other signals.
            shell.stop(self._first, with_signal=signal.SIGKILL)
        shutil.rmtree(self.root, ignore_errors=True)

    def run(self, command: str) -> str:
        """Runs a command of the shell as root, and returns what it prints."""
        done = self._enter("chroot", self.root, "sh", "-ec", command)
        return done.stdout

    def add(self, *files: Path) -> None:
        """Copies files into root's home folder, in which commands run."""
        for file in files:
            shutil.copy(file, self.root / "root")

    def files(self, pattern: str = "*ipai*") -> set[str]:
        """Returns the files whose names match, without those of apt and of root."""
        found = (path.relative_to(self.root) for folder in ("usr", "etc", "var/lib") for path in (self.root / folder).rglob(pattern))
        return {f"/{path}" for path in found if (self.root / path).is_file()}

    def _enter(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        assert self._first is not None
        spaces = f"/proc/{self._first.pid}/ns"
        # Nothing of this machine's environment but the language: a Debian has one.
        clean: dict[str, str | None] = dict.fromkeys(os.environ) | {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/root",
            "LANG": "C.UTF-8",
            "DEBIAN_FRONTEND": "noninteractive",
        }
        entered = ["nsenter", f"--mount={spaces}/mnt", f"--pid={spaces}/pid_for_children"]
        return shell.run([*entered, *command], capture=True, env=clean)


def may_mount() -> bool:
    """Returns whether this machine allows mounts of one's own; many containers do not."""
    return shell.run(["unshare", "--mount", "--pid", "--fork", "true"], check=False, capture=True).returncode == 0


def ensure_base() -> Path:
    """Returns a Debian 12 with sudo, and with PostgreSQL's packages in apt's cache."""
    if os.geteuid() != 0:
        raise RuntimeError("a Debian in a folder needs root: run the tests of the layer package with sudo")
    shell.apt_install("debootstrap")
    folder = paths.CACHE / "debian-12"

    def make() -> None:
        shell.log_progress("Creating a Debian 12 with debootstrap: 1 to 2 minutes, only once")
        folder.mkdir()
        root = folder / "root"
        included = f"--include={','.join(_INCLUDED)}"
        shell.run(["debootstrap", "--variant=minbase", included, "bookworm", root, debian.mirror()], capture=True)
        shell.run(["chroot", root, "apt-get", "-q", "-y", "install", "--download-only", *_CACHED], capture=True)

    setup.rebuild_if_changed(folder, paths.digest(*_INCLUDED, *_CACHED), make)
    return folder / "root"
