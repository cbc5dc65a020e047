"""Runs the real Supabase CLI against a local cluster, without Docker and without an account."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from . import paths, postgres, setup, shell


def push(cluster: postgres.Cluster, *, seed: bool = True, user: str = "postgres", dbname: str = "postgres") -> str:
    """Applies the migrations and the seed like `supabase db push`, and returns the CLI's output.

    The CLI runs in a copy of the project, because it writes files into the folder `supabase`.
    """
    root = paths.run_dir()
    shutil.copytree(paths.PROJECT / "supabase", root / "supabase", symlinks=True)
    shutil.copytree(paths.PROJECT / "migrations", root / "migrations")
    try:
        result = _run(cluster, root, ["db", "push", "--yes", *(["--include-seed"] if seed else [])], user, dbname)
    finally:
        shutil.rmtree(root)
    return result.stdout + result.stderr


def types(cluster: postgres.Cluster, *, schema: str = "ipai", user: str = "postgres", dbname: str = "postgres") -> str:
    """Returns the TypeScript types of a schema, as `supabase gen types typescript` prints them."""
    root = paths.run_dir()
    try:
        return _run(cluster, root, ["gen", "types", "typescript", "--schema", schema], user, dbname).stdout
    finally:
        shutil.rmtree(root)


def _run(cluster: postgres.Cluster, root: Path, command: list[str], user: str, dbname: str) -> subprocess.CompletedProcess[str]:
    # The CLI requires a password in the address, even if the server does not ask for one.
    address = cluster.dsn(dbname, user).replace(f"//{user}@", f"//{user}:none@")
    # Without the user's own settings and login, and without outgoing connections.
    ours: dict[str, str | None] = {name: None for name in os.environ if name.startswith("SUPABASE_")}
    ours |= {"HOME": str(root), "SUPABASE_TELEMETRY_DISABLED": "1", "SUPABASE_NO_UPDATE_NOTIFIER": "1"}
    return shell.run(
        [setup.ensure_node_tools().supabase, *command, "--workdir", root, f"--remote={address}"],
        capture=True,
        env={**postgres.client_environment(), **ours},
    )
