"""Runs the tests that take long: simulations, a thousand cancels, large tables, soak and fuzzing,
and those on further versions of PostgreSQL: the usual end-to-end and dashboard tests on 17, the
main job on 16 and 18.

`scripts/nightly` runs it. It writes a page with the results. A failed part does not prevent the
others from running.
"""

from __future__ import annotations

import argparse
import functools
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from . import extension, paths, setup, shell, test
from .totals import Totals

PAGE = paths.CACHE / "nightly.md"


@dataclass(frozen=True)
class Result:
    part: str
    passed: bool
    seconds: float
    #: The last lines that the part printed, or its whole output if it failed.
    output: str


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/nightly", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--soak",
        type=float,
        default=30,
        metavar="MINUTES",
        help="time with the addon, with a follower, and without the addon (default 30 each)",
    )
    parser.add_argument("--fuzz", type=float, default=60, metavar="MINUTES", help="time for all fuzz targets together (default 60)")
    parser.add_argument("--page", type=Path, default=PAGE, metavar="FILE", help=f"file for the results (default {PAGE})")
    parser.add_argument("--only", metavar="TEXT", help="run only the parts whose name contains TEXT, such as 'PostgreSQL 17'")
    parser.add_argument("--without", metavar="TEXT", help="omit the parts whose name contains TEXT")
    options = parser.parse_args()
    setup.ensure_system()
    parts: dict[str, Callable[[], Totals]] = {
        "slow tests": lambda: test.end_to_end((), slow=True),
        "end to end on PostgreSQL 17": lambda: test.end_to_end((), major=17),
        "dashboard on PostgreSQL 17": lambda: test.dashboard_layer((), major=17),
        **{
            f"main job on PostgreSQL {major}": functools.partial(test.end_to_end, ("test_versions.py",), major=major)
            for major in extension.supported()
            if major not in (15, 17)
        },
        "packages for every PostgreSQL": lambda: test.package((), slow=True),
        **{f"layer {name}": functools.partial(layer.run, ()) for name, layer in test.LAYERS.items() if layer.nightly},
        f"soak of {options.soak:g} minutes, with the addon": lambda: _script("soak", "--minutes", f"{options.soak:g}"),
        f"soak of {options.soak:g} minutes, with a follower": lambda: _script("soak", "--minutes", f"{options.soak:g}", "--live"),
        f"soak of {options.soak:g} minutes, without the addon": lambda: _script("soak", "--minutes", f"{options.soak:g}", "--no-addon"),
        f"fuzzing of {options.fuzz:g} minutes": lambda: _script("fuzz", "--minutes", f"{options.fuzz:g}"),
    }
    parts = {
        part: run
        for part, run in parts.items()
        if (options.only is None or options.only in part) and (options.without is None or options.without not in part)
    }
    if not parts:
        parser.error("no part has such a name")
    results = []
    for part, run in parts.items():
        shell.log_progress(f"== {part}")
        began = time.monotonic()
        try:
            totals = run()
        except Exception as error:
            totals = Totals(0, 1, f"{type(error).__name__}: {error}")
        results.append(Result(part, totals.failed == 0 and totals.passed > 0, time.monotonic() - began, _summary(totals)))
        _write(options.page, results)
        shell.log_progress(f"== {part}: {'passed' if results[-1].passed else 'FAILED'}")
    print(options.page.read_text())
    return 0 if all(result.passed for result in results) else 1


def _script(name: str, *options: str) -> Totals:
    done = shell.run([paths.PROJECT / "scripts" / name, *options], check=False, capture=True)
    return Totals(int(done.returncode == 0), int(done.returncode != 0), done.stdout + done.stderr)


def _summary(totals: Totals) -> str:
    if totals.failed:
        return totals.output.strip() or f"{totals.passed} passed, {totals.failed} failed"
    # Progress messages begin with the time.
    lines = [line for line in totals.output.splitlines() if line.strip() and not line.startswith("[")]
    return "\n".join(lines[-15:]) or f"{totals.passed} passed"


def _write(page: Path, results: list[Result]) -> None:
    commit = shell.run(["git", "rev-parse", "--short", "HEAD"], cwd=paths.PROJECT, capture=True, check=False).stdout.strip()
    lines = [
        "# Nightly results",
        "",
        f"Commit {commit}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {platform.machine()}. Written by `scripts/nightly`.",
        "",
        "| part | result | minutes |",
        "|---|---|---|",
        *(f"| {result.part} | {'passed' if result.passed else '**failed**'} | {result.seconds / 60:.1f} |" for result in results),
    ]
    for result in results:
        lines += ["", f"## {result.part[0].upper()}{result.part[1:]}", "", "```", result.output, "```"]
    page.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    shell.run_main(main)
