"""Builds extensions of other projects for an installation of Postgres, from Debian's sources."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from . import debian, paths, setup, shell
from .postgres import Installation


@dataclass(frozen=True)
class ServerExtension:
    name: str
    source: debian.PinnedFile


#: Version 1.6, as Supabase has it, supports intervals in seconds. Debian 12 has 1.4, whose shortest
#: interval is a minute.
PG_CRON = ServerExtension(
    "pg_cron",
    debian.PinnedFile("main/p/pg-cron/pg-cron_1.6.7.orig.tar.gz", "d950bc29155f31017567e23a31d268ff672e98276c0e9d062512fb7870351f03"),
)
#: The output plugin that Realtime uses.
WAL2JSON = ServerExtension(
    "wal2json",
    debian.PinnedFile("main/w/wal2json/wal2json_2.6.orig.tar.gz", "18b4bdec28c74a8fc98a11c72de38378a760327ef8e5e42e975b0029eb96ba0d"),
)


def install(extension: ServerExtension, target: Installation) -> None:
    """Installs the extension into `target`, and replaces a packaged one."""
    origin = target.origin or target
    files = paths.CACHE / f"{extension.name}-{origin.major}"
    setup.rebuild_if_changed(files, paths.digest(extension.source.sha256, origin.build), lambda: _build(extension, origin, files))
    for folder, place in (("lib", target.pkglibdir), ("extension", target.extension_dir)):
        for path in (files / folder).iterdir():
            shutil.copyfile(path, place / path.name)


def _build(extension: ServerExtension, origin: Installation, files: Path) -> None:
    work = paths.run_dir()
    archive = extension.source.fetch(work)
    shell.apt_install("gcc", "libpq-dev", "make")
    shell.log_progress(f"Building {extension.name} for PostgreSQL {origin.major}: seconds, only once")
    shell.run(["tar", "-xf", archive, "-C", work, "--strip-components=1"])
    shell.run(
        ["make", "-s", "-C", work, f"PG_CONFIG={origin.pg_config}", "with_llvm=no"],
        # Variables of a calling make would change the build.
        env={"MAKEFLAGS": None, "MAKELEVEL": None},
        capture=True,
    )
    patterns = {"lib": [f"{extension.name}.so"], "extension": [f"{extension.name}.control", f"{extension.name}--*.sql"]}
    for folder, names in patterns.items():
        (files / folder).mkdir(parents=True)
        for path in (path for name in names for path in work.glob(name)):
            shutil.copyfile(path, files / folder / path.name)
    shutil.rmtree(work)
