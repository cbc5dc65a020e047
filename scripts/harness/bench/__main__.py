"""Implements the benchmark's command line."""

from __future__ import annotations

import argparse

from .. import paths, setup, shell
from . import decoder, document, live, report, rounds, tenants, world
from .competitors import ALL, WITH_ADDON
from .report import Results

QUICK = 20_000


def main() -> int:
    competitors = [kind.name for kind in ALL if kind.name not in WITH_ADDON or world.addon_exists()]
    names = [*competitors, "decoder", "tenants", "live"]
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Compares ipai_sync with alternatives on temporary servers: a real Odoo, Postgres and PostgREST. Prints tables.",
    )
    parser.add_argument("--rows", type=int, metavar="N", help="number of records in Odoo (default 200,000)")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK:,} records in Odoo")
    parser.add_argument("--rounds", type=int, metavar="N", default=rounds.ROUNDS, help=f"number of rounds (default {rounds.ROUNDS})")
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", default=names, help=f"only these parts: {', '.join(names)}")
    parser.add_argument("--write", action="store_true", help="also write docs/reference/benchmarks.md")
    options = parser.parse_args()
    if options.rows is not None and (options.quick or options.rows < 1_000):
        parser.error("--rows requires a number of at least 1000, and cannot be combined with --quick")
    if options.write and (options.quick or options.only != names or options.rounds < rounds.ROUNDS):
        parser.error(f"--write requires at least {rounds.ROUNDS} rounds, and cannot be combined with --quick or --only")
    rows = options.rows or (QUICK if options.quick else 200_000)

    setup.ensure_system()
    setup.ensure_bench_venv()
    setup.ensure_node_tools()
    only = [name for name in competitors if name in options.only]
    results = Results(
        rows,
        decoder=decoder.run() if "decoder" in options.only else None,
        tenants=_tenants() if "tenants" in options.only else None,
        live=live.run() if "live" in options.only else None,
        runs=rounds.run(rows, only, options.rounds) if only else {},
    )
    print(f"\n{report.tables(results)}", flush=True)
    if options.write:
        shell.log_progress(f"Writing {document.FILE.relative_to(paths.PROJECT)}")
        document.FILE.write_text(document.text(results, options.rounds))
    return 0


def _tenants() -> dict[str, tuple[list[float], list[float]]]:
    with world.supabase() as cluster:
        return tenants.run(cluster)


if __name__ == "__main__":
    shell.run_main(main)
