"""Runs the pgTAP tests in supabase/tests with pg_prove.

The Supabase CLI also runs them with pg_prove, but `supabase test db` needs Docker.
"""

from __future__ import annotations

from collections.abc import Sequence

from . import paths, postgres, shell
from .totals import Totals

TESTS = paths.PROJECT / "supabase/tests"
MIGRATIONS = paths.PROJECT / "migrations"
SEED = paths.PROJECT / "supabase/seed.sql"


def run_in(cluster: postgres.Cluster, words: Sequence[str] = (), *, dbname: str = "postgres", user: str = "postgres") -> Totals:
    """Runs the pgTAP files in a database that has Supabase's roles and the migrations.

    words: run only the files whose path or text contains one of these words
    """
    # pgTAP is not a trusted extension. On Supabase, `postgres` may create it nevertheless.
    cluster.psql("create extension if not exists pgtap with schema extensions", dbname=dbname)
    files = [file for file in sorted(TESTS.rglob("*.sql")) if not words or any(word in str(file) + file.read_text() for word in words)]
    if not files:
        return Totals(0, 0, "")
    prove = shell.run(
        [
            *("pg_prove", "--nocolor", "--formatter", "TAP::Formatter::JUnit", "--psql-bin", cluster.installation.bindir / "psql"),
            *("--host", cluster.host, "--port", str(cluster.port), "--username", user, "--dbname", dbname),
            *files,
        ],
        check=False,
        capture=True,
        env=postgres.client_environment(),
    )
    return Totals.of_junit(prove.stdout, prove.returncode, prove.stdout + prove.stderr)


def run(installation: postgres.Installation, words: Sequence[str] = ()) -> Totals:
    """Runs the pgTAP files in a new Supabase cluster with the migrations and the seed."""
    with postgres.supabase_cluster(installation) as cluster:
        for migration in sorted(MIGRATIONS.glob("*.sql")):
            cluster.psql_file(migration, user="postgres", one_transaction=True)
        cluster.psql_file(SEED, user="postgres")
        return run_in(cluster, words)
