"""The real Supabase CLI against a cluster of ours. It needs neither Docker nor an account for that."""

from __future__ import annotations

import os
import shutil

from . import paths, postgres, setup, shell


def push(cluster: postgres.Cluster, *, seed: bool = True, user: str = "postgres", dbname: str = "postgres") -> str:
    """Applies the project's migrations, and its seed, as `supabase db push` from the repository's root does; returns what it prints.

    The CLI works on a copy, because it leaves files in the folder `supabase`.
    """
    root = paths.run_dir()
    shutil.copytree(paths.PROJECT / "supabase", root / "supabase", symlinks=True)
    shutil.copytree(paths.PROJECT / "migrations", root / "migrations")
    # The CLI wants to see a password, even where the server asks for none.
    address = cluster.dsn(dbname, user).replace(f"//{user}@", f"//{user}:none@")
    command = [str(setup.ensure_node_tools().supabase), "db", "push", "--workdir", str(root), "--yes", f"--remote={address}"]
    # Without the user's own settings and login, and without calling out.
    ours: dict[str, str | None] = {name: None for name in os.environ if name.startswith("SUPABASE_")}
    ours |= {"HOME": str(root), "SUPABASE_TELEMETRY_DISABLED": "1", "SUPABASE_NO_UPDATE_NOTIFIER": "1"}
    try:
        result = shell.run([*command, *(["--include-seed"] if seed else [])], capture=True, env={**postgres.client_environment(), **ours})
    finally:
        shutil.rmtree(root)
    return result.stdout + result.stderr
