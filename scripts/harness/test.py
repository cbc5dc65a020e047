"""Every test there is, a layer at a time; what `scripts/test` runs.

Closes on a line `N passed, N failed` that adds up all layers. A skipped test counts as failed: it has shown nothing.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Sequence

from . import dashboard, extension, fuzz, odoo, paths, postgres, setup, shell, tap
from .totals import Totals

#: Where the in-server tests are. The crate's other tests need no server, and are layer `pure`.
IN_SERVER = "pg::in_server_tests"


def pure() -> Totals:
    """The rooms that need no Postgres, and the recorded answers of real Odoo servers."""
    tests = shell.run(
        ["cargo", "test", "--no-default-features", "--no-fail-fast"],
        cwd=paths.PROJECT,
        env={"CARGO_TERM_COLOR": "never"},
        check=False,
        capture=True,
    )
    results = re.findall(r"^test result: .*?(\d+) passed; (\d+) failed; (\d+) ignored", tests.stdout, re.MULTILINE)
    passed, failed, ignored = (sum(int(result[index]) for result in results) for index in range(3))
    failed += ignored
    return Totals(passed, max(failed, 1) if tests.returncode else failed, tests.stdout + tests.stderr)


def server15() -> Totals:
    """Inside of PostgreSQL 15."""
    return extension.pg_test(postgres.Installation.default(), name=IN_SERVER)


def server17() -> Totals:
    """Inside of PostgreSQL 17."""
    return extension.pg_test(postgres.ensure_pg17(), name=IN_SERVER)


def module() -> Totals:
    """The Odoo modules, inside of a real Odoo."""
    passed, failed = odoo.run_module_tests()
    return Totals(passed, failed, "")


def database() -> Totals:
    """pgTAP, in a cluster like Supabase's."""
    return tap.run(postgres.Installation.default())


def end_to_end(selection: Sequence[str] = ()) -> Totals:
    """Real servers together: Odoo, Postgres, the Supabase CLI."""
    return _pytest(selection or ["tests/e2e"])


def scout() -> Totals:
    """The dashboard: types, lint, Vitest, build, and Debian's Chromium over PostgREST."""
    parts = dashboard.check()
    dashboard.ensure_browser()
    browser = _pytest(["tests/dashboard"])
    return Totals(parts.passed + browser.passed, parts.failed + browser.failed, parts.output + browser.output)


def _pytest(selection: Sequence[str]) -> Totals:
    report = paths.run_dir() / "report.xml"
    status = shell.run(
        [setup.ensure_venv(), "-m", "pytest", "-q", "--durations=5", f"--junitxml={report}", *selection],
        cwd=paths.PROJECT,
        check=False,
    ).returncode
    if not report.exists():
        return Totals(0, 1, "pytest did not run")
    suites = ElementTree.parse(report).getroot().iter("testsuite")
    counts = [{name: int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped")} for suite in suites]
    failed = sum(suite["failures"] + suite["errors"] + suite["skipped"] for suite in counts)
    passed = sum(suite["tests"] for suite in counts) - failed
    return Totals(max(passed, 0), max(failed, 1) if status else failed, "")


LAYERS: dict[str, Callable[[], Totals]] = {
    "pure": pure,
    "fuzz": fuzz.layer,
    "module": module,
    "database": database,
    "server15": server15,
    "server17": server17,
    "dashboard": scout,
    "e2e": end_to_end,
}


def main() -> int:
    options = argparse.ArgumentParser(prog="scripts/test", description=__doc__)
    options.add_argument("layers", nargs="*", metavar="LAYER", help=f"only these: {', '.join(LAYERS)}")
    chosen = options.parse_args().layers or list(LAYERS)
    if unknown := [name for name in chosen if name not in LAYERS]:
        options.error(f"no such layer: {', '.join(unknown)} (there are {', '.join(LAYERS)})")
    setup.ensure_system()
    results: dict[str, Totals] = {}
    for name in chosen:
        began = time.monotonic()
        shell.say(f"== {name}: {(LAYERS[name].__doc__ or '').strip()}")
        try:
            results[name] = LAYERS[name]()
        except Exception as error:  # a layer that cannot even begin is a failure, and the others still tell something
            results[name] = Totals(0, 1, f"{type(error).__name__}: {error}")
        result = results[name]
        if result.failed or not result.passed:
            print(result.output)
        shell.say(f"== {name}: {result.passed} passed, {result.failed} failed in {time.monotonic() - began:.0f} s")
    empty = [name for name, result in results.items() if not result.passed and not result.failed]
    passed = sum(result.passed for result in results.values())
    failed = sum(result.failed for result in results.values()) + len(empty)
    print()
    for name, result in results.items():
        print(f"{name:10} {result.passed:5} passed {result.failed:5} failed{'   (no test ran)' if name in empty else ''}")
    print(f"{passed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
