"""Fuzzes the code that parses untrusted input; `scripts/fuzz` runs it.

Stable Rust is sufficient: libFuzzer without a sanitizer detects panics, overflows (checked in this
build), timeouts and memory growth. Failing inputs are stored in `fuzz/artifacts`; inputs that reach
new code are stored in the cache. `tests/fuzz_inputs.rs` replays known inputs.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Sequence
from pathlib import Path

from . import paths, setup, shell

VERSION = "0.13.2"
PROJECT = paths.PROJECT / "fuzz"
TARGETS = sorted(path.stem for path in (PROJECT / "fuzz_targets").glob("*.rs"))
_TOOLS = paths.CACHE / "tools"
_CORPUS = paths.CACHE / "fuzz"
#: Recorded answers up to this size are seeds: larger ones only slow the fuzzer down.
_LARGEST = 50_000
#: Limits for one input: seconds, and megabytes of memory.
_LIMITS = ("-timeout=10", "-rss_limit_mb=2048", "-max_len=60000")


def _build() -> Path:
    """Builds the targets, optimised and with coverage, and returns their folder."""
    program = _TOOLS / "bin/cargo-fuzz"
    with paths.lock("cargo-fuzz"):
        if not program.exists() or VERSION not in shell.run([program, "fuzz", "--version"], capture=True).stdout:
            shell.log_progress(f"Building cargo-fuzz {VERSION}: a minute or two, only once")
            # Unoptimised, because it only calls cargo.
            shell.run(["cargo", "install", "--quiet", "--debug", "--locked", "--force", f"cargo-fuzz@{VERSION}", "--root", _TOOLS])
        shell.log_progress("Building the fuzz targets: about 2 minutes the first time, then seconds")
        path = f"{_TOOLS / 'bin'}{os.pathsep}{os.environ['PATH']}"
        options = ["--release", "--debug-assertions"]
        shell.run(["cargo", "fuzz", "build", "--sanitizer", "none", *options], cwd=PROJECT, env={"PATH": path, "CARGO_TERM_QUIET": "true"})
    version = shell.run(["rustc", "-vV"], capture=True).stdout.splitlines()
    host = next(line.removeprefix("host: ") for line in version if line.startswith("host: "))
    return PROJECT / "target" / host / "release"


def _corpus(target: str) -> Path:
    """Copies the seeds and recorded answers into the target's corpus; returns its folder."""
    folder = _CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    recorded = (paths.PROJECT / "tests/corpus").glob("*/*.xml") if target in ("answer", "fault") else ()
    for seed in (*recorded, *(PROJECT / "seeds" / target).glob("*")):
        if seed.stat().st_size <= _LARGEST:
            # The first byte selects the form of the input: 0 means a whole body.
            head = b"\0" if target == "fault" and seed.suffix == ".xml" else b""
            (folder / f"{seed.parent.name}-{seed.name}").write_bytes(head + seed.read_bytes())
    return folder


def search(seconds: int, targets: Sequence[str]) -> dict[str, tuple[bool, str]]:
    """Fuzzes each target for `seconds`. Returns for each whether it passed, and a summary."""
    folder = _build()
    results = {}
    for target in targets:
        shell.log_progress(f"Fuzzing {target} for {seconds} s")
        status, output = _run(folder / target, _corpus(target), f"-max_total_time={seconds}", "-print_final_stats=1")
        executed = re.search(r"number_of_executed_units: *(\d+)", output)
        # A target that executed no input has not passed.
        passed = status == 0 and executed is not None and int(executed[1]) > 0
        results[target] = (passed, f"{int(executed[1]):,} inputs" if passed and executed else output[-4_000:])
    return results


def _run(program: Path, *arguments: str | Path) -> tuple[int, str]:
    artifacts = PROJECT / "artifacts" / program.name
    artifacts.mkdir(parents=True, exist_ok=True)
    result = shell.run([program, *arguments, *_LIMITS, f"-artifact_prefix={artifacts}/"], check=False, capture=True)
    return result.returncode, f"\n{result.stdout}{result.stderr}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description="Fuzzes the decoder and the other code that parses untrusted input.")
    parser.add_argument("--minutes", type=float, default=60, metavar="N", help="total time for all targets (default 60)")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"only these targets: {', '.join(TARGETS)}")
    options = parser.parse_args()
    targets = options.targets or TARGETS
    if unknown := set(targets) - set(TARGETS):
        parser.error(f"unknown target: {', '.join(sorted(unknown))} (valid targets are {', '.join(TARGETS)})")
    setup.ensure_system()
    results = search(max(1, round(options.minutes * 60 / len(targets))), targets)
    for target, (passed, summary) in results.items():
        print(f"{target:12} {'passed' if passed else 'FAILED'}  {summary}")
    return 0 if all(passed for passed, _summary in results.values()) else 1


if __name__ == "__main__":
    shell.run_main(main)
