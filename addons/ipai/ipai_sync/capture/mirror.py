# Copyright 2026 ipai_sync contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).

"""Determines which records of a mirror changed, from the scans of its tables."""

from .scan import MANY, MAX_IDS
from .sources import ALL, DOMAIN, RECORDS
from .tokens import Token

# In seconds: a mirror that changed within this time is scanned before others, and so is a mirror
# that other mirrors have kept waiting for this time.
HOT = 60
OVERDUE = 30


class Mirror:
    """An element of the request, while it is examined.

    age: how old changed rows are at most, as Postgres counts transactions; -1: none is of interest
    state, ids, states: what the scans show
    inexact: the ids that the client has read later than its token says
    is_exact: whether the answer has the rows of all these ids
    """

    def __init__(self, records, domain, names, token, definition):
        self.records = records
        self.domain = domain
        self.names = names
        self.token = token
        self.definition = definition
        self.needs = ()
        self.tables = set()
        self.activity = 0
        self.age = -1
        self.state = "unknown"
        self.ids = set()
        self.inexact = set()
        self.is_exact = True
        self.states = {}

    def prepare(self, scanner):
        """Drop needs that cannot be scanned, and a token that does not know all others."""
        # A relation may be a view, whose changes no scan can see.
        self.needs = [need for need in self.needs if need.source.table in scanner.tables]
        self.tables = {need.source.table for need in self.needs}
        self.activity = scanner.activity(self.tables)
        if self.token and not all(map(self._is_known, self.needs)):
            # A module was updated.
            self.token = None

    def _is_known(self, need):
        """Return whether the token has the state of a need.

        The state of a table of the domain may be missing: the digest then shows the effect.
        """
        state = self.token.states.get(need.key)
        return len(state) == (5 if need.source.child else 1) if state is not None else need.effect == DOMAIN

    def compare(self, scanner):
        """Compare the scans with the token."""
        known = self.token.states if self.token else {}
        is_all = False
        # What was added after the snapshot, read by the client and deleted again leaves no trace.
        is_changed = is_inexact = bool(self.token and not self.token.is_exact)
        for need in self.needs:
            found = scanner.found(need.source, self.age)
            state = known.get(need.key)
            if state and not found.ids and found.count == state[0]:
                self.states[need.key] = state
                continue
            # Parents of pairs that are gone.
            gone = set()
            if need.source.child:
                pairs = scanner.pairs(need.source, self.age, state[-1] if state else 0)
                self.states[need.key] = pairs[0]
                gone = parents_of_gone(state, *pairs) if state else gone
            else:
                self.states[need.key] = [found.count]
            if not self.token:
                continue
            # A row of the model or of the domain's tables may also be gone.
            if need.effect == DOMAIN or not (need.links or need.source.child):
                is_changed = True
            if need.effect == ALL or (need.effect == RECORDS and MANY in (found.ids, gone)):
                is_all = True
            elif need.effect == RECORDS and not is_all:
                ids = scanner.linked(need.links, found.ids | gone)
                is_all = ids == MANY
                self.ids |= set() if is_all else ids
        if not self.token:
            return
        self.ids.discard(0)
        if is_all:
            self.ids = scanner.all_ids(self.records._table)
        elif is_inexact and any(need.source.child and need.effect == RECORDS for need in self.needs):
            ids = scanner.all_ids(self.records._table)
            # The client would read more records later again.
            self.inexact = set() if ids == MANY else ids
        if self.ids == MANY or len(self.ids) > MAX_IDS:
            self.state = "many"
        else:
            self.state = "changed" if self.ids or is_changed else "same"

    def new_token(self, moment):
        changed = moment.time if self.state in ("changed", "many") else self.token.changed if self.token else 0
        is_exact = int(self.state == "same" or (self.state == "changed" and self.is_exact))
        return str(Token(*moment[:3], self.definition, moment.time, changed, self.activity, self.states, is_exact))

    def urgency(self, moment):
        """Return the key by which mirrors are examined, the lowest first."""
        token = self.token
        if not token:
            return 2, 0, self.records._name
        if token.activity != self.activity or moment.time - token.time >= OVERDUE:
            rank = 0
        else:
            rank = 1 if moment.time - token.changed < HOT else 2
        return rank, token.next_transaction, self.records._name


def parents_of_gone(old, now, changed, known):
    """Return the parents whose pairs are gone, or ``MANY`` if the checksums do not show them.

    ``old`` and ``now`` are states of all pairs (of ``Token``). ``changed`` is that of rows written
    since, ``known`` that of those among them whose child is not new.
    """
    # All old rows that were deleted or replaced.
    count, hashes, parents, squares = (before + new - after for before, new, after in zip(old[:4], changed, now, strict=False))
    if count == 0 or [count, hashes] == known[:2]:
        # None, or the rows written since have the same pairs.
        return set()
    if count > 0 and parents * parents == count * squares:
        # Numbers whose squares have the least possible sum are equal.
        return {parents // count}
    return MANY
