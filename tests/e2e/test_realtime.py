"""Tests which changes of the mirror Supabase Realtime receives and sends to which users.

No Realtime server runs. The tests read replication slots with Realtime's options and run the query
with which Realtime checks a row's visibility.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from harness import paths
from support.faulty import FaultyOdoo, Record, fault, metric
from support.supabase import Supabase

PAGE = paths.PROJECT / "docs/how-to/dashboard-queries.md"
MIGRATIONS = sorted((paths.PROJECT / "migrations").glob("*.sql"))
TABLE = "ipai.ipai_sample_metrics"
SYNC = "select * from ipai.sync_sample_metrics()"

RECORDS: list[Record] = [
    metric(1),
    metric(2, brand_id=7, notes="of brand 7"),
    metric(3, brand_id=8),
    metric(4, store_id=3, date=False),
    metric(5, brand_id=7, active=False),
    *(metric(odoo_id, value=odoo_id / 3) for odoo_id in range(6, 26)),
]

#: A change: the action, the new row, and the columns of the old row.
Change = tuple[str, dict[str, Any] | None, dict[str, Any] | None]


# Reading a slot -----------------------------------------------------------------------------------


class Wal2Json:
    """Reads a slot as Realtime does, with the tables and actions of the publication."""

    plugin = "wal2json"

    @staticmethod
    def read(connection: psycopg.Connection[dict[str, Any]]) -> list[Change]:
        found = connection.execute(
            """
            select data::jsonb as change
            from (select concat_ws(',', case when pubinsert then 'insert' end, case when pubupdate then 'update' end,
                                   case when pubdelete then 'delete' end) as actions,
                         (select string_agg(format('%s.%s', schemaname, tablename), ',')
                          from pg_publication_tables t where t.pubname = p.pubname) as tables
                  from pg_publication p where pubname = 'supabase_realtime') as publication,
                 pg_logical_slot_get_changes(
                     'test', null, null,
                     'include-pk', 'true', 'include-transaction', 'false', 'include-timestamp', 'true', 'include-type-oids', 'true',
                     'format-version', '2', 'actions', publication.actions, 'add-tables', publication.tables)
            """
        ).fetchall()
        return [Wal2Json._change(row["change"]) for row in found]

    @staticmethod
    def _change(change: dict[str, Any]) -> Change:
        assert (change["schema"], change["table"]) == ("ipai", "ipai_sample_metrics")
        # Without a primary key Realtime sends an error instead of the row.
        assert [column["name"] for column in change["pk"]] == ["id"]
        new, old = (
            {column["name"]: column["value"] for column in change[part]} if part in change else None for part in ("columns", "identity")
        )
        return {"I": "insert", "U": "update", "D": "delete"}[change["action"]], new, old


class PgOutput:
    """Reads a slot with Postgres's own protocol, as a logical subscriber does."""

    plugin = "pgoutput"

    @staticmethod
    def read(connection: psycopg.Connection[dict[str, Any]]) -> list[Change]:
        messages = connection.execute(
            """select data from pg_logical_slot_get_binary_changes('test', null, null,
                                                                  'proto_version', '1', 'publication_names', 'supabase_realtime')"""
        ).fetchall()
        columns: dict[int, list[str]] = {}
        found: list[Change] = []
        for message in (_Message(row["data"]) for row in messages):
            match message.char():
                case "R":
                    relation = message.number("I")
                    assert (message.text(), message.text()) == ("ipai", "ipai_sample_metrics")
                    message.char()
                    columns[relation] = [message.column() for _ in range(message.number("H"))]
                case "I":
                    names = columns[message.number("I")]
                    assert message.char() == "N"
                    found.append(("insert", message.row(names), None))
                case "U":
                    names = columns[message.number("I")]
                    # The old row is present if its identity changed, or if the identity is full.
                    old = message.row(names) if (kind := message.char()) in "KO" else None
                    assert kind == "N" or message.char() == "N"
                    found.append(("update", message.row(names), old))
                case "D":
                    names = columns[message.number("I")]
                    kind = message.char()
                    old = message.row(names)
                    # K: only the key's columns have values.
                    found.append(("delete", None, {"id": old["id"]} if kind == "K" else old))
                    assert kind == "O" or {name for name, value in old.items() if value is not None} == {"id"}
                case other:
                    assert other in "BCO", other
        return found


