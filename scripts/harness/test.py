"""Every test there is, layer by layer; what `scripts/test` runs.

Closes on a line `N passed, N failed` that adds up all layers. A skipped test counts as failed: it has shown nothing.
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import dashboard, extension, fuzz, odoo, paths, postgres, prepare, setup, shell, tap
from .totals import Totals

#: What a run of a layer gets: parts of names; none means every test.
Words = Sequence[str]

WORKERS = 2


def pure(words: Words) -> Totals:
    """The layers that need no Postgres, and the recorded answers of real Odoo servers."""
    nextest = setup.ensure_venv().with_name("cargo-nextest")
    # The name of a test, or the file of an integration test.
    chosen = " + ".join(f"test(~{word}) + binary(~{word})" for word in words)
    tests = shell.run(
        [
            *(nextest, "nextest", "run", "--no-default-features", "--no-tests=pass"),
            *(["--filterset", chosen] if words else []),
        ],
        cwd=paths.PROJECT,
        env={"CARGO_TERM_COLOR": "never"},
        check=False,
        capture=True,
    )
    output = tests.stdout + tests.stderr
    if tests.returncode == 0 and "no tests to run" in output:
        return Totals(0, 0, output)
    return Totals.of_junit(paths.PROJECT / "target/nextest/default/junit.xml", tests.returncode, output)


def server15(words: Words) -> Totals:
    """Inside PostgreSQL 15."""
    return extension.pg_test(postgres.Installation.default(), words or [extension.IN_SERVER])


def server17(words: Words) -> Totals:
    """Inside PostgreSQL 17."""
    return extension.pg_test(postgres.ensure_pg17(), words or [extension.IN_SERVER])


def module(words: Words) -> Totals:
    """The Odoo modules, inside a real Odoo."""
    return odoo.run_module_tests(words=words)


def database(words: Words) -> Totals:
    """pgTAP, in a cluster like Supabase's."""
    return tap.run(postgres.Installation.default(), words)


def end_to_end(words: Words, *, slow: bool = False) -> Totals:
    """Real servers together: Odoo, Postgres, the Supabase CLI."""
    return _pytest("tests/e2e", words, slow=slow)


def dashboard_layer(words: Words) -> Totals:
    """The dashboard: types, lint, Vitest, build, and Debian's Chromium over PostgREST."""
    parts = dashboard.check(words)
    dashboard.ensure_browser()
    return parts + _pytest("tests/dashboard", words)


def package(words: Words) -> Totals:
    """The release build, installed as a user does."""
    return _pytest("tests/package", words, workers=0)


def _pytest(folder: str, words: Words, *, slow: bool = False, workers: int = WORKERS) -> Totals:
    report = paths.run_dir() / "report.xml"
    # The workers of a whole layer would otherwise wait for each other's builds.
    with extension.built(postgres.Installation.default()):
        pass
    status = shell.run(
        [
            *(setup.ensure_venv(), "-m", "pytest", "-q", f"--junitxml={report}", "-m", "slow" if slow else "not slow"),
            *(f"--part={word}" for word in words),
            # A few tests are sooner done than two workers are started.
            *(["-n", str(workers), "--dist", "loadfile"] if workers and not words else []),
            folder,
        ],
        cwd=paths.PROJECT,
        check=False,
    ).returncode
    # 5: no test has such a name.
    return Totals.of_junit(report, 0 if status == 5 and words else status)


@dataclass(frozen=True)
class Layer:
    run: Callable[[Words], Totals]
    #: The files with its tests, by their patterns below the project.
    files: tuple[str, ...]
    #: A line that names a test.
    definition: str

    def has(self, word: str) -> bool:
        """Whether a file of the layer's tests, or one of its tests, has the word in its name."""
        return any(word in name for name in self._names())

    def _names(self) -> Iterator[str]:
        for pattern in self.files:
            for path in paths.PROJECT.glob(pattern):
                yield str(path.relative_to(paths.PROJECT))
                yield from re.findall(self.definition, path.read_text(), re.MULTILINE)


