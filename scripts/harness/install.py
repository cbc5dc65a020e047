"""Builds ipai_sync for one Postgres and installs it there; what `scripts/install` runs."""

from __future__ import annotations

import argparse
import dataclasses
import os
import re
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from . import extension, paths, shell
from .postgres import Installation

#: What the build needs beside Rust: the command, and Debian's packages for it.
_TOOLS = {"cc": "gcc libc6-dev", "clang": "clang libclang-dev"}

#: Versions that the tests run on.
_TESTED = (15, 17)

_EPILOG = """\
Written are only the library in pg_config's --pkglibdir, and the control file and the SQL in its --sharedir/extension; those
of an earlier version of ipai_sync are replaced. Every file is renamed into place, so a server may go on running. The network
is used for nothing but Rust's packages.

exit status:
  0  done
  1  the build failed, or Rust is missing
  2  wrong arguments, or no Postgres that ipai_sync can be built for
  3  something that the build needs is missing
  4  no permission to write where the files belong

examples:
  scripts/install /usr/lib/postgresql/15/bin/pg_config
  scripts/install /usr/lib/postgresql/17/bin/pg_config --to package    # for an image, see docs/install-supabase.md
"""


class Refused(Exception):
    """Nothing was done, and why."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(message)


def main() -> int:
    options = argparse.ArgumentParser(
        prog="scripts/install",
        description="Builds ipai_sync for one Postgres and installs it there.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_argument("pg_config", metavar="PG_CONFIG", help="the Postgres: its program pg_config")
    options.add_argument("--to", type=Path, metavar="DIR", help="write into DIR/lib and DIR/extension only, and not into the Postgres")
    options.add_argument(
        "--profile", choices=("release", "dev"), default="release", help="how cargo builds; dev is built sooner and runs slower"
    )
    given = options.parse_args()
    try:
        pg = _installation(given.pg_config)
        folders = _folders_of_package(given.to) if given.to else _folders_of(pg, given.pg_config)
        shell.log_progress(f"{pg.full_version}, {pg.pg_config}")
        _check_tools(pg)
    except Refused as refused:
        print(refused, file=sys.stderr)
        return refused.status
    if pg.major not in _TESTED:
        shell.log_progress(f"ipai_sync is not tested on PostgreSQL {pg.major}, only on {_listed(_TESTED)}")
    known = _known(pg)
    try:
        with extension.built(known or pg, given.profile, in_place=known is None) as library:
            placed = extension.place(library, *folders)
    except shell.CommandFailed as failure:
        print(f"The build failed: {failure}", file=sys.stderr)
        return 1
    except PermissionError as error:
        print(f"No permission to write {error.filename}", file=sys.stderr)
        return 4
    _report(pg, placed, given.to)
    return 0


def _installation(argument: str) -> Installation:
    """The Postgres that the argument names."""
    example = "Give the program pg_config of the Postgres, such as /usr/lib/postgresql/15/bin/pg_config."
    if Path(argument).is_dir():
        raise Refused(2, f"{argument} is a folder. {example}")
    program = shutil.which(argument)
    if not program:
        raise Refused(2, f"{argument}: there is no such program. {example}")
    pg = Installation(Path(program).absolute())
    try:
        folders = (pg.pkglibdir, pg.sharedir, pg.server_headers)
        major = pg.major
    except (OSError, KeyError, RuntimeError):
        raise Refused(2, f"{argument} does not answer as pg_config does. {example}") from None
    if not all(folder.is_absolute() for folder in folders):
        raise Refused(2, f"{argument} does not answer as pg_config does. {example}")
    if major not in extension.supported():
        raise Refused(2, f"{pg.full_version} is not supported: {extension.NAME} can be built for {_listed(extension.supported())}.")
    return pg


def _folders_of(pg: Installation, argument: str) -> tuple[Path, Path]:
    """Where the Postgres looks for libraries and for extensions; both can be written to."""
    folders = (pg.pkglibdir, pg.extension_dir)
    for folder in folders:
        if not folder.is_dir():
            raise Refused(2, f"{argument} says that extensions belong into {folder}, which is not there. Is the server itself installed?")
        if not os.access(folder, os.W_OK | os.X_OK):
            # install unlinks what is there first, as we do: cp would write into a library that a server has mapped.
            raise Refused(
                4,
                f"No permission to write into {folder}. Nothing needs root but the copying:\n"
                f"    scripts/install {argument} --to package\n"
                f"    sudo install -m 755 package/lib/* {folders[0]}/\n"
                f"    sudo install -m 644 package/extension/* {folders[1]}/",
            )
    return folders


def _folders_of_package(directory: Path) -> tuple[Path, Path]:
    """The folders of a package, made now: better to fail before the build than after it."""
    folders = (directory / "lib", directory / "extension")
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except PermissionError:
            raise Refused(4, f"No permission to make {folder}.") from None
        except OSError as error:
            raise Refused(2, f"{folder} cannot be made: {error.strerror}.") from None
        if not os.access(folder, os.W_OK | os.X_OK):
            raise Refused(4, f"No permission to write into {folder}.")
    return folders


def _check_tools(pg: Installation) -> None:
    missing = []
    if not (pg.server_headers / "postgres.h").exists():
        missing.append((f"the server's headers ({pg.server_headers / 'postgres.h'})", f"postgresql-server-dev-{pg.major}"))
    missing += [(f"the command {command}", packages) for command, packages in _TOOLS.items() if not shutil.which(command)]
    if missing:
        what = ", ".join(what for what, _ in missing)
        packages = " ".join(packages for _, packages in missing)
        raise Refused(3, f"The build needs {what}. On Debian:\n    sudo apt install {packages}")


def _known(pg: Installation) -> Installation | None:
    """The same Postgres as one that the project builds for anyway, so that cargo's work is shared; None for any other."""
    for known in (Installation.default(), Installation(paths.CACHE / "pg17/bin/pg_config")):
        if known.pg_config.exists() and known.same_build(pg):
            return dataclasses.replace(pg, origin=known)
    return None


def _report(pg: Installation, placed: list[Path], package: Path | None) -> None:
    shell.log_progress("Packaged:" if package else "Installed:")
    for path in placed:
        print(f"    {path}")
    if needs := _needs(placed[0]):
        print(f"The library needs {needs}.")
    if package:
        print(f"It is for PostgreSQL {pg.major}: lib/* belongs where its libraries are, extension/* into its SHAREDIR/extension.")
    print(
        f"Then, in a database, as a superuser:\n"
        f"    create extension {extension.NAME};           -- the first time\n"
        f"    alter extension {extension.NAME} update;     -- later\n"
        f"Sessions that use an earlier library keep it until they end."
    )


def _needs(library: Path) -> str:
    """What the library wants from the system that it is loaded on; empty where that cannot be told."""
    if not shutil.which("readelf"):
        return ""
    told = shell.run(["readelf", "--dynamic", "--version-info", "--wide", library], capture=True, check=False).stdout
    versions = [tuple(map(int, version.split("."))) for version in re.findall(r"\bGLIBC_(\d+\.\d+)", told)]
    libraries = re.findall(r"\(NEEDED\).*\[(.*)\]", told)
    if not versions or not libraries:
        return ""
    return f"glibc {'.'.join(map(str, max(versions)))} or later, and of libraries {', '.join(libraries)}"


def _listed(versions: Iterable[int]) -> str:
    return "PostgreSQL " + ", ".join(map(str, versions))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
