"""Runs all tests, layer by layer; `scripts/test` runs it.

The last line of the output, `N passed, N failed`, is the sum of all layers. A skipped test counts
as failed, because it has verified nothing.
"""

from __future__ import annotations

import argparse
import functools
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import dashboard, extension, odoo, paths, postgres, prepare, setup, shell, tap, versions
from .totals import Totals

#: Filters for a layer's tests: parts of file or test names. An empty list selects all tests.
Words = Sequence[str]

#: How many workers run a layer. Tests in a browser keep a core busy; end-to-end tests often wait.
BROWSER_WORKERS, WORKERS = 2, 3


def pure(words: Words) -> Totals:
    """Rust tests without a server, and the recorded answers of real Odoo servers."""
    nextest = setup.ensure_venv().with_name("cargo-nextest")
    postgres15 = postgres.Installation.default()
    files = [path.stem for path in paths.PROJECT.glob("crates/*/tests/*.rs") if any(word in path.stem for word in words)]
    named = " + ".join([*(f"test({word})" for word in words), *(f"binary({file})" for file in files)]) or "all()"
    chosen = f"({named}) - test(/^{extension.IN_SERVER}/)"
    report = paths.PROJECT / "target/nextest/default/junit.xml"
    report.unlink(missing_ok=True)
    shell.log_progress("Compiling the Rust tests: about 3 minutes the first time, then seconds")
    tests = shell.run(
        [
            *(nextest, "nextest", "run", "--workspace", "--no-tests=pass", "--filterset", chosen),
            *extension.test_features(postgres15),
        ],
        cwd=paths.PROJECT,
        env={**extension.environment(postgres15), "CARGO_TERM_COLOR": "never"},
        check=False,
        capture=True,
    )
    output = tests.stdout + tests.stderr
    if words and tests.returncode == 0 and not report.exists():
        return Totals(0, 0, output)
    return Totals.of_junit(report, tests.returncode, output)


def server15(words: Words) -> Totals:
    """In-server tests on PostgreSQL 15."""
    return extension.pg_test(postgres.Installation.default(), words or [extension.IN_SERVER])


def server16(words: Words) -> Totals:
    """In-server tests on PostgreSQL 16."""
    return extension.pg_test(versions.ensure(16), words or [extension.IN_SERVER])


def server17(words: Words) -> Totals:
    """In-server tests on PostgreSQL 17."""
    return extension.pg_test(versions.ensure(17), words or [extension.IN_SERVER])


def server18(words: Words) -> Totals:
    """In-server tests on PostgreSQL 18."""
    return extension.pg_test(versions.ensure(18), words or [extension.IN_SERVER])


def module(words: Words) -> Totals:
    """The Odoo modules' own tests, inside a real Odoo, with and without the changes of Odoo 20."""
    return odoo.run_module_tests(words=words) + odoo.run_module_tests(words=words, odoo20=True)


def database(words: Words) -> Totals:
    """pgTAP tests, in a Supabase-like cluster."""
    return tap.run(postgres.Installation.default(), words)


def end_to_end(words: Words, *, slow: bool = False, shard: str | None = None, major: int | None = None) -> Totals:
    """End-to-end tests with real servers: Odoo, Postgres, the Supabase CLI."""
    return _pytest("tests/e2e", words, "slow" if slow else "not slow", shard=shard, major=major)


def end_to_end_17(words: Words) -> Totals:
    """A main part of the end-to-end tests, on PostgreSQL 17."""
    return _pytest("tests/e2e", words, "postgres17 and not slow", major=17)


def dashboard_layer(words: Words, *, major: int | None = None) -> Totals:
    """The dashboard: types, lint, Vitest, build, and Debian's Chromium with PostgREST."""
    parts = dashboard.check(words)
    dashboard.ensure_browser()
    return parts + _pytest("tests/dashboard", words, workers=BROWSER_WORKERS, major=major)


def package(words: Words, *, slow: bool = False) -> Totals:
    """The packages of a release, installed as a user installs them."""
    return _pytest("tests/package", words, "slow" if slow else "not slow", workers=0)


