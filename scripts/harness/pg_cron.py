"""Builds pg_cron 1.6, which supports intervals in seconds.

Supabase has this version; Debian 12 has 1.4, whose shortest interval is a minute.
"""

from __future__ import annotations

import shutil
import urllib.error

from . import debian, paths, setup, shell
from .postgres import Installation

_SOURCE = debian.PinnedFile("main/p/pg-cron/pg-cron_1.6.7.orig.tar.gz", "d950bc29155f31017567e23a31d268ff672e98276c0e9d062512fb7870351f03")


def install(target: Installation) -> bool:
    """Replaces the packaged pg_cron in `target`, a copy of an installation, by version 1.6.

    Returns false, without any change, if the mirror no longer has the source.
    """
    origin = target.origin or target
    files = paths.CACHE / f"pg_cron-{origin.major}"
    try:
        setup.rebuild_if_changed(files, paths.digest(_SOURCE.sha256, origin.build), lambda: _build(origin))
    except (urllib.error.URLError, TimeoutError):
        return False
    for folder, place in (("lib", target.pkglibdir), ("extension", target.extension_dir)):
        for path in (files / folder).iterdir():
            shutil.copyfile(path, place / path.name)
    return True


def _build(origin: Installation) -> None:
    work = paths.run_dir()
    archive = _SOURCE.fetch(work)
    shell.apt_install("gcc", "libpq-dev", "make")
    shell.log_progress("Building pg_cron 1.6: seconds, only once")
    shell.run(["tar", "-xf", archive, "-C", work, "--strip-components=1"])
    shell.run(
        ["make", "-s", "-C", work, f"PG_CONFIG={origin.pg_config}", "with_llvm=no"],
        # Variables of a calling make would change the build.
        env={"MAKEFLAGS": None, "MAKELEVEL": None},
        capture=True,
    )
    files = paths.CACHE / f"pg_cron-{origin.major}"
    for folder, patterns in (("lib", ["pg_cron.so"]), ("extension", ["pg_cron.control", "pg_cron--*.sql"])):
        (files / folder).mkdir(parents=True)
        for pattern in patterns:
            for path in work.glob(pattern):
                shutil.copyfile(path, files / folder / path.name)
    shutil.rmtree(work)
