"""Tests scripts/bench: its tables, its limits, and a small run on real servers."""

from __future__ import annotations

import json
import re
import subprocess
import xmlrpc.client
from pathlib import Path

import pytest

from harness import paths
from harness.bench import decoder, document, report, rounds, session, wire
from harness.bench.competitors import Run
from harness.bench.decoder import Decoder
from harness.bench.report import Results

SCRIPT = paths.PROJECT / "scripts/bench"


def times(*seconds: float, written: int = 0, memory: int | None = None) -> list[Run]:
    return [Run(second, memory, written) for second in seconds]


def verdicts(results: Results) -> dict[str, tuple[str, bool]]:
    return {limit.what: (limit.value, limit.reached) for limit in report.limits(results)}


def test_table_is_aligned_markdown() -> None:
    assert report.text_table(["what", "a", "b"], [["first", "1.00 s", "-"], ["second one", "10 ms", "2"]]).splitlines() == [
        "| what       |      a | b |",
        "|------------|-------:|--:|",
        "| first      | 1.00 s | - |",
        "| second one |  10 ms | 2 |",
    ]


def test_tables_show_median_time_and_peak_memory() -> None:
    runs = {
        rounds.FIRST: {
            "practice": times(9, 4, 5),
            "ipai_sync": [*times(0.25, 0.75, memory=1 << 20), *times(0.5, memory=3 << 20, written=7)],
        }
    }
    lines = report.tables(Results(2000, runs)).splitlines()
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert table[0] == ["2,000 records, medians", "(a) xmlrpc.client, supabase-py", "(e) ipai_sync"]
    assert ["first full sync", "5.00 s", "500 ms"] in table
    assert ["memory, first full sync", "-", "3 MB"] in table
    assert ["rows written, first full sync", "0", "0"] in table


def test_limits_apply_to_medians() -> None:
    runs = {
        rounds.FIRST: {"practice": times(30, 1, 20), "script": times(15, 15, 14.9), "floor": times(8.6), "ipai_sync": times(10, 10, 10)},
        rounds.COUNT: {"floor": times(0.05)},
        rounds.ZERO: {"ipai_sync": times(0.26)},
        rounds.IDS: {"floor": times(0.5)},
        rounds.DELETIONS: {"ipai_sync": times(1.49, memory=65 << 20)},
    }
    assert verdicts(Results(200_000, runs)) == {
        "first full sync, plain Odoo, against (c)": ("1.16 times", False),
        "first full sync, plain Odoo, against (a)": ("2.0 times as fast", True),
        "first full sync, plain Odoo, against (b)": ("1.5 times as fast", True),
        "incremental, 0 changes, plain Odoo, against one search_count": ("5.20 times", False),
        "20 deletions, plain Odoo, above one call for all ids": ("0.99 s", True),
        "peak memory of the backend above its start, plain Odoo": ("65.00 MB", False),
    }


def test_one_written_row_exceeds_the_limit() -> None:
    unchanged = {"practice": times(20), "addon": [*times(1, 1), *times(1, written=1)]}
    assert verdicts(Results(200_000, {rounds.UNCHANGED: unchanged})) == {
        "full sync, nothing changed, addon, against (a)": ("20.0 times as fast", True),
        "rows written, nothing changed, addon": ("1.00", False),
    }


def test_limits_of_decoder_and_tenant_queries() -> None:
    results = Results(1000, {}, Decoder(5, ours=69e6, events=100e6, python=5e6), {"a page": ([2.6, 9, 1], [2, 2, 2]), "all": ([3], [2])})
    assert verdicts(results) == {
        "decoder against quick-xml's bare events": ("69.0 %", False),
        "decoder against Python's xmlrpc.client": ("13.8 times as fast", True),
        "a tenant's query: a page": ("1.30 times", True),
        "a tenant's query: all": ("1.50 times", False),
    }


def test_requests_for_records_are_recognized() -> None:
    def call(method: str, model: str = "ipai.sample.metric") -> bytes:
        return xmlrpc.client.dumps(("odoo", 2, "secret", model, method, [[]], {}), "execute_kw").encode()

    assert [wire.asks_for_records(call(method)) for method in ("search_read", "search", "search_count", "fields_get", "read")] == [
        *(True, False, False, False, True)
    ]
    assert not wire.asks_for_records(call("read", "res.company"))
    assert not wire.asks_for_records(xmlrpc.client.dumps(("odoo", "admin", "secret", {}), "authenticate").encode())


def test_outputs_of_other_programs_are_parsed(tmp_path: Path) -> None:
    assert session.anonymous("VmHWM:\t  900 kB\nRssAnon:\t    123 kB\nRssFile:\t 4 kB\n") == 123 * 1024
    with pytest.raises(ValueError, match="RssAnon"):
        session.anonymous("VmHWM:\t  900 kB\n")
    assert document.field("vendor_id\t: X\nmodel name\t: A Processor\nmodel name\t: B\n", "model name") == "A Processor"
    assert document.pinned("supabase-auth==1\nsupabase==2.34.1\n", "supabase") == "2.34.1"
    estimates = tmp_path / "decode/columns/new/estimates.json"
    estimates.parent.mkdir(parents=True)
    estimates.write_text(json.dumps({"mean": {"point_estimate": 9.0}, "median": {"point_estimate": 2_500_000.0}}))
    assert decoder.seconds_of(tmp_path, "columns") == 0.0025


@pytest.mark.parametrize("options", [["--write", "--quick"], ["--write", "--rounds", "1"], ["--rows", "10"], ["--only", "nobody"]])
def test_invalid_options_of_the_benchmark_are_refused(options: list[str]) -> None:
    process = subprocess.run([SCRIPT, *options], capture_output=True, text=True)
    assert (process.returncode, process.stdout) == (2, "")
    assert process.stderr.startswith("usage: scripts/bench ")


@pytest.mark.slow
def test_small_benchmark_run() -> None:
    """Runs every competitor for plain Odoo with every measure.

    The benchmark itself compares the tables.
    """
    command: list[str | Path] = [SCRIPT, "--rows", "1000", "--rounds", "1", "--only", "practice", "script", "floor", "copy", "ipai_sync"]
    process = subprocess.run(command, capture_output=True, text=True)
    assert process.returncode == 0, process.stdout + process.stderr
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in process.stdout.splitlines() if line.startswith("| ")]
    shown = {line[0]: line[1:] for line in lines}
    timed = re.compile(r"[\d.]+ m?s")
    for measure, who in {
        rounds.FIRST: "abcde",
        rounds.UNCHANGED: "abe",
        rounds.ZERO: "abe",
        rounds.incremental(100): "abe",
        rounds.incremental(500): "abe",
        rounds.DELETIONS: "be",
        rounds.COUNT: "c",
        rounds.IDS: "c",
    }.items():
        assert "".join(name for name, cell in zip("abcde", shown[measure], strict=True) if timed.fullmatch(cell)) == who, measure
    assert shown[f"rows written, {rounds.FIRST}"] == ["1,000", "1,000", "0", "1,000", "1,000"]
    assert shown[f"rows written, {rounds.UNCHANGED}"] == ["1,000", "0", "-", "-", "0"]
    assert shown[f"rows written, {rounds.incremental(500)}"] == ["500", "500", "-", "-", "500"]
    assert shown["rows written, nothing changed, plain Odoo"] == ["at most 0", "0.00", "yes"]
