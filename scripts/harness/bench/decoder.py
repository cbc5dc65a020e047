"""The decoder alone, on a page of a real Odoo: beside quick-xml's bare events, and Python's xmlrpc.client.

`benches/decode.rs` measures the first two, and leaves the page for the third.
"""

from __future__ import annotations

import json
import time
import xmlrpc.client
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from .. import paths, shell

_GROUP = "decode"
#: So often each, by turns.
_TIMES = 3


@dataclass(frozen=True)
class Decoder:
    """Bytes of the page, and bytes a second of processor time."""

    size: int
    ours: float
    events: float
    python: float

    def rates(self) -> dict[str, float]:
        return {"ipai_sync, into columns": self.ours, "quick-xml, bare events": self.events, "Python's xmlrpc.client": self.python}


def run() -> Decoder:
    shell.log_progress("The decoder alone: some minutes at first, for the build")
    # Not where the extension is built: its library has the same name, and each build would undo the other.
    target = paths.PROJECT / "target/bench"
    command: list[str | Path] = ["cargo", "bench", "--quiet", "--manifest-path", "benches/Cargo.toml"]
    seconds: dict[str, list[float]] = {"columns": [], "events": [], "python": []}
    for _ in range(_TIMES):
        shell.run(
            [*command, "--", "--warm-up-time", "1", "--measurement-time", "3"],
            cwd=paths.PROJECT,
            env={"CARGO_TARGET_DIR": str(target)},
            capture=True,
        )
        body = (target / "tmp/decode-page.xml").read_bytes()
        for name in ("columns", "events"):
            seconds[name].append(seconds_of(target / "criterion", name))
        seconds["python"].append(_python(body))
    ours, events, python = (len(body) / median(seconds[name]) for name in ("columns", "events", "python"))
    return Decoder(len(body), ours, events, python)


def seconds_of(folder: Path, name: str) -> float:
    """The median of one of criterion's measurements."""
    estimates = json.loads((folder / _GROUP / name / "new/estimates.json").read_text())
    return float(estimates["median"]["point_estimate"]) / 1e9


def _python(body: bytes) -> float:
    # As in Rust: time on a processor, which is the same on a busy machine.
    began = time.process_time()
    (rows,), _ = xmlrpc.client.loads(body)
    seconds = time.process_time() - began
    if not isinstance(rows, list) or not rows:
        raise RuntimeError("the page holds no rows")
    return seconds