class _Message:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def _take(self, length: int) -> bytes:
        self._at += length
        return self._data[self._at - length : self._at]

    def char(self) -> str:
        return self._take(1).decode()

    def number(self, form: str) -> int:
        """Reads an integer. Form I has 4 bytes, form H 2 bytes."""
        return int(struct.unpack(f">{form}", self._take(struct.calcsize(form)))[0])

    def text(self) -> str:
        return self._take(self._data.index(b"\0", self._at) - self._at + 1)[:-1].decode()

    def column(self) -> str:
        self._take(1)  # the flag of a key column
        name = self.text()
        self._take(8)  # type and type modifier
        return name

    def row(self, names: list[str]) -> dict[str, Any]:
        assert self.number("H") == len(names)
        return {name: self._value() for name in names}

    def _value(self) -> Any:
        match self.char():
            case "n":
                return None
            case "t":
                return self._take(self.number("I")).decode()
            case other:
                raise AssertionError(other)


class Slot:
    """A temporary replication slot, which ends with its connection, like Realtime's."""

    def __init__(self, supabase: Supabase, reader: type[Wal2Json] | type[PgOutput]) -> None:
        self._reader = reader
        self._connection = supabase.connect(user="supabase_admin")
        # Newer minor versions load only the plugins in this setting.
        self._connection.execute(
            "select set_config(name, 'pgoutput, wal2json', false) from pg_settings where name = 'output_plugin_libraries'"
        )
        self._connection.execute("select pg_create_logical_replication_slot('test', %s, true)", (reader.plugin,))

    def changes(self) -> list[Change]:
        """Returns the changes since the last call."""
        return self._reader.read(self._connection)


# Fixtures -----------------------------------------------------------------------------------------


@pytest.fixture
def erp() -> Iterator[FaultyOdoo]:
    with FaultyOdoo(RECORDS) as server:
        yield server


@pytest.fixture
def mirrored(supabase: Supabase, erp: FaultyOdoo) -> Supabase:
    """A mirror that equals Odoo after a sync of several pages."""
    supabase.server(erp.url)
    supabase.register(page_size=10)
    assert supabase.row(SYNC)["inserted"] == len(RECORDS)
    return supabase


@pytest.fixture(params=[Wal2Json, PgOutput], ids=lambda reader: reader.plugin)
def slot(request: pytest.FixtureRequest, mirrored: Supabase) -> Slot:
    return Slot(mirrored, request.param)


@contextmanager
def full_replica_identity(supabase: Supabase) -> Iterator[None]:
    supabase.rows(f"alter table {TABLE} replica identity full")
    try:
        yield
    finally:
        supabase.rows(f"alter table {TABLE} replica identity default")


def odoo_ids(changes: list[Change]) -> list[tuple[str, int]]:
    return sorted((action, int(new["odoo_id"])) for action, new, _ in changes if new)


def number(supabase: Supabase, odoo_id: int) -> int:
    """Returns the mirror's own id of a row."""
    return int(supabase.row(f"select id from {TABLE} where odoo_id = %s", odoo_id)["id"])


# One change for each changed row ------------------------------------------------------------------


@pytest.mark.parametrize("reader", [Wal2Json, PgOutput])
def test_first_sync_sends_one_insert_per_row(supabase: Supabase, erp: FaultyOdoo, reader: type[Wal2Json] | type[PgOutput]) -> None:
    supabase.server(erp.url)
    slot = Slot(supabase, reader)
    assert supabase.run()["inserted"] == len(RECORDS)
    assert odoo_ids(slot.changes()) == [("insert", record["id"]) for record in RECORDS]


def test_each_changed_row_sends_one_change(mirrored: Supabase, erp: FaultyOdoo, slot: Slot) -> None:
    deleted_ids = {number(mirrored, 3), number(mirrored, 25)}
    erp.records = [
        metric(1, name="Renamed"),
        *RECORDS[1:2],
        *RECORDS[3:10],
        metric(11, active=False),
        *RECORDS[11:24],
        metric(26),
        metric(27),
    ]
    run = mirrored.row(SYNC)
    assert (run["inserted"], run["updated"], run["deleted"], run["unchanged"]) == (2, 2, 2, 21)
    changes = slot.changes()
    assert odoo_ids(changes) == [("insert", 26), ("insert", 27), ("update", 1), ("update", 11)]
    deleted = [old for action, _, old in changes if action == "delete"]
    assert {int(old["id"]) for old in deleted if old} == deleted_ids and len(changes) == 6
    assert slot.changes() == []


