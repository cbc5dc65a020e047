"""Formats the results as tables, and compares the medians with the project's limits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from . import rounds
from .competitors import ALL, Run
from .decoder import Decoder
from .live import SMALL, Live
from .rounds import Runs

_MEGABYTE = 1 << 20
_NOT_MEASURED = "-"


@dataclass(frozen=True)
class Results:
    """The measured results; skipped parts are empty."""

    rows: int
    runs: Runs
    decoder: Decoder | None = None
    #: By query: the times as a tenant, and the times with an explicit filter.
    tenants: Mapping[str, tuple[Sequence[float], Sequence[float]]] | None = None
    live: Live | None = None


@dataclass(frozen=True)
class Limit:
    """A limit with its measured value."""

    what: str
    limit: str
    value: str
    reached: bool


def tables(results: Results) -> str:
    """Returns all tables of the report as Markdown."""
    parts = []
    if results.runs:
        parts.append(text_table(*_main_table(results)))
    if results.decoder:
        decoder = results.decoder
        lines = [[name, f"{rate / 1e6:,.0f}"] for name, rate in decoder.rates().items()]
        parts.append(text_table([f"a page of {decoder.size / 1e6:.1f} MB", "MB/s"], lines))
    if results.tenants:
        lines = [
            [query, _milliseconds(median(theirs)), _milliseconds(median(written_out))]
            for query, (theirs, written_out) in results.tenants.items()
        ]
        parts.append(text_table(["a tenant's query", "with the policy", "filter written out"], lines))
    if results.live:
        lines = [
            [
                f"{of.mirrors} mirrors",
                _seconds(of.median),
                _seconds(of.late),
                *map(_percent, (of.busy, of.load, of.idle)),
                f"{of.requests:.2f}",
            ]
            for of in results.live.following
        ]
        header = ["followed, 5 writes a second", "median", "95 %", "Odoo and its Postgres", "writes alone", "idle", "requests a poll"]
        parts.append(text_table(header, lines))
    reached = [[limit.what, limit.limit, limit.value, "yes" if limit.reached else "NO"] for limit in limits(results)]
    if reached:
        parts.append(text_table(["measure", "limit", "measured", "reached"], reached))
    return "\n\n".join(parts)


def text_table(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Returns an aligned Markdown table: the first column to the left, the others to the right."""
    lines = [list(line) for line in lines]
    widths = [max(len(line[column]) for line in [list(header), *lines]) for column in range(len(header))]

    def written(line: Sequence[str]) -> str:
        cells = [line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))]
        return f"| {' | '.join(cells)} |"

    rule = f"|{'-' * (widths[0] + 2)}|{''.join('-' * (width + 1) + ':|' for width in widths[1:])}"
    return "\n".join([written(header), rule, *map(written, lines)])


def _main_table(results: Results) -> tuple[list[str], list[list[str]]]:
    runs = results.runs
    shown = [kind for kind in ALL if any(kind.name in by_name for by_name in runs.values())]
    lines = []

    def line(what: str, measure: str, show: Callable[[Sequence[Run]], str]) -> None:
        by_name = runs.get(measure, {})
        cells = [show(by_name[kind.name]) if kind.name in by_name else _NOT_MEASURED for kind in shown]
        if any(cell != _NOT_MEASURED for cell in cells):
            lines.append([what, *cells])

    for measure in runs:
        line(measure, measure, lambda of: _seconds(_median(of)))
    line("memory, first full sync", rounds.FIRST, _memory)
    for measure in (rounds.FIRST, rounds.UNCHANGED, rounds.ZERO, rounds.incremental(rounds.largest_change(results.rows))):
        line(f"rows written, {measure}", measure, lambda of: f"{median(run.rows_written for run in of):,.0f}")
        line(f"WAL, {measure}", measure, lambda of: f"{median(run.wal_bytes for run in of) / 1e6:,.1f} MB")
        line(f"WAL records, {measure}", measure, lambda of: f"{median(run.wal_records for run in of):,.0f}")
    return [f"{results.rows:,} records, medians", *(kind.title for kind in shown)], lines


def _memory(runs: Sequence[Run]) -> str:
    risen = [run.memory for run in runs if run.memory is not None]
    return f"{max(risen) / _MEGABYTE:,.0f} MB" if risen else _NOT_MEASURED


