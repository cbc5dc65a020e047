"""Builds pg_cron 1.6, which Supabase has; Debian 12 packages 1.4, which knows no schedule below a minute."""

from __future__ import annotations

import shutil
import urllib.error

from . import debian, paths, setup, shell
from .postgres import Installation

_SOURCE = debian.Known("main/p/pg-cron/pg-cron_1.6.7.orig.tar.gz", "d950bc29155f31017567e23a31d268ff672e98276c0e9d062512fb7870351f03")


def install(target: Installation) -> bool:
    """Installs pg_cron 1.6 in `target`, a copy of an installation, in place of the packaged version.

    Returns false, and changes nothing, if the mirror no longer has the source.
    """
    origin = target.origin or target
    files = paths.CACHE / f"pg_cron-{origin.major}"
    try:
        setup.once(files, paths.digest(_SOURCE.sha256, origin.build), lambda: _build(origin))
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
    shell.say("Building pg_cron 1.6: seconds, only this once")
    shell.run(["tar", "-xf", archive, "-C", work, "--strip-components=1"])
    shell.run(
        ["make", "-s", "-C", work, f"PG_CONFIG={origin.pg_config}", "with_llvm=no"],
        # Variables of make itself would change what is built.
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
