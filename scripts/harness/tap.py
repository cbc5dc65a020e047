"""The pgTAP tests in supabase/tests, run by pg_prove as the Supabase CLI runs them (`supabase test db` itself needs Docker)."""

from __future__ import annotations

import re

from . import paths, postgres, shell
from .totals import Totals

TESTS = paths.PROJECT / "supabase/tests"
MIGRATIONS = paths.PROJECT / "migrations"
SEED = paths.PROJECT / "supabase/seed.sql"


def run_in(cluster: postgres.Cluster, *, dbname: str = "postgres", user: str = "postgres") -> Totals:
    """Runs all pgTAP files in a database that has Supabase's roles and the migrations."""
    # pgTAP is no trusted extension; on Supabase it is one that `postgres` may create.
    cluster.psql("create extension if not exists pgtap with schema extensions", dbname=dbname)
    prove = shell.run(
        [
            *("pg_prove", "--verbose", "--nocolor", "--psql-bin", cluster.installation.bindir / "psql"),
            *("--host", cluster.host, "--port", str(cluster.port), "--username", user, "--dbname", dbname),
            *("--ext", ".sql", "--recurse", TESTS),
        ],
        check=False,
        capture=True,
        env=postgres.client_environment(),
    )
    passed = len(re.findall(r"^ok \d", prove.stdout, re.MULTILINE))
    failed = len(re.findall(r"^not ok \d", prove.stdout, re.MULTILINE))
    if prove.returncode != 0:
        # A file that ends early, or counts wrong, fails without a failed test.
        failed = max(failed, 1)
    return Totals(passed, failed, prove.stdout + prove.stderr)


def run(installation: postgres.Installation) -> Totals:
    """Runs all pgTAP files in a new Supabase cluster, with the migrations and the seed applied by psql."""
    with postgres.supabase_cluster(installation) as cluster:
        for migration in sorted(MIGRATIONS.glob("*.sql")):
            cluster.psql_file(migration, user="postgres", one_transaction=True)
        cluster.psql_file(SEED, user="postgres")
        return run_in(cluster)