_RUST = r"^\s*(?:pub )?fn (\w+)"
_PYTHON = r"^\s*def (test_\w+)"
_SCRIPT = r"\b(?:it|test|describe)(?:\.each\(.*\))?\(\s*[\"'`](.*?)[\"'`],"

#: In the order in which they run: those that only compile come last, as `prepare` builds for them meanwhile.
LAYERS: dict[str, Layer] = {
    "pure": Layer(pure, ("src/**/*.rs", "tests/*.rs"), _RUST),
    "fuzz": Layer(fuzz.layer, ("fuzz/fuzz_targets/*.rs",), r"$^"),
    "database": Layer(database, ("supabase/tests/*.sql",), r"$^"),
    "module": Layer(module, ("addons/ipai/*/tests/test_*.py",), _PYTHON),
    "e2e": Layer(end_to_end, ("tests/e2e/test_*.py",), _PYTHON),
    "dashboard": Layer(dashboard_layer, ("apps/scout-dashboard/tests/*.test.ts*", "tests/dashboard/test_*.py"), f"{_PYTHON}|{_SCRIPT}"),
    "server15": Layer(server15, ("src/pg/in_server_tests.rs",), _RUST),
    "server17": Layer(server17, ("src/pg/in_server_tests.rs",), _RUST),
    "package": Layer(package, ("tests/package/test_*.py",), _PYTHON),
}


def main() -> int:
    options = argparse.ArgumentParser(
        prog="scripts/test",
        description="Runs the tests: all of them, some layers, or those of the layers whose file or name contains a word.",
        epilog="examples: scripts/test; scripts/test pure server15; scripts/test e2e resume; scripts/test tests/e2e/test_resume.py",
    )
    options.add_argument("names", nargs="*", metavar="NAME", help=f"a layer ({', '.join(LAYERS)}), a file, or a part of a test's name")
    options.add_argument("--slow", action="store_true", help="of layer e2e only the tests that scripts/nightly runs")
    given = options.parse_args()
    words = [_word(name) for name in given.names if name not in LAYERS]
    chosen = [name for name in LAYERS if name in given.names] or list(LAYERS)
    if words:
        chosen = [name for name in chosen if any(LAYERS[name].has(word) for word in words)]
    if given.slow:
        chosen = [name for name in chosen if name == "e2e"]
    if not chosen:
        options.error(f"no test or file has {' or '.join(words)} in its name (layers are {', '.join(LAYERS)})")
    setup.ensure_system()
    if not words and {"server15", "server17", "package"} & set(chosen) and len(chosen) > 1:
        prepare.start()
    results: dict[str, Totals] = {}
    for name in chosen:
        began = time.monotonic()
        run = (lambda words: end_to_end(words, slow=True)) if given.slow else LAYERS[name].run
        shell.say(f"== {name}: {(LAYERS[name].run.__doc__ or '').strip()}")
        try:
            results[name] = run(words)
        except Exception as error:  # a layer that cannot even begin is a failure, and the others still tell something
            results[name] = Totals(0, 1, f"{type(error).__name__}: {error}")
        result = results[name]
        if result.failed or not result.passed:
            print(result.output)
        shell.say(f"== {name}: {result.passed} passed, {result.failed} failed in {time.monotonic() - began:.0f} s")
    return report(results, partly=bool(words))


def report(results: dict[str, Totals], *, partly: bool) -> int:
    """Prints the results of all layers and their sum; returns the exit status. A layer without a test fails, unless a part was asked for."""
    empty = (
        []
        if partly and any(result.passed for result in results.values())
        else [name for name, r in results.items() if r.passed + r.failed == 0]
    )
    passed = sum(result.passed for result in results.values())
    failed = sum(result.failed for result in results.values()) + len(empty)
    print()
    for name, result in results.items():
        print(f"{name:10} {result.passed:5} passed {result.failed:5} failed{'   (no test ran)' if name in empty else ''}")
    print(f"{passed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


def _word(name: str) -> str:
    """A file stands for its tests, by its name."""
    path = Path(name)
    if path.suffix not in (".py", ".rs", ".sql", ".ts", ".tsx"):
        return name
    return path.name.split(".")[0].removesuffix("_tests")


if __name__ == "__main__":
    shell.leave_with(main)