def _pytest(
    folder: str, words: Words, marks: str = "not slow", *, workers: int = WORKERS, shard: str | None = None, major: int | None = None
) -> Totals:
    """Runs tests with pytest.

    marks: the expression for pytest's option -m
    major: the version of the Postgres that the tests sync into, by default that of `versions`
    """
    report = paths.run_dir() / "report.xml"
    if workers:
        # Build once before the workers start; otherwise they wait for each other's builds.
        with extension.built(versions.ensure(major) if major else versions.target(), with_tests=True):
            pass
    status = shell.run(
        [
            *(setup.ensure_venv(), "-m", "pytest", "-q", f"--junitxml={report}", "-m", marks),
            *(f"--part={word}" for word in words),
            *([f"--shard={shard}"] if shard else []),
            # For a few tests, starting workers takes longer than the tests.
            *(["-n", str(workers), "--dist", "loadfile"] if workers and not words else []),
            folder,
        ],
        cwd=paths.PROJECT,
        env={versions.TARGET: str(major)} if major else {},
        check=False,
        # Workers need time to stop their servers.
        stop_seconds=120,
    ).returncode
    # Status 5: no test matches the filters.
    return Totals.of_junit(report, 0 if status == 5 and words else status)


@dataclass(frozen=True)
class Layer:
    run: Callable[[Words], Totals]
    #: Patterns, relative to the project, of the files with the layer's tests.
    files: tuple[str, ...]
    #: A regular expression for a test's definition; the first group is the test's name.
    definition: str
    #: Runs if it is named, and in scripts/nightly; not in CI.
    nightly: bool = False

    def paths(self) -> Iterator[Path]:
        for pattern in self.files:
            yield from paths.PROJECT.glob(pattern)

    def has(self, word: str) -> bool:
        """Returns whether the name of a test file or of a test in the layer contains the word."""
        for path in self.paths():
            if word in str(path.relative_to(paths.PROJECT)):
                return True
            if any(word in name[1] for name in re.finditer(self.definition, path.read_text(), re.MULTILINE)):
                return True
        return False


_RUST = r"#\[(?:test|pg_test)\b.*\]\s+(?:#\[.*\]\s+)*(?:pub )?fn (\w+)"
_PYTHON = r"^\s*def (test_\w+)"

_PYTHON_OR_VITEST = r"\b(?:def (?=test_)|(?:it|test|describe)(?:\.each\(.*\))?\(\s*[\"'`])([^\"'`(\n]+)"