def limits(results: Results) -> list[Limit]:
    """Returns the limits whose measures are available."""
    found: list[Limit] = []
    runs = results.runs

    def at(measure: str, name: str) -> float | None:
        return _median(runs[measure][name]) if name in runs.get(measure, {}) else None

    def at_most(what: str, limit: float, value: float | None, unit: str) -> None:
        if value is not None:
            found.append(Limit(what, f"at most {limit:g}{unit}", f"{value:,.2f}{unit}", value <= limit))

    def at_least(what: str, limit: float, value: float | None, unit: str = " times as fast") -> None:
        if value is not None:
            found.append(Limit(what, f"at least {limit:g}{unit}", f"{value:.1f}{unit}", value >= limit))

    def times(one: float | None, other: float | None) -> float | None:
        return None if one is None or other is None else one / other

    first, unchanged = rounds.FIRST, rounds.UNCHANGED
    at_most("first full sync, plain Odoo, against (c)", 1.15, times(at(first, "ipai_sync"), at(first, "floor")), " times")
    at_least("first full sync, plain Odoo, against (a)", 2, times(at(first, "practice"), at(first, "ipai_sync")))
    at_least("first full sync, plain Odoo, against (b)", 1.5, times(at(first, "script"), at(first, "ipai_sync")))
    at_least("first full sync, addon, against (a)", 8, times(at(first, "practice"), at(first, "addon")))
    at_least("full sync, nothing changed, addon, against (a)", 10, times(at(unchanged, "practice"), at(unchanged, "addon")))
    at_most("first full sync, plain Odoo, program against extension", 1.1, times(at(first, "program"), at(first, "ipai_sync")), " times")
    at_most("first full sync, addon, program against extension", 1.3, times(at(first, "program_addon"), at(first, "addon")), " times")
    for name, title in (("program", "plain Odoo"), ("program_addon", "addon")):
        if written := runs.get(unchanged, {}).get(name):
            at_most(f"rows written by the program, nothing changed, {title}", 0, max(run.rows_written for run in written), "")
        risen = [run.memory / _MEGABYTE for of in runs.values() for run in of.get(name, []) if run.memory is not None]
        at_most(f"peak memory of the program above its start, {title}", 64, max(risen, default=None), " MB")
    at_least("first full sync, JSON-2 against XML-RPC", 1, times(at(first, "ipai_sync"), at(first, "json2")))
    at_most("incremental, 0 changes, JSON-2 against XML-RPC", 1.1, times(at(rounds.ZERO, "json2"), at(rounds.ZERO, "ipai_sync")), " times")
    count, ids = at(rounds.COUNT, "floor"), at(rounds.IDS, "floor")
    for name, title in (("ipai_sync", "plain Odoo"), ("addon", "addon")):
        if written := runs.get(unchanged, {}).get(name):
            at_most(f"rows written, nothing changed, {title}", 0, max(run.rows_written for run in written), "")
        at_most(f"incremental, 0 changes, {title}, against one search_count", 5, times(at(rounds.ZERO, name), count), " times")
        deletions = at(rounds.DELETIONS, name)
        above = None if deletions is None or ids is None else deletions - ids
        at_most(f"{rounds.DELETED} deletions, {title}, above one call for all ids", 1, above, " s")
        risen = [run.memory / _MEGABYTE for of in runs.values() for run in of.get(name, []) if run.memory is not None]
        at_most(f"peak memory of the backend above its start, {title}", 64, max(risen, default=None), " MB")
    if results.decoder:
        decoder = results.decoder
        at_least("decoder against quick-xml's bare events", 70, 100 * decoder.ours / decoder.events, " %")
        at_least("decoder against Python's xmlrpc.client", 12, decoder.ours / decoder.python)
    for query, (theirs, written_out) in (results.tenants or {}).items():
        at_most(f"a tenant's query: {query}", 1.3, median(theirs) / median(written_out), " times")
    if results.live:
        for of in results.live.following:
            if of.mirrors == SMALL:
                at_most(f"latency of a change, {SMALL} mirrors followed, median", 1, of.median, " s")
                at_most(f"latency of a change, {SMALL} mirrors followed, 95th percentile", 2, of.late, " s")
                at_most(f"{SMALL} mirrors followed, idle: requests a poll", 1.05, of.requests, "")
                at_most(f"{SMALL} mirrors followed, idle: Odoo and its Postgres", 3, 100 * of.idle, " % of a core")
            else:
                at_most(f"{of.mirrors} mirrors followed, 5 writes a second: polling costs", 20, 100 * of.polling, " % of a core")
        for run in results.live.unchanged:
            what = f"run of {run.mirrors} unchanged mirrors, against runs by write dates"
            at_most(what, 0.1, run.ratio, " times")
            at_most(f"{what}: processor time", 0.25, run.processor_ratio, " times")
    return found


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _median(runs: Sequence[Run]) -> float:
    return median(run.seconds for run in runs)


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else _milliseconds(seconds)


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.{0 if seconds >= 0.1 else 1 if seconds >= 0.01 else 2}f} ms"
