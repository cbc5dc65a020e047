"""What is measured: the same things of each competitor, in turns, so that what else the machine does hits all of them alike."""

from __future__ import annotations

import datetime
from collections import defaultdict
from collections.abc import Callable, Sequence

from .. import shell
from ..odoo import MODEL
from . import wire, world
from .competitors import ALL, Competitor, Copy, Floor, IpaiSync, IpaiSyncWithAddon, Run, table
from .world import COLUMNS, World

#: So many times each.
ROUNDS = 3
#: What is short is measured more often in each round: runs without changes, and single calls.
ZERO_REPEATS = 2
CALL_REPEATS = 5
DELETED = 20

FIRST = "first full sync"
UNCHANGED = "full sync, nothing changed"
ZERO = "incremental, 0 changes"
DELETIONS = f"incremental, {DELETED} deletions"
COUNT = "one search_count call"
IDS = "one call for all ids"

#: By measure and by competitor.
Runs = dict[str, dict[str, list[Run]]]


def largest_change(rows: int) -> int:
    """Changes of the largest incremental run."""
    return min(10_000, rows // 2)


def incremental(changes: int) -> str:
    return f"incremental, {changes:,} changes"


def run(rows: int, names: Sequence[str], rounds: int = ROUNDS) -> Runs:
    """Starts the servers and measures the competitors with these names."""
    # What the two floors need is read by ipai_sync.
    chosen = [kind for kind in ALL if kind.name in {*names, IpaiSync.name}]
    with world.servers(rows, [table(kind.name) for kind in chosen], addon="addon" in names) as servers:
        competitors = [kind(servers) for kind in chosen]
        _record(competitors)
        rounds_of = Rounds(servers, [competitor for competitor in competitors if competitor.name in names], rows)
        for number in range(1, rounds + 1):
            rounds_of.round(number, rounds)
        return {measure: dict(runs) for measure, runs in rounds_of.runs.items()}


def _record(competitors: Sequence[Competitor]) -> None:
    shell.log_progress("Looking at what ipai_sync asks of Odoo")
    (mirror,) = (competitor for competitor in competitors if type(competitor) is IpaiSync)
    for competitor in competitors:
        # The copy first: a recording ends with the table empty.
        if isinstance(competitor, Copy):
            mirror.define()
            mirror.sync(None)
            competitor.record(mirror)
            mirror.drop()
    for competitor in competitors:
        if isinstance(competitor, Floor):
            competitor.record(mirror)
        # Whatever goes wrong with the addon, ipai_sync reads on without it.
        if isinstance(competitor, IpaiSyncWithAddon) and competitor.recorded():
            raise RuntimeError("ipai_sync does not use the addon, which is installed: it has called search_read")


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
        # Another one begins each round.
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
        noticing = [competitor for competitor in self._syncing if competitor.deletes]
        self._measure_call(IDS, "search", order="id")
        self._measure(DELETIONS, noticing, since=since)
        self._compare(noticing)

    def _each_odoo(self, do: Callable[..., None]) -> None:
        for odoo in self._world.odoos:
            do(odoo)

    def _measure(self, measure: str, competitors: Sequence[Competitor], since: str | None = None) -> None:
        for competitor in competitors:
            self.runs[measure][competitor.name].append(competitor.run(since))

    def _measure_call(self, measure: str, method: str, **kwargs: object) -> None:
        """One call whose answer is thrown away, too."""
        body = wire.request(self._world.odoo, MODEL, method, [], context={"active_test": False}, **kwargs)
        for _ in range(CALL_REPEATS):
            self.runs[measure][Floor.name].append(Run(wire.fetch(self._world.odoo.port, [body])))

    def _compare(self, competitors: Sequence[Competitor]) -> None:
        """All of them must have the rows that Odoo has, and the same in each."""
        odoo = self._world.odoo
        count = odoo.rpc(MODEL, "search_count", [], context={"active_test": False})
        # Python's XML parser turns CR LF into LF.
        values = ", ".join("translate(notes, E'\\r', '')" if column == "notes" else column for column in COLUMNS)
        contents = {
            competitor.title: self._world.cluster.psql(
                f"select count(*), sum(hashtextextended(row({values})::text, 0)) from {competitor.table}"
            )
            for competitor in competitors
        }
        if len(set(contents.values())) > 1 or any(int(content.split("|")[0]) != count for content in contents.values()):
            told = "\n".join(f"{title}: {content}" for title, content in contents.items())
            raise RuntimeError(f"The tables differ, or from Odoo with its {count} rows:\n{told}")


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M:%S")
