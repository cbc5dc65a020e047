"""Fuzzing of what reads strangers' bytes: `fuzz/fuzz_targets`. What `scripts/fuzz` runs, and in short the layer `fuzz` of the tests.

Stable Rust does: libFuzzer without a sanitizer still finds panics, overflows (checked here), time-outs and growing memory. A finding stays in
`fuzz/artifacts`, the inputs that reached something new in the cache.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Sequence
from pathlib import Path

from . import paths, setup, shell
from .totals import Totals

VERSION = "0.13.2"
PROJECT = paths.PROJECT / "fuzz"
TARGETS = sorted(path.stem for path in (PROJECT / "fuzz_targets").glob("*.rs"))
#: Seconds a target, in the tests.
SHORT = 15
_TOOLS = paths.CACHE / "tools"
_CORPUS = paths.CACHE / "fuzz"
#: Recorded answers up to this size: larger ones only slow the fuzzer down.
_LARGEST = 50_000
#: What one input may take: seconds, and megabytes of memory.
_LIMITS = ("-timeout=10", "-rss_limit_mb=2048", "-max_len=60000")


def _build(profile: str) -> Path:
    """Builds the targets, for a `release` that is fast or a `dev` that is there soon; returns their folder."""
    program = _TOOLS / "bin/cargo-fuzz"
    with paths.lock("cargo-fuzz"):
        if not program.exists() or VERSION not in shell.run([program, "fuzz", "--version"], capture=True).stdout:
            shell.say(f"Building cargo-fuzz {VERSION}: a minute or two, only this once")
            # Unoptimised: it only calls cargo.
            shell.run(["cargo", "install", "--quiet", "--debug", "--locked", "--force", f"cargo-fuzz@{VERSION}", "--root", _TOOLS])
        shell.say("Building the fuzz targets")
        path = f"{_TOOLS / 'bin'}{os.pathsep}{os.environ['PATH']}"
        options = {"release": ["--release", "--debug-assertions"], "dev": ["--dev"]}[profile]
        shell.run(["cargo", "fuzz", "build", "--sanitizer", "none", *options], cwd=PROJECT, env={"PATH": path, "CARGO_TERM_QUIET": "true"})
    (host,) = re.findall(r"^host: (.*)$", shell.run(["rustc", "-vV"], capture=True).stdout, re.MULTILINE)
    return PROJECT / "target" / host / {"dev": "debug"}.get(profile, profile)


def _corpus(target: str) -> Path:
    """Where new inputs go, with the seeds in it."""
    folder = _CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    recorded = (paths.PROJECT / "tests/corpus").glob("*/*.xml") if target in ("answer", "fault") else ()
    for seed in (*recorded, *(PROJECT / "seeds" / target).glob("*")):
        if seed.stat().st_size <= _LARGEST:
            # The first byte chooses what the rest is: 0 is a whole body.
            head = b"\0" if target == "fault" and seed.suffix == ".xml" else b""
            (folder / f"{seed.parent.name}-{seed.name}").write_bytes(head + seed.read_bytes())
    return folder


def run(seconds: int, targets: list[str], profile: str) -> dict[str, tuple[bool, str]]:
    """Fuzzes each target so long; whether it held, and what libFuzzer said."""
    folder = _build(profile)
    found = {}
    for target in targets:
        artifacts = PROJECT / "artifacts" / target
        artifacts.mkdir(parents=True, exist_ok=True)
        shell.say(f"Fuzzing {target} for {seconds} s")
        command: list[str | Path] = [folder / target, _corpus(target), f"-max_total_time={seconds}", *_LIMITS, "-print_final_stats=1"]
        result = shell.run([*command, f"-artifact_prefix={artifacts}/"], check=False, capture=True)
        output = result.stdout + result.stderr
        executed = re.search(r"number_of_executed_units: *(\d+)", output)
        # Nothing executed is nothing shown.
        held = result.returncode == 0 and executed is not None and int(executed[1]) > 0
        found[target] = (held, f"{int(executed[1]):,} inputs" if held and executed else output[-4_000:])
    return found


def layer(words: Sequence[str] = ()) -> Totals:
    """Short fuzzing of what reads bytes from outside."""
    found = run(SHORT, [target for target in TARGETS if not words or any(word in target for word in words)], "dev")
    failed = [f"{target}\n{said}" for target, (held, said) in found.items() if not held]
    return Totals(len(found) - len(failed), len(failed), "\n".join(failed))


def main() -> int:
    options = argparse.ArgumentParser(prog="scripts/fuzz", description="Fuzzes the decoder and whatever else reads strangers' bytes.")
    options.add_argument("--minutes", type=float, default=60, metavar="N", help="in all (default 60)")
    options.add_argument("targets", nargs="*", metavar="TARGET", help=f"only these: {', '.join(TARGETS)}")
    chosen = options.parse_args()
    targets = chosen.targets or TARGETS
    if unknown := set(targets) - set(TARGETS):
        options.error(f"no such target: {', '.join(sorted(unknown))} (there are {', '.join(TARGETS)})")
    setup.ensure_system()
    found = run(max(1, round(chosen.minutes * 60 / len(targets))), targets, "release")
    for target, (held, said) in found.items():
        print(f"{target:12} {'held' if held else 'FAILED'}  {said}")
    return 0 if all(held for held, _said in found.values()) else 1


if __name__ == "__main__":
    shell.leave_with(main)