def test_change_contains_the_whole_row(mirrored: Supabase, erp: FaultyOdoo) -> None:
    slot = Slot(mirrored, Wal2Json)
    erp.records = [metric(1, date=False, value=0.1 + 0.2, notes="über ☕"), *RECORDS[1:]]
    mirrored.row(SYNC)
    ((action, new, _),) = slot.changes()
    assert action == "update" and new
    assert {name: new[name] for name in ("odoo_id", "code", "date", "value", "notes", "active", "brand_id")} == {
        **{"odoo_id": 1, "code": "METRIC", "date": None, "value": 0.1 + 0.2, "notes": "über ☕", "active": True, "brand_id": None}
    }
    columns = mirrored.rows("select attname::text as name from pg_attribute where attrelid = %s::regclass and attnum > 0", TABLE)
    assert set(new) == {column["name"] for column in columns}


@pytest.mark.parametrize("mode", ["full", "reconcile", "incremental"])
def test_sync_without_changes_sends_nothing(mirrored: Supabase, slot: Slot, mode: str) -> None:
    run = mirrored.run(f"'sample_metrics', '{mode}'")
    assert (run["state"], run["inserted"], run["updated"], run["deleted"]) == ("succeeded", 0, 0, 0)
    assert mirrored.row(SYNC)["unchanged"] == len(RECORDS)
    assert slot.changes() == []


def test_rolled_back_sync_sends_nothing(mirrored: Supabase, erp: FaultyOdoo, slot: Slot) -> None:
    erp.records = [metric(1, name="Renamed"), *RECORDS[2:], metric(26)]
    connection = mirrored.connect()
    connection.execute("begin")
    assert connection.execute(SYNC).fetchall()[0]["updated"] == 1
    connection.execute("rollback")
    assert slot.changes() == []


def test_failed_sync_sends_nothing(mirrored: Supabase, erp: FaultyOdoo, slot: Slot) -> None:
    erp.records = [metric(record["id"], name="Renamed") for record in RECORDS]
    erp.on("search_read", lambda exchange: exchange.send(200, {}, exchange.answer()), times=1)
    erp.on("search_read", fault(4, "You may not read this"))
    with pytest.raises(psycopg.Error):
        mirrored.row(SYNC)
    assert slot.changes() == []


def test_failed_run_sends_its_committed_pages(mirrored: Supabase, erp: FaultyOdoo, slot: Slot) -> None:
    """The first run sends its committed page, and the next run the other pages."""
    erp.records = [metric(record["id"], name="Renamed") for record in RECORDS]
    erp.on("search_read", lambda exchange: exchange.send(200, {}, exchange.answer()), times=1)
    erp.on("search_read", fault(4, "You may not read this"))
    with pytest.raises(psycopg.Error):
        mirrored.rows("call ipai.run_sync('sample_metrics', 'full')")
    assert odoo_ids(slot.changes()) == [("update", odoo_id) for odoo_id in range(1, 11)]
    erp.clear_faults()
    mirrored.run("'sample_metrics', 'full'")
    assert odoo_ids(slot.changes()) == [("update", odoo_id) for odoo_id in range(11, 26)]


# The columns of the old row -----------------------------------------------------------------------


def test_deletion_sends_only_the_id(mirrored: Supabase, erp: FaultyOdoo, slot: Slot) -> None:
    deleted_id = number(mirrored, 2)
    erp.records = [record for record in RECORDS if record["id"] != 2]
    mirrored.row(SYNC)
    ((action, new, old),) = slot.changes()
    assert (action, new, {name: int(value) for name, value in (old or {}).items()}) == ("delete", None, {"id": deleted_id})


def test_update_sends_only_the_id_of_the_old_row(mirrored: Supabase, erp: FaultyOdoo, slot: Slot) -> None:
    erp.records = [metric(2, brand_id=8, notes="of brand 8 now"), *(record for record in RECORDS if record["id"] != 2)]
    mirrored.row(SYNC)
    ((_, new, old),) = slot.changes()
    assert new and (new["odoo_id"], new["notes"]) in ((2, "of brand 8 now"), ("2", "of brand 8 now"))
    # pgoutput sends no old row if the key is unchanged.
    assert old in (None, {"id": number(mirrored, 2)})


