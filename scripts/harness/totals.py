"""Reads the results of test programs."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Totals:
    """The numbers of passed and failed tests, and the test program's output."""

    passed: int
    failed: int
    output: str

    @staticmethod
    def of_junit(report: str | Path, status: int, output: str = "") -> Totals:
        """Returns the results in a JUnit report, which is a file or its text.

        A skipped test counts as failed, because it has verified nothing.

        status: the test program's exit status; an error without a failed test counts as one failure
        """
        text = report.read_text() if isinstance(report, Path) and report.exists() else report
        if not isinstance(text, str) or not text.strip():
            return Totals(0, 1, f"{output}\nno report was written")
        cases = list(ElementTree.fromstring(text).iter("testcase"))
        problems = [
            f"{case.get('classname')} {case.get('name')}: {problem.get('message') or problem.text}"
            for case in cases
            for problem in case
            if problem.tag in ("failure", "error", "skipped")
        ]
        failed = len(problems)
        return Totals(len(cases) - failed, max(failed, 1) if status else failed, "\n".join([output, *problems]))

    def __add__(self, other: Totals) -> Totals:
        return Totals(self.passed + other.passed, self.failed + other.failed, self.output + other.output)
