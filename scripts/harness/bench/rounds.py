"""Measures all competitors alternately, so that other load on the machine affects them equally."""

from __future__ import annotations

import datetime
from collections import defaultdict
from collections.abc import Callable, Sequence

from .. import shell
from ..odoo import MODEL
from . import wire, world
from .competitors import ALL, WITH_ADDON, Competitor, Copy, Floor, IpaiSync, IpaiSyncWithAddon, Run, table
from .world import COLUMNS, World

#: The number of rounds.
ROUNDS = 3
#: Short measurements are repeated within each round: runs without changes, and single calls.
ZERO_REPEATS = 2
CALL_REPEATS = 5
DELETED = 20

FIRST = "first full sync"
UNCHANGED = "full sync, nothing changed"
ZERO = "incremental, 0 changes"
DELETIONS = f"incremental, {DELETED} deletions"
COUNT = "one search_count call"
IDS = "one call for all ids"

#: Runs by measure and competitor.
Runs = dict[str, dict[str, list[Run]]]


def largest_change(rows: int) -> int:
    """Returns the number of changes of the largest incremental run."""
    return min(10_000, rows // 2)


def incremental(changes: int) -> str:
    return f"incremental, {changes:,} changes"


def run(rows: int, names: Sequence[str], rounds: int = ROUNDS) -> Runs:
    """Starts the servers and measures the competitors with these names."""
    # Both floors need the rows and requests of ipai_sync.
    chosen = [kind for kind in ALL if kind.name in {*names, IpaiSync.name}]
    with world.servers(rows, [table(kind.name) for kind in chosen], addon=bool({*names} & {*WITH_ADDON})) as servers:
        competitors = [kind(servers) for kind in chosen]
        _record(competitors)
        rounds_of = Rounds(servers, [competitor for competitor in competitors if competitor.name in names], rows)
        for number in range(1, rounds + 1):
            rounds_of.round(number, rounds)
        return {measure: dict(runs) for measure, runs in rounds_of.runs.items()}


def _record(competitors: Sequence[Competitor]) -> None:
    shell.log_progress("Recording the requests of ipai_sync")
    (mirror,) = (competitor for competitor in competitors if type(competitor) is IpaiSync)
    for competitor in competitors:
        # Copy first, because recording empties the table.
        if isinstance(competitor, Copy):
            mirror.define()
            mirror.sync(None)
            competitor.record(mirror)
            mirror.drop()
    for competitor in competitors:
        if isinstance(competitor, Floor):
            competitor.record(mirror)
        # If the addon fails, ipai_sync falls back to search_read.
        if isinstance(competitor, IpaiSyncWithAddon) and competitor.recorded():
            raise RuntimeError("ipai_sync called search_read, although the addon is installed")


class Rounds:
    def __init__(self, servers: World, competitors: Sequence[Competitor], rows: int) -> None:
        self.runs: defaultdict[str, defaultdict[str, list[Run]]] = defaultdict(lambda: defaultdict(list))
        self._world = servers
        self._all = list(competitors)
        self._syncing = [competitor for competitor in competitors if competitor.syncs]
        self._rows = rows

    def round(self, number: int, of: int) -> None:
        shell.log_progress(f"Round {number} of {of}: {FIRST}")
        for competitor in self._all:
            competitor.reset()
        # Each round starts with another competitor.
        self._all.append(self._all.pop(0))
        self._measure(FIRST, self._all)
        if not self._syncing:
            return
        self._compare(self._syncing)
        shell.log_progress(f"Round {number} of {of}: {UNCHANGED}")
        self._measure(UNCHANGED, self._syncing)
        shell.log_progress(f"Round {number} of {of}: incremental")
        for _ in range(ZERO_REPEATS):
            self._measure_call(COUNT, "search_count")
            self._measure(ZERO, self._syncing, since=_now())
        for changes in (100, largest_change(self._rows)):
            since = _now()
            self._each_odoo(lambda odoo, changes=changes: world.change(odoo, changes, f"changed in round {number}, one of {changes}"))
            self._measure(incremental(changes), self._syncing, since=since)
            self._each_odoo(world.settle)
        since = _now()
        self._each_odoo(lambda odoo: world.delete(odoo, DELETED))
        detecting = [competitor for competitor in self._syncing if competitor.detects_deletions]
        self._measure_call(IDS, "search", order="id")
        self._measure(DELETIONS, detecting, since=since)
        self._compare(detecting)

    def _each_odoo(self, do: Callable[..., None]) -> None:
        for odoo in self._world.odoos:
            do(odoo)

    def _measure(self, measure: str, competitors: Sequence[Competitor], since: str | None = None) -> None:
        for competitor in competitors:
            self.runs[measure][competitor.name].append(competitor.run(since))

    def _measure_call(self, measure: str, method: str, **kwargs: object) -> None:
        """Measures a single call whose response is discarded."""
        body = wire.request(self._world.odoo, MODEL, method, [], context={"active_test": False}, **kwargs)
        for _ in range(CALL_REPEATS):
            self.runs[measure][Floor.name].append(Run(wire.fetch(self._world.odoo.port, [body])))

    def _compare(self, competitors: Sequence[Competitor]) -> None:
        """Checks that all tables have the same rows, as many as Odoo."""
        odoo = self._world.odoo
        count = odoo.rpc(MODEL, "search_count", [], context={"active_test": False})
        # Python's XML parser converts CR LF to LF, and only JSON-2 carries control characters.
        carried = r"regexp_replace(notes, E'[\x01-\x08\x0b-\x1f]', '', 'g')"
        values = ", ".join(carried if column == "notes" else column for column in COLUMNS)
        contents = {
            competitor.title: self._world.cluster.psql(
                f"select count(*), sum(hashtextextended(row({values})::text, 0)) from {competitor.table}"
            )
            for competitor in competitors
        }
        if len(set(contents.values())) > 1 or any(int(content.split("|")[0]) != count for content in contents.values()):
            listing = "\n".join(f"{title}: {content}" for title, content in contents.items())
            raise RuntimeError(f"The tables differ from each other or from Odoo's {count} records:\n{listing}")


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M:%S")
