"""Checks format, lint, types and line lengths of everything; `scripts/check` runs it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from . import addons, extension, paths, postgres, setup, shell


def main() -> int:
    setup.ensure_system()
    python = setup.ensure_venv()
    pg15 = postgres.Installation.default()
    failed = []
    steps: list[tuple[str, list[str | Path], Mapping[str, str | None]]] = [
        ("format of the Rust code", ["cargo", "fmt", "--all", "--check"], {}),
        ("format of the fuzz targets", ["cargo", "fmt", "--check", "--manifest-path", "fuzz/Cargo.toml"], {}),
        ("format of the benchmark of the decoder", ["cargo", "fmt", "--check", "--manifest-path", "benches/Cargo.toml"], {}),
        (
            # Includes the code that is compiled only for Postgres or only for tests.
            "lint of the Rust code",
            ["cargo", "clippy", "-q", "--workspace", "--all-targets", *extension.test_features(pg15), "--", "-D", "warnings"],
            extension.environment(pg15),
        ),
        ("format of the Python code", [python, "-m", "ruff", "format", "--check", "-q", "."], {}),
        ("lint of the Python code", [python, "-m", "ruff", "check", "-q", "."], {}),
        ("types of the Python code", [python, "-m", "mypy", "--no-error-summary"], {}),
        (
            # Its settings are in addons/.pylintrc.
            "Odoo modules",
            [setup.ensure_addons_venv(), "-m", "pylint", "--rcfile=addons/.pylintrc", *sorted(addons.SOURCE.glob("*/"))],
            {},
        ),
        # Its settings are in .squawk.toml.
        ("lint of the SQL", [python.with_name("squawk"), *_sql_files()], {}),
        ("workflows and shell scripts", [python, "-m", "harness.workflows"], {"PYTHONPATH": "scripts"}),
        ("form of the changelog", [python, "-m", "harness.changelog"], {"PYTHONPATH": "scripts"}),
        ("length of lines of prose", [python, "-m", "harness.prose"], {"PYTHONPATH": "scripts"}),
    ]
    for what, command, env in steps:
        shell.log_progress(f"Checking the {what}")
        if shell.run(command, cwd=paths.PROJECT, env=env, check=False).returncode != 0:
            failed.append(what)
    for what in failed:
        print(f"not in order: the {what}")
    return 1 if failed else 0


def _sql_files() -> list[Path]:
    """Returns the SQL files of the extension and the migrations.

    The linter refuses pgTAP's files, because they begin their own transactions.
    """
    patterns = ("sql/**/*.sql", "migrations/*.sql", "supabase/*.sql", "apps/*/sql/*.sql")
    return [path for pattern in patterns for path in sorted(paths.PROJECT.glob(pattern))]


if __name__ == "__main__":
    sys.exit(main())
