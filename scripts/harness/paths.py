"""Where things are kept."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from . import cleanup

# What we make is run by the service user as well, whatever our own umask would say.
os.umask(0o022)

PROJECT = Path(__file__).resolve().parents[2]


def _open_to_all(path: Path) -> bool:
    """Whether any user may traverse every folder on the way to `path` (those that exist)."""
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in (path, *path.parents) if folder.exists())


def _cache() -> Path:
    """The folder for what is worth keeping between runs: IPAI_CACHE, or `.cache` in the project.

    Servers run as another user when we are root (Postgres refuses to run as root). When that user cannot reach the project, as in a
    checkout below /root, the cache moves to /var/tmp.
    """
    chosen = os.environ.get("IPAI_CACHE")
    if chosen:
        cache = Path(chosen).resolve()
    elif os.geteuid() != 0 or _open_to_all(PROJECT):
        cache = PROJECT / ".cache"
    else:
        key = hashlib.sha256(str(PROJECT).encode()).hexdigest()[:12]
        cache = Path("/var/tmp") / f"ipai_sync-cache-{key}"
        print(f"Servers cannot read below {PROJECT}: the cache is {cache}", file=sys.stderr, flush=True)
    if not cache.exists():
        cache.mkdir(parents=True)
        cache.chmod(0o755)
    if cache.stat().st_uid != os.geteuid():
        # Programs are run from here: in /var/tmp anybody may have made the folder first.
        raise SystemExit(f"{cache} belongs to another user. Remove it, or set IPAI_CACHE to a folder of yours.")
    return cache


CACHE = _cache()

#: The variable that hands the shared folder on.
_SHARED = "IPAI_RUN_DIR"


def run_dir() -> Path:
    """A new empty folder under /tmp that every user can read; removed when the process ends.

    Processes that `share_run_dir` has started make theirs below its folder, so that it goes even if they are killed.
    """
    folder = Path(tempfile.mkdtemp(prefix="ipai_sync-", dir=os.environ.get(_SHARED, "/tmp")))
    folder.chmod(0o755)
    cleanup.on_exit(lambda: shutil.rmtree(folder, ignore_errors=True))
    return folder


def share_run_dir() -> None:
    """Lets the processes that we start make their folders below one of ours."""
    os.environ[_SHARED] = str(run_dir())


@contextlib.contextmanager
def lock(name: str) -> Iterator[None]:
    """Keeps two processes of this project from preparing the same thing in the cache at the same time."""
    with open(CACHE / f"{name}.lock", "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def digest(*contents: str | bytes | Path) -> str:
    """One short hash over texts and files, for stamps that say from which input a thing was made."""
    result = hashlib.sha256()
    for content in contents:
        data = content.read_bytes() if isinstance(content, Path) else content.encode() if isinstance(content, str) else content
        result.update(len(data).to_bytes(8, "big") + data)
    return result.hexdigest()[:16]
