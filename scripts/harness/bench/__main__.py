"""The benchmark's command line."""

from __future__ import annotations

import argparse

from .. import paths, setup, shell
from . import decoder, document, report, rounds, tenants, world
from .competitors import ALL
from .report import Results

QUICK = 20_000


def main() -> int:
    competitors = [kind.name for kind in ALL if kind.name != "addon" or world.addon_exists()]
    names = [*competitors, "decoder", "tenants"]
    options = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Measures ipai_sync beside what one would use without it, on a real Odoo, Postgres and PostgREST of its own. Prints a table.",
    )
    options.add_argument("--rows", type=int, metavar="N", help="records in Odoo (default 200,000)")
    options.add_argument("--quick", action="store_true", help=f"{QUICK:,} records in Odoo")
    options.add_argument("--rounds", type=int, metavar="N", default=rounds.ROUNDS, help="so often each; less than 3 are for trying it out")
    options.add_argument("--only", nargs="+", choices=names, metavar="NAME", default=names, help=f"only these: {', '.join(names)}")
    options.add_argument("--write", action="store_true", help="write docs/benchmarks.md, too")
    chosen = options.parse_args()
    if chosen.rows is not None and (chosen.quick or chosen.rows < 1_000):
        options.error("--rows takes a number from 1000 on, and goes without --quick")
    if chosen.write and (chosen.quick or chosen.only != names or chosen.rounds < rounds.ROUNDS):
        options.error(f"--write is for a whole run of {rounds.ROUNDS} rounds: it goes without --quick and --only")
    rows = chosen.rows or (QUICK if chosen.quick else 200_000)

    setup.ensure_system()
    setup.ensure_bench_venv()
    setup.ensure_node_tools()
    only = [name for name in competitors if name in chosen.only]
    results = Results(
        rows,
        decoder=decoder.run() if "decoder" in chosen.only else None,
        tenants=_tenants() if "tenants" in chosen.only else None,
        runs=rounds.run(rows, only, chosen.rounds) if only else {},
    )
    print(f"\n{report.tables(results)}", flush=True)
    if chosen.write:
        shell.log_progress(f"Writing {document.FILE.relative_to(paths.PROJECT)}")
        document.FILE.write_text(document.text(results, chosen.rounds))
    return 0


def _tenants() -> dict[str, tuple[list[float], list[float]]]:
    with world.supabase() as cluster:
        return tenants.run(cluster)


if __name__ == "__main__":
    shell.run_main(main)
