"""Fetches Debian's Prometheus and its SQL exporter, without installing them as services."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from . import debian, paths, setup, shell

_PACKAGES = {
    "prometheus": debian.PinnedFile(
        "main/p/prometheus/prometheus_2.42.0+ds-5+deb12u1_amd64.deb", "81d59a24fce84f7fbe97a45a4f2914b6a5881b5cd1db2a6a0e129e515e1a5f55"
    ),
    "prometheus-sql-exporter": debian.PinnedFile(
        "main/p/prometheus-sql-exporter/prometheus-sql-exporter_0.4.5-1+b5_amd64.deb",
        "15396086ded6cafab749ce9be5018f7bb8d6dd199708c1973d97bb8c515242a0",
    ),
}


@dataclass(frozen=True)
class Prometheus:
    """The programs of both packages."""

    server: Path
    promtool: Path
    exporter: Path


def ensure_prometheus() -> Prometheus:
    """Unpacks the packages into the cache: installed, they would start services."""
    folder = paths.CACHE / "prometheus"

    def make() -> None:
        shell.log_progress("Fetching Debian's Prometheus: seconds, only once")
        work = paths.run_dir()
        suite = debian.Suite("bookworm", work / "apt")
        for package, pinned in _PACKAGES.items():
            shell.run(["dpkg-deb", "--extract", suite.download(package, work, pinned), folder])
        # Documentation and the web interface, which is not used.
        shutil.rmtree(folder / "usr/share", ignore_errors=True)
        shutil.rmtree(work)

    setup.rebuild_if_changed(folder, paths.digest(*(pinned.sha256 for pinned in _PACKAGES.values())), make)
    programs = folder / "usr/bin"
    return Prometheus(programs / "prometheus", programs / "promtool", programs / "prometheus-sql-exporter")