#: The layers in execution order. Layers that need long builds come last, because `prepare` makes
#: these builds in the meantime.
LAYERS: dict[str, Layer] = {
    "pure": Layer(pure, ("crates/**/*.rs", "src/**/*_tests.rs"), _RUST),
    "database": Layer(database, ("supabase/tests/**/*.sql",), r"(.+)"),
    "module": Layer(module, ("addons/ipai/*/tests/test_*.py",), _PYTHON),
    "e2e": Layer(end_to_end, ("tests/e2e/**/test_*.py",), _PYTHON),
    "dashboard": Layer(dashboard_layer, ("apps/scout-dashboard/tests/*.test.ts*", "tests/dashboard/test_*.py"), _PYTHON_OR_VITEST),
    # Without files: as it repeats tests of e2e, it runs among all layers or if it is named.
    "e2e17": Layer(end_to_end_17, (), _PYTHON),
    "server15": Layer(server15, ("src/in_server_tests.rs",), _RUST),
    "server16": Layer(server16, ("src/in_server_tests.rs",), _RUST, nightly=True),
    "server17": Layer(server17, ("src/in_server_tests.rs",), _RUST),
    "server18": Layer(server18, ("src/in_server_tests.rs",), _RUST, nightly=True),
    "package": Layer(package, ("tests/package/test_*.py",), _PYTHON),
}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/test",
        description="Runs tests: all of them (without server16 and server18, which scripts/nightly runs), some layers, or the tests whose "
        "file or name contains a word.",
        epilog="examples: scripts/test; scripts/test pure server15; scripts/test e2e resume; scripts/test tests/e2e/test_resume.py",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"a layer ({', '.join(LAYERS)}), a file, or a part of a test's name")
    parser.add_argument("--slow", action="store_true", help="run the slow tests of layer e2e or package, which scripts/nightly runs")
    parser.add_argument(
        "--shard", metavar="K/N", type=_shard, help="run the K-th of N parts of layer e2e, for machines that share the tests"
    )
    parser.add_argument(
        "--postgres",
        type=int,
        choices=extension.supported(),
        help="version of the Postgres that layers e2e and dashboard sync into (default 15; 16 and 18 have what test_versions.py needs)",
    )
    options = parser.parse_args()
    named = [name for name in LAYERS if name in options.names]
    words = [name for name in options.names if name not in LAYERS]
    files = [Path(word).resolve() for word in words if Path(word).is_file()]
    if options.slow or options.shard:
        named = ["package"] if options.slow and named == ["package"] else ["e2e"]
    usual = {name: layer for name, layer in LAYERS.items() if not layer.nightly}
    if options.postgres:
        usual = {name: layer for name, layer in usual.items() if layer.run in (end_to_end, dashboard_layer)}
        if others := set(named) - usual.keys():
            parser.error(f"--postgres is for the layers {' and '.join(usual)}, not for {' and '.join(sorted(others))}")
    chosen = named or [name for name, layer in usual.items() if not words or any(map(layer.has, words)) or set(files) & set(layer.paths())]
    if not chosen:
        parser.error(f"no test or test file matches {' or '.join(words)} (layers are {', '.join(LAYERS)})")
    setup.ensure_system()
    paths.share_run_dir()
    if not words:
        prepare.start(chosen)
    results: dict[str, Totals] = {}
    for name in chosen:
        began = time.monotonic()
        layer = LAYERS[name]
        layer_words = [_word(word, layer) for word in words]
        run = layer.run
        if layer.run is end_to_end:
            run = functools.partial(end_to_end, slow=options.slow, shard=options.shard, major=options.postgres)
        elif layer.run is dashboard_layer:
            run = functools.partial(dashboard_layer, major=options.postgres)
        elif layer.run is package:
            run = functools.partial(package, slow=options.slow)
        shell.log_progress(f"== {name}: {(layer.run.__doc__ or '').strip()}")
        try:
            results[name] = run(layer_words)
        except Exception as error:
            # A layer that cannot start counts as a failure; the other layers still run.
            results[name] = Totals(0, 1, f"{type(error).__name__}: {error}")
        result = results[name]
        if result.failed or not result.passed:
            print(result.output)
        shell.log_progress(f"== {name}: {result.passed} passed, {result.failed} failed in {time.monotonic() - began:.0f} s")
    return report(results, must_run=named or ([] if words else chosen))


def _shard(text: str) -> str:
    """Returns the text if it names a part, such as 1/4."""
    found = re.fullmatch(r"([1-9]\d?)/([1-9]\d?)", text)
    if found is None or int(found[1]) > int(found[2]):
        raise argparse.ArgumentTypeError(f"invalid part {text!r}: the first of four is 1/4")
    return text


def report(results: dict[str, Totals], *, must_run: Sequence[str]) -> int:
    """Prints the results of all layers and their sum, and returns the exit status.

    At least one layer must have run a test.

    must_run: layers that fail if they have run no test
    """
    empty = [name for name, result in results.items() if result.passed + result.failed == 0]
    passed = sum(result.passed for result in results.values())
    failed = sum(result.failed for result in results.values()) + len(set(empty) & set(must_run))
    print()
    for name, result in results.items():
        print(f"{name:10} {result.passed:5} passed {result.failed:5} failed{'   (no test ran)' if name in empty else ''}")
    print(f"{passed} passed, {failed} failed", flush=True)
    return 1 if failed or not passed else 0


def _word(name: str, layer: Layer) -> str:
    """Returns the filter for a file in this layer's runner.

    It is the path for pytest and pgTAP, the module for Rust, and otherwise the file name.
    """
    path = Path(name)
    if not path.is_file():
        return name
    if path.suffix == ".rs":
        return path.stem.removesuffix("_tests")
    return (
        str(path.resolve().relative_to(paths.PROJECT))
        if layer.run in (end_to_end, end_to_end_17, dashboard_layer, package, database)
        else path.name
    )


if __name__ == "__main__":
    shell.run_main(main)
