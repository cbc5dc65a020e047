"""Packages of other Debian releases, fetched through apt without touching the machine's own apt configuration.

The mirror is the one that the machine uses already; signatures and hashes are checked by apt, with Debian's own keyring.
"""

from __future__ import annotations

import platform
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

    def download(self, package: str, into: Path) -> Path:
        """Fetches the package's .deb, neither installed nor unpacked."""
        shell.run([*self._apt, "download", package], cwd=into, capture=True)
        return next(into.glob(f"{package}_*.deb"))

    def download_source(self, package: str, into: Path) -> Path:
        """Fetches the package's source and returns its original (upstream) archive."""
        shell.run([*self._apt, "source", "--download-only", package], cwd=into, capture=True)
        return next(into.glob(f"{package}_*.orig.tar.*"))
