"""Packages of other Debian releases, fetched through apt without touching the machine's own apt configuration.

The mirror is the one that the machine uses already; signatures and hashes are checked by apt, with Debian's own keyring. Where the mirror does not have
what it lists, a file whose hash stands in the scripts is taken in its place.
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
    """The Debian mirror that this machine's apt sources name."""
    release = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    targets = shell.run(
        ["apt-get", "indextargets", "--format", "$(RELEASE) $(REPO_URI)", "Created-By: Packages", "Component: main"], capture=True
    ).stdout
    for line in targets.splitlines():
        name, _, uri = line.partition(" ")
        if name == release:
            return uri
    raise RuntimeError(f"apt has no source for Debian {release}: the scripts are made for Debian 12 (see README)")


@dataclass(frozen=True)
class PinnedFile:
    """A file of Debian's pool as it is known to be: a mirror's list may be days ahead of its files, and names a version that is not there yet."""

    #: Below the mirror's folder `pool`.
    path: str
    sha256: str

    def fetch(self, into: Path) -> Path:
        """Fetches it, whatever the mirror's list says."""
        shell.log_progress(f"The mirror does not have what it lists: taking {self.path} instead")
        target = into / self.path.rpartition("/")[2]
        digest = hashlib.sha256()
        with urllib.request.urlopen(f"{mirror().rstrip('/')}/pool/{self.path}", timeout=600) as answer, open(target, "wb") as file:
            while block := answer.read(1 << 20):
                digest.update(block)
                file.write(block)
        if digest.hexdigest() != self.sha256:
            target.unlink()
            raise RuntimeError(f"{self.path} is not the file that it should be: its SHA-256 is {digest.hexdigest()}")
        return target


class Suite:
    """One Debian release (such as `trixie`) with an apt state of its own below `directory`."""

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
            # A mirror may serve a rolling release somewhat late.
            "Acquire::Check-Valid-Until": "false",
            # apt's own sandbox user cannot write into our folders.
            "APT::Sandbox::User": "root",
        }
        self._apt = ["apt-get", "-q", *(word for key, value in options.items() for word in ("-o", f"{key}={value}"))]
        shell.run([*self._apt, "update"], capture=True)

    def download(self, package: str, into: Path, known: PinnedFile) -> Path:
        """Fetches the package's .deb, neither installed nor unpacked: the newest one, else the known one."""
        return self._fetch(["download", package], into, f"{package}_*.deb", known)

    def download_source(self, package: str, into: Path, known: PinnedFile) -> Path:
        """Fetches the package's source and returns its original (upstream) archive: the newest one, else the known one."""
        return self._fetch(["source", "--download-only", package], into, f"{package}_*.orig.tar.*", known)

    def _fetch(self, command: list[str], into: Path, pattern: str, known: PinnedFile) -> Path:
        try:
            shell.run([*self._apt, *command], cwd=into, capture=True)
        except shell.CommandFailed as failure:
            try:
                return known.fetch(into)
            except (urllib.error.URLError, TimeoutError) as error:
                raise failure from error
        return next(into.glob(pattern))
