"""Compares the outcomes of faults with docs/reference/reliability.md.

The page has a section for each file of tests, and a row for each fault. Every test of a fault
records a row. The last test of its file compares the rows with the page, except for the times.
After an intended change, this command rewrites the section of a file, including the times:

    UPDATE_GOLDEN=1 python -m pytest tests/e2e/test_faults.py

Review the difference before you commit it.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from harness import paths

PAGE = paths.PROJECT / "docs/reference/reliability.md"
_TITLES = "| what breaks | what happens | seconds |\n|---|---|---|\n"
_ROW = re.compile(r"^\| (?P<fault>.+?) \| (?P<outcome>.+?) \| [\d.]+ \|$", re.MULTILINE)


@dataclass
class Trial:
    """The test of a single fault."""

    #: The outcome as the page shows it.
    outcome: str = ""
    seconds: float | None = None

    def record_outcome(self, outcome: str | psycopg.Error) -> None:
        """Stops the clock and records the outcome; an error is shown with its SQLSTATE."""
        self.seconds = self._clock()
        self.outcome = outcome if isinstance(outcome, str) else f"{outcome.sqlstate}: {outcome.diag.message_primary}"

    def __post_init__(self) -> None:
        self.restart_clock()

    def restart_clock(self) -> None:
        """Restarts the clock after preparations of the test."""
        self._began = time.monotonic()

    def _clock(self) -> float:
        return time.monotonic() - self._began


class Section:
    """A section of the page."""

    def __init__(self, title: str) -> None:
        self.title = title
        self._rows: dict[str, Trial] = {}

    @contextmanager
    def trial(self, fault: str) -> Iterator[Trial]:
        """Records a row, unless the block fails.

        The same test with the program must have the outcome that the extension had.
        """
        trial = Trial()
        yield trial
        assert trial.seconds is not None, f"{fault}: no outcome was recorded"
        known = self._rows.setdefault(fault, trial)
        assert _cell(known.outcome) == _cell(trial.outcome), (
            f"{fault}: the outcome was {known.outcome!r} before, and is {trial.outcome!r} now"
        )

    def compare(self) -> None:
        """Compares the rows with the page, after all faults of the section have been tested."""
        found = {_cell(fault): _cell(trial.outcome) for fault, trial in self._rows.items()}
        if os.environ.get("UPDATE_GOLDEN"):
            self._write()
        shown = {row["fault"]: row["outcome"] for row in _ROW.finditer(self._on_page(PAGE.read_text()))}
        changed = {fault: (shown.get(fault), found.get(fault)) for fault in {**shown, **found} if shown.get(fault) != found.get(fault)}
        assert not changed, (
            f"section {self.title!r} of {PAGE.name} differs (page, test): {changed}. For an intended change, see {Path(__file__).name}."
        )

    def _on_page(self, page: str) -> str:
        """Returns the section's table on the page."""
        parts = page.split(f"\n## {self.title}\n")
        assert len(parts) == 2, f"{PAGE.name} has no section {self.title!r}"
        section = parts[1].split("\n## ")[0]
        return section[section.find(_TITLES) :] if _TITLES in section else ""

    def _write(self) -> None:
        rows = "".join(f"| {_cell(fault)} | {_cell(trial.outcome)} | {trial.seconds:.1f} |\n" for fault, trial in self._rows.items())
        # Another worker may write another section at the same time.
        with paths.lock("reliability"):
            self._replace(rows)

    def _replace(self, rows: str) -> None:
        before, after = PAGE.read_text().split(f"\n## {self.title}\n")
        section, *others = re.split(r"\n(?=## )", after)
        prose = section.split(_TITLES)[0].strip()
        written = f"\n{prose}\n\n{_TITLES}{rows}" if prose else f"\n{_TITLES}{rows}"
        PAGE.write_text("\n".join([f"{before}\n## {self.title}", written, *others]))


def _cell(text: str) -> str:
    """Returns the text in one line, without ports, which differ between runs."""
    return re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1", " ".join(text.split())).replace("|", "\\|")
