"""Defines the locations of the project, the cache and temporary folders."""

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

# The service user must be able to read all created files, independent of the caller's umask.
os.umask(0o022)

PROJECT = Path(__file__).resolve().parents[2]


def _open_to_all(path: Path) -> bool:
    """Returns whether every user may traverse all existing folders of `path`."""
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in (path, *path.parents) if folder.exists())


def _cache() -> Path:
    """Returns the folder of the cache: IPAI_CACHE, or `.cache` in the project.

    When the scripts run as root, servers run as another user, because Postgres refuses to run as
    root. If that user cannot reach the project, for instance in a checkout below /root, the cache
    is in /var/tmp.
    """
    chosen = os.environ.get("IPAI_CACHE")
    if chosen:
        cache = Path(chosen).resolve()
    elif os.geteuid() != 0 or _open_to_all(PROJECT):
        cache = PROJECT / ".cache"
    else:
        key = hashlib.sha256(str(PROJECT).encode()).hexdigest()[:12]
        cache = Path("/var/tmp") / f"ipai_sync-cache-{key}"
        print(f"Servers cannot read {PROJECT}; using the cache {cache}", file=sys.stderr, flush=True)
    if not cache.exists():
        cache.mkdir(parents=True)
        cache.chmod(0o755)
    if cache.stat().st_uid != os.geteuid():
        # Programs are run from the cache, and every user can create a folder in /var/tmp.
        raise SystemExit(f"{cache} belongs to another user. Remove it, or set IPAI_CACHE to your own folder.")
    return cache


CACHE = _cache()

#: The environment variable that passes the shared folder to subprocesses.
_SHARED = "IPAI_RUN_DIR"


def run_dir() -> Path:
    """Creates an empty folder that every user can read, and removes it when the process ends.

    It is below /tmp, or below the folder of `share_run_dir` in subprocesses of a process that
    called it. The parent then removes it even if the subprocess is killed.
    """
    folder = Path(tempfile.mkdtemp(prefix="ipai_sync-", dir=os.environ.get(_SHARED, "/tmp")))
    folder.chmod(0o755)
    cleanup.on_exit(lambda: shutil.rmtree(folder, ignore_errors=True))
    return folder


def share_run_dir() -> None:
    """Makes subprocesses create their temporary folders below a folder of this process."""
    os.environ[_SHARED] = str(run_dir())


@contextlib.contextmanager
def lock(name: str) -> Iterator[None]:
    """Serialises processes of this project that prepare the same entry of the cache."""
    with open(CACHE / f"{name}.lock", "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def digest(*contents: str | bytes | Path) -> str:
    """Returns a short hash of texts and files, which identifies the input of a build."""
    result = hashlib.sha256()
    for content in contents:
        data = content.read_bytes() if isinstance(content, Path) else content.encode() if isinstance(content, str) else content
        result.update(len(data).to_bytes(8, "big") + data)
    return result.hexdigest()[:16]
