"""Fetches packages of other Debian releases without changing the machine's apt configuration.

Uses the Debian mirror that the machine already uses. apt checks signatures and hashes with Debian's
own keyring. If the mirror does not have a file that its index lists, a pinned file with a known
hash is fetched instead.
"""

from __future__ import annotations

import hashlib
import platform
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from . import shell

_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def mirror() -> str:
    """Returns the Debian mirror of the machine's own apt sources."""
    release = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    targets = shell.run(
        ["apt-get", "indextargets", "--format", "$(RELEASE) $(REPO_URI)", "Created-By: Packages", "Component: main"], capture=True
    ).stdout
    for line in targets.splitlines():
        name, _, uri = line.partition(" ")
        if name == release:
            return uri
    raise RuntimeError(f"apt has no source for Debian {release}: the scripts require Debian 12 (see README)")


@dataclass(frozen=True)
class PinnedFile:
    """A file of Debian's package pool with a known hash.

    It is the fallback when a mirror's index is newer than its files.
    """

    #: Relative to the mirror's folder `pool`.
    path: str
    sha256: str

    def fetch(self, into: Path) -> Path:
        """Fetches the file, independent of the mirror's index."""
        target = into / self.path.rpartition("/")[2]
        digest = hashlib.sha256()
        with urllib.request.urlopen(f"{mirror().rstrip('/')}/pool/{self.path}", timeout=600) as answer, open(target, "wb") as file:
            while block := answer.read(1 << 20):
                digest.update(block)
                file.write(block)
        if digest.hexdigest() != self.sha256:
            target.unlink()
            raise RuntimeError(f"{self.path} has an unexpected SHA-256: {digest.hexdigest()}")
        return target


class Suite:
    """A Debian release (such as `trixie`) with separate apt state below `directory`."""

    def __init__(self, name: str, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "lists/partial").mkdir(parents=True, exist_ok=True)
        (directory / "cache/archives/partial").mkdir(parents=True, exist_ok=True)
        uri = mirror()
        sources = directory / "sources.list"
        sources.write_text("".join(f"{kind} [signed-by={_KEYRING}] {uri} {name} main\n" for kind in ("deb", "deb-src")))
        options = {
            "Dir::Etc::SourceList": sources,
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::State::Lists": directory / "lists",
            "Dir::State::Status": "/dev/null",
            "Dir::Cache": directory / "cache",
            "Acquire::Languages": "none",
            # A mirror of a rolling release may be out of date.
            "Acquire::Check-Valid-Until": "false",
            # apt's sandbox user cannot write into these folders.
            "APT::Sandbox::User": "root",
        }
        self._apt = ["apt-get", "-q", *(word for key, value in options.items() for word in ("-o", f"{key}={value}"))]
        shell.run([*self._apt, "update"], capture=True)

    def download(self, package: str, into: Path, pinned: PinnedFile) -> Path:
        """Downloads the newest .deb of the package, or the pinned one, without installing it."""
        return self._fetch(["download", package], into, f"{package}_*.deb", pinned)

    def download_source(self, package: str, into: Path, pinned: PinnedFile) -> Path:
        """Downloads the newest source of the package, or the pinned one; returns its archive."""
        return self._fetch(["source", "--download-only", package], into, f"{package}_*.orig.tar.*", pinned)

    def _fetch(self, command: list[str], into: Path, pattern: str, pinned: PinnedFile) -> Path:
        try:
            shell.run([*self._apt, *command], cwd=into, capture=True)
        except shell.CommandFailed as failure:
            shell.log_progress(f"The mirror lacks a file of its index: using {pinned.path} instead")
            try:
                return pinned.fetch(into)
            except (urllib.error.URLError, TimeoutError) as error:
                raise failure from error
        return next(into.glob(pattern))
