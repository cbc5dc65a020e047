"""Builds ipai_sync for one Postgres and installs it there; `scripts/install` runs it."""

from __future__ import annotations

import argparse
import dataclasses
import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from . import extension, shell, versions
from .postgres import Installation

#: What the build needs besides Rust: commands, and the Debian packages that contain them.
_TOOLS = {"cc": "gcc libc6-dev", "clang": "clang libclang-dev"}

_EPILOG = """\
It writes only the library in pg_config's --pkglibdir, and the control file and the SQL in its --sharedir/extension.
It replaces the files of an earlier version of ipai_sync. Every file is renamed into place, so the server can keep
running. It uses the network only for Rust's packages.

exit status:
  0  done
  1  the build failed, or Rust is missing
  2  invalid arguments, or a Postgres that ipai_sync cannot be built for
  3  a build dependency is missing
  4  no permission to write to the target folders

examples:
  scripts/install /usr/lib/postgresql/15/bin/pg_config
  scripts/install /usr/lib/postgresql/17/bin/pg_config --to package    # for an image, see docs/how-to/install-supabase.md
"""


class Refused(Exception):
    """The script refuses to start the build; the message says why."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(message)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/install",
        description="Builds ipai_sync for one Postgres and installs it there.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("pg_config", metavar="PG_CONFIG", help="the program pg_config of the Postgres")
    parser.add_argument("--to", type=Path, metavar="DIR", help="write into DIR/lib and DIR/extension instead of the Postgres")
    parser.add_argument(
        "--profile", choices=("release", "dev"), default="release", help="cargo's profile; dev builds faster and runs slower"
    )
    options = parser.parse_args()
    try:
        pg = _installation(options.pg_config)
        folders = _package_folders(options.to) if options.to else _server_folders(pg, options.pg_config)
        shell.log_progress(f"{pg.full_version}, {pg.pg_config}")
        _check_tools(pg)
    except Refused as refused:
        print(refused, file=sys.stderr)
        return refused.status
    shared = _with_shared_build(pg)
    try:
        with extension.built(shared or pg, options.profile, in_place=shared is None) as library:
            installed = extension.place(library, *folders)
    except shell.CommandFailed as failure:
        print(f"The build failed: {failure}", file=sys.stderr)
        return 1
    except PermissionError as error:
        print(f"No permission to write {error.filename}", file=sys.stderr)
        return 4
    _report(pg, installed, options.to)
    return 0


def _installation(argument: str) -> Installation:
    """Returns the Postgres whose pg_config the argument names."""
    example = "Pass the path of the program pg_config, such as /usr/lib/postgresql/15/bin/pg_config."
    if Path(argument).is_dir():
        raise Refused(2, f"{argument} is a folder. {example}")
    program = shutil.which(argument)
    if not program:
        raise Refused(2, f"{argument} does not exist or is not executable. {example}")
    pg = Installation(Path(program).absolute())
    try:
        folders = (pg.pkglibdir, pg.sharedir, pg.server_headers)
        major = pg.major
    except (OSError, KeyError, RuntimeError):
        raise Refused(2, f"{argument} is not a pg_config program. {example}") from None
    if not all(folder.is_absolute() for folder in folders):
        raise Refused(2, f"{argument} is not a pg_config program. {example}")
    if major not in extension.supported():
        raise Refused(2, f"{pg.full_version} is not supported: {extension.NAME} can be built for {_version_list(extension.supported())}.")
    return pg


def _server_folders(pg: Installation, argument: str) -> tuple[Path, Path]:
    """Returns the folders for libraries and extensions, and checks that they are writable."""
    folders = (pg.pkglibdir, pg.extension_dir)
    for folder in folders:
        if not folder.is_dir():
            raise Refused(2, f"{argument} names {folder} as a folder for extensions, but it does not exist. Is the server installed?")
        if not os.access(folder, os.W_OK | os.X_OK):
            # install unlinks an existing file first, as this script does. cp would overwrite the
            # library that a running server has mapped.
            raise Refused(
                4,
                f"No permission to write into {folder}. Only copying the files needs root:\n"
                f"    scripts/install {argument} --to package\n"
                f"    sudo install -m 755 package/lib/* {folders[0]}/\n"
                f"    sudo install -m 644 package/extension/* {folders[1]}/",
            )
    return folders


def _package_folders(directory: Path) -> tuple[Path, Path]:
    """Creates the folders of a package before the build, so that an error appears early."""
    folders = (directory / "lib", directory / "extension")
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except PermissionError:
            raise Refused(4, f"No permission to create {folder}.") from None
        except OSError as error:
            raise Refused(2, f"Cannot create {folder}: {error.strerror}.") from None
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


def _with_shared_build(pg: Installation) -> Installation | None:
    """Links this Postgres to the project's own copy of the same build, or returns None.

    cargo's work is then shared with the builds for the tests.
    """
    made = [Installation(versions.prefix_of(major) / "bin/pg_config") for major in extension.supported() if major > 15]
    for known in (Installation.default(), *made):
        if known.pg_config.exists() and known.same_build(pg):
            return dataclasses.replace(pg, origin=known)
    return None


def _report(pg: Installation, installed: list[Path], package: Path | None) -> None:
    shell.log_progress("Packaged:" if package else "Installed:")
    for path in installed:
        print(f"    {path}")
    if needs := extension.needs(installed[0]):
        print(f"The library requires glibc {needs.glibc} or later, and the libraries {', '.join(needs.libraries)}.")
    if package:
        print(f"For PostgreSQL {pg.major}: copy lib/* into its PKGLIBDIR, and extension/* into its SHAREDIR/extension.")
    print(
        f"Then run in a database, as a superuser:\n"
        f"    create extension {extension.NAME};           -- the first time\n"
        f"    alter extension {extension.NAME} update;     -- after an update\n"
        f"Sessions that have loaded an earlier library keep it until they end."
    )


def _version_list(versions: Iterable[int]) -> str:
    return "PostgreSQL " + ", ".join(map(str, versions))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