def test_replica_identity_full_sends_the_whole_old_row(mirrored: Supabase, erp: FaultyOdoo, slot: Slot) -> None:
    erp.records = [metric(3, brand_id=7), *(record for record in RECORDS if record["id"] not in (2, 3))]
    with full_replica_identity(mirrored):
        mirrored.row(SYNC)
        changes = {action: old for action, _, old in slot.changes()}
    deleted, updated = changes["delete"], changes["update"]
    assert deleted and (int(deleted["odoo_id"]), int(deleted["brand_id"]), deleted["notes"]) == (2, 7, "of brand 7")
    assert updated and (int(updated["odoo_id"]), int(updated["brand_id"])) == (3, 8)


def test_table_lets_realtime_send_only_keys_of_deletions(supabase: Supabase) -> None:
    """Realtime sends more columns if row-level security is off or the replica identity differs."""
    row = supabase.row("select relreplident::text as identity, relrowsecurity as secured from pg_class where oid = %s::regclass", TABLE)
    assert row == {"identity": "d", "secured": True}


# Recipients of a change ---------------------------------------------------------------------------


class Realtime:
    """Checks a row's visibility as Realtime does.

    This is a prepared query by primary key, with the subscriber's role and claims.
    """

    def __init__(self, supabase: Supabase) -> None:
        self._connection = supabase.connect(user="supabase_admin")

    def can_see(self, row: int, claims: object, role: str = "authenticated") -> bool:
        with self._connection.transaction():
            self._connection.execute(f"prepare walrus_rls_stmt as select exists (select 1 from {TABLE} where id = '{row}') as visible")
            try:
                self._connection.execute(
                    "select set_config('role', %s, true), set_config('request.jwt.claims', %s, true)", (role, json.dumps(claims))
                )
                answer = self._connection.execute("execute walrus_rls_stmt").fetchone()
            finally:
                # After an error the rollback has already reset the role.
                if self._connection.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS:
                    self._connection.execute("reset role")
                    self._connection.execute("deallocate walrus_rls_stmt")
        assert answer
        return bool(answer["visible"])


def claims(**app_metadata: object) -> dict[str, object]:
    return {"role": "authenticated", "sub": "6a9c0e5e-0000-4000-8000-000000000001", "app_metadata": app_metadata}


BRAND_7 = claims(ipai_brand_ids=[7])
BRAND_8 = claims(ipai_brand_ids=[8])
STORE_3 = claims(ipai_store_ids=[3])
NOTHING = claims()
SUBSCRIBERS = {"brand 7": BRAND_7, "brand 8": BRAND_8, "store 3": STORE_3, "nothing": NOTHING}


def recipients(supabase: Supabase, odoo_id: int) -> set[str]:
    """Returns the subscribers to which Realtime sends a change of this row."""
    realtime = Realtime(supabase)
    row = number(supabase, odoo_id)
    return {name for name, subscriber in SUBSCRIBERS.items() if realtime.can_see(row, subscriber)}


def test_change_is_sent_to_users_who_see_the_row(mirrored: Supabase) -> None:
    assert recipients(mirrored, 1) == set(SUBSCRIBERS)
    assert recipients(mirrored, 2) == {"brand 7"}
    assert recipients(mirrored, 3) == {"brand 8"}
    assert recipients(mirrored, 4) == {"store 3"}
    assert recipients(mirrored, 5) == set()


def test_change_is_not_sent_to_users_who_lose_the_row(mirrored: Supabase, erp: FaultyOdoo) -> None:
    slot = Slot(mirrored, Wal2Json)
    others = [record for record in RECORDS if record["id"] not in (1, 2)]
    erp.records = [metric(1, active=False), metric(2, brand_id=8), *others]
    mirrored.row(SYNC)
    assert odoo_ids(slot.changes()) == [("update", 1), ("update", 2)]
    assert (recipients(mirrored, 1), recipients(mirrored, 2)) == (set(), {"brand 8"})


def test_marked_row_is_an_update_that_api_users_do_not_receive(mirrored: Supabase, erp: FaultyOdoo) -> None:
    mirrored.rows("select ipai.alter_mirror('sample_metrics', on_delete => 'mark')")
    try:
        slot = Slot(mirrored, Wal2Json)
        erp.records = [record for record in RECORDS if record["id"] != 1]
        mirrored.row(SYNC)
        assert odoo_ids(slot.changes()) == [("update", 1)]
        assert (recipients(mirrored, 1), recipients(mirrored, 2)) == (set(), {"brand 7"})
    finally:
        mirrored.rows(f"alter table {TABLE} drop column deleted_at cascade")


def test_replica_identity_full_reveals_old_values_to_other_tenants(mirrored: Supabase, erp: FaultyOdoo) -> None:
    """The documentation advises against replica identity full for this reason."""
    with full_replica_identity(mirrored):
        slot = Slot(mirrored, Wal2Json)
        erp.records = [metric(2, brand_id=8), *(record for record in RECORDS if record["id"] != 2)]
        mirrored.row(SYNC)
        ((_, _, old),) = slot.changes()
        assert old and (old["brand_id"], old["notes"]) == (7, "of brand 7")
        assert recipients(mirrored, 2) == {"brand 8"}


def test_malformed_claims_reveal_nothing_and_never_fail(mirrored: Supabase) -> None:
    realtime = Realtime(mirrored)
    common, private = number(mirrored, 1), number(mirrored, 2)
    cases: tuple[object, ...] = (
        *(None, 7, "text", [], {}, {"app_metadata": None}, {"app_metadata": "*"}, {"app_metadata": [7]}),
        *(claims(ipai_brand_ids=wrong) for wrong in (None, 7, "7", {"*": 1}, [[7]], ["7"], [7.5], [2**70], True, "\0")),
        {"user_metadata": {"ipai_brand_ids": "*"}},
    )
    for malformed in cases:
        assert realtime.can_see(common, malformed) and not realtime.can_see(private, malformed), malformed


def test_service_role_receives_every_change_and_anon_receives_none(mirrored: Supabase) -> None:
    realtime = Realtime(mirrored)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        realtime.can_see(number(mirrored, 1), {"role": "anon"}, role="anon")
    assert Realtime(mirrored).can_see(number(mirrored, 5), {"role": "service_role"}, role="service_role")


def test_subscribers_can_select_every_column(supabase: Supabase) -> None:
    """Otherwise Realtime sends `Error 401: Unauthorized` or omits columns."""
    hidden = supabase.rows(
        """select attname from pg_attribute
           where attrelid = %s::regclass and attnum > 0 and not has_column_privilege('authenticated', attrelid, attnum, 'select')""",
        TABLE,
    )
    assert hidden == []
    assert not supabase.row("select has_any_column_privilege('anon', %s, 'select') as anon", TABLE)["anon"]


# The publication ----------------------------------------------------------------------------------


def published(supabase: Supabase) -> list[str]:
    found = supabase.rows(
        "select schemaname || '.' || tablename as name from pg_publication_tables where pubname = 'supabase_realtime' order by name"
    )
    return [row["name"] for row in found]


def test_publication_contains_only_the_mirror(supabase: Supabase) -> None:
    assert published(supabase) == [TABLE]


def test_migration_adds_the_table_to_the_publication_and_is_repeatable(supabase: Supabase) -> None:
    supabase.rows(f"alter publication supabase_realtime drop table {TABLE}")
    for _ in range(2):
        for migration in MIGRATIONS:
            supabase.cluster.psql_file(migration, user="postgres", one_transaction=True)
        assert published(supabase) == [TABLE]


def test_migration_keeps_a_publication_of_all_tables(supabase: Supabase) -> None:
    try:
        supabase.cluster.psql("drop publication supabase_realtime; create publication supabase_realtime for all tables")
        for migration in MIGRATIONS:
            supabase.cluster.psql_file(migration, user="postgres", one_transaction=True)
        assert TABLE in published(supabase)
    finally:
        supabase.cluster.psql("drop publication supabase_realtime")
        supabase.rows(f"create publication supabase_realtime for table {TABLE}")


# The page -----------------------------------------------------------------------------------------


def test_every_statement_of_the_page_is_tested() -> None:
    """A change of a statement on the page requires a change of its test above."""
    _, _, section = PAGE.read_text().partition("\n## Realtime\n")
    stated = re.findall(r"^- \*\*(.+?)\*\*", section, re.MULTILINE)
    assert stated == [
        "One change for each row that changed.",
        "Inserted and updated rows go to the users who may see their new state.",
        "A deletion goes to every subscriber, with the `id` only.",
        "The `old` of an update has the `id` only.",
    ]
    assert "Leave the table's replica identity as it is." in section
