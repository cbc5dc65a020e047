"""Tests that a hostile Odoo gains nothing by texts, by the size of its answers, or over time."""

from __future__ import annotations

import html
import json
import urllib.parse
import xmlrpc.client
from collections.abc import Callable, Iterator
from typing import Any, cast

import psycopg
import pytest

from support.definitions import ScriptedOdoo, create_statement, execute
from support.faulty import Exchange, FaultyOdoo, Request, fault, metric, raw, result, status, web_page
from support.hostile import log_of, texts_of
from support.sessions import Connection
from support.supabase import Supabase

RUN = "call ipai.run_sync('sample_metrics')"
SYNC = "select * from ipai.sync_sample_metrics()"
CHECK = "select * from ipai.check_connection('odoo')"
#: The most characters of Odoo's text in a part of an error, with the words around it.
LIMIT = 2_500

#: Characters that a terminal or a viewer executes instead of showing them: escape, C1 controls, and
#: controls of the text's direction.
CONTROLS = "\x1b\x07\x9b\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c"
EVIL = f"x\x1b[2J\x1b]0;title\x07\x9b31m\u202e{CONTROLS}y"


class Records:
    """What a call leaves in errors, notices, the server's log and the extension's tables."""

    def __init__(self, supabase: Supabase) -> None:
        self.supabase = supabase
        self.begins = supabase.cluster.log.stat().st_size
        self.session: Connection = supabase.connect()
        self.parts: list[str] = []
        self.session.add_notice_handler(lambda notice: self.parts.extend(texts_of(notice).split("\n")))

    def call(self, statement: str) -> psycopg.errors.Diagnostic | None:
        """Runs a statement that may fail, and returns its error."""
        try:
            execute(self.session, statement)
        except psycopg.Error as error:
            self.parts += texts_of(error.diag).split("\n")
            return error.diag
        return None

    def everything(self) -> dict[str, str]:
        """Returns the texts by place."""
        tables = ("ipai.run_log", "ipai.sync_runs", "ipai.sync_status", "ipai.sync_alerts", "ipai.mirror_state")
        stored = [row["text"] for table in tables for row in self.supabase.rows(f"select r::text as text from {table} r")]
        return {"client": "\n".join(self.parts), "log": log_of(self.supabase, self.begins), "tables": "\n".join(stored)}


@pytest.fixture
def records(supabase: Supabase, erp: ScriptedOdoo) -> Records:
    return Records(supabase)


def assert_clean(records: Records) -> None:
    found = {place: sorted({f"{ord(c):04x}" for c in text if c in CONTROLS}) for place, text in records.everything().items()}
    assert [place for place, characters in found.items() if characters] == [], found


def assert_short(records: Records, *, lines: int = 12) -> None:
    assert max(len(part) for part in records.parts) <= LIMIT
    sizes = {place: len(text) for place, text in records.everything().items()}
    assert max(sizes.values()) <= lines * LIMIT, sizes


# Texts --------------------------------------------------------------------------------------------


def raw_fault(text: str) -> Callable[[Exchange], None]:
    """Sends a fault whose text Python would not send: XML 1.0 does not allow all characters."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;")
    body = (
        "<?xml version='1.0'?><methodResponse><fault><value><struct>"
        "<member><name>faultCode</name><value><int>1</int></value></member>"
        f"<member><name>faultString</name><value><string>{escaped}</string></value></member>"
        "</struct></value></fault></methodResponse>"
    ).encode()
    return lambda exchange: exchange.send(200, {}, body)


LONG_TEXTS = {
    "a message": "x" * 3_000_000,
    "a traceback": "Traceback (most recent call last):\n" + "  File x\n" * 300_000 + "ValueError: " + "y" * 100_000,
    "many lines": "short\n" * 500_000,
    "wide characters": "\U0001f600" * 700_000,
}


@pytest.mark.parametrize("text", LONG_TEXTS.values(), ids=LONG_TEXTS.keys())
@pytest.mark.parametrize("code", [1, 2, 4])
def test_long_fault_is_cut(records: Records, erp: ScriptedOdoo, text: str, code: int) -> None:
    erp.on("search_read", fault(code, text))
    records.call(RUN)
    records.call(SYNC)
    assert_short(records)


def test_fault_has_no_control_characters(records: Records, erp: ScriptedOdoo) -> None:
    erp.on("search_read", raw_fault(f"Traceback (most recent call last):\n{EVIL}\nValueError: {EVIL}"))
    for call in (RUN, SYNC):
        found = records.call(call)
        assert found and "ValueError" in (found.message_primary or "")
    assert_clean(records)


class Describing(ScriptedOdoo):
    """An Odoo that describes its fields with hostile texts."""

    def __init__(self) -> None:
        super().__init__([metric(1), metric(2)])
        #: Attributes of the field `name`.
        self.described: dict[str, Any] = {}
        #: The name of an additional field.
        self.additional: str | None = None

    def answer(self, request: Request) -> bytes:
        body = super().answer(request)
        if request.method != "fields_get":
            return body
        (fields,), _ = cast(tuple[tuple[dict[str, Any]], Any], xmlrpc.client.loads(body))
        fields["name"].update(self.described)
        if self.additional:
            fields[self.additional] = fields["code"]
        # Python's encoder refuses no character here.
        return xmlrpc.client.dumps((fields,), methodresponse=True).encode()


@pytest.fixture
def describing(supabase: Supabase) -> Iterator[Describing]:
    with Describing() as server:
        supabase.server(server.url)
        yield server


@pytest.mark.parametrize("text", [EVIL, "x" * 1_000_000], ids=["control characters", "a long text"])
def test_drift_shows_no_hostile_type(supabase: Supabase, describing: Describing, text: str) -> None:
    supabase.rows(create_statement("metrics", "ipai.metrics_rows", fields="name,code,write_date"))
    supabase.sync("metrics")
    records = Records(supabase)
    describing.described = {"type": text}
    records.call("call ipai.run_sync('metrics', 'full')")
    records.call("select * from ipai.refresh_mirror('metrics')")
    assert supabase.rows("select from ipai.sync_alerts where mirror = 'metrics' and kind = 'drift'") != []
    assert_clean(records)
    assert_short(records)


@pytest.mark.parametrize("text", [EVIL, "x" * 1_000_000], ids=["control characters", "a long text"])
def test_errors_show_no_hostile_names_of_fields(supabase: Supabase, describing: Describing, text: str) -> None:
    records = Records(supabase)
    describing.additional = f"nam{text}"
    describing.described = {"type": text, "relation": text}
    for fields in ("nane,code", "name,code"):
        records.call(create_statement("metrics", "ipai.metrics_rows", fields=fields))
    assert records.parts
    assert_clean(records)
    assert_short(records)


# The password -------------------------------------------------------------------------------------

PASSWORD = "Gehéim'\"<&\\Zq9x"


def forms(password: str) -> dict[str, str]:
    """Returns the password in the forms in which programs write texts."""
    return {
        "plain": password,
        "repr": repr(password)[1:-1],
        "ascii": ascii(password)[1:-1],
        "repr of bytes": repr(password.encode())[2:-1],
        "JSON": json.dumps(password)[1:-1],
        "JSON with letters": json.dumps(password, ensure_ascii=False)[1:-1],
        "HTML": html.escape(password),
        "URL": urllib.parse.quote(password),
        "form": urllib.parse.quote_plus(password),
    }


@pytest.fixture
def guarded(supabase: Supabase) -> Iterator[FaultyOdoo]:
    """An Odoo with a password of awkward characters."""
    with FaultyOdoo([metric(1)], password=PASSWORD) as server:
        supabase.server(server.url, password=PASSWORD)
        yield server


def assert_no_password(records: Records) -> None:
    shown = {place: [name for name, form in forms(PASSWORD).items() if form in text] for place, text in records.everything().items()}
    assert [place for place, names in shown.items() if names] == [], shown


@pytest.mark.parametrize("form", forms(PASSWORD))
def test_escaped_password_is_redacted(supabase: Supabase, guarded: FaultyOdoo, form: str) -> None:
    records = Records(supabase)
    text = f"Traceback (most recent call last):\nexecute_kw('odoo', 2, '{forms(PASSWORD)[form]}', 'res.partner')\nValueError: {forms(PASSWORD)[form]} is wrong"
    guarded.on("search_read", fault(1, text))
    for call in (RUN, SYNC):
        assert records.call(call)
    assert_no_password(records)


def test_password_at_the_cut_is_redacted(supabase: Supabase, guarded: FaultyOdoo) -> None:
    """A text must be redacted before it is cut, or the cut leaves a part of the password."""
    records = Records(supabase)
    for before in range(1_960, 2_008, 3):
        guarded.on("search_read", fault(2, "x" * before + PASSWORD), times=1)
        records.call(SYNC)
    assert "Gehé" not in "".join(records.everything().values())


@pytest.mark.parametrize("form", ["plain", "URL", "form"])
def test_password_in_the_path_of_a_redirect_is_redacted(supabase: Supabase, guarded: FaultyOdoo, form: str) -> None:
    records = Records(supabase)
    written = forms(PASSWORD)[form].encode().decode("latin-1")
    guarded.on("search_read", status(302, location=f"http://127.0.0.1:9/login/{written}/x"))
    for call in (RUN, SYNC):
        assert records.call(call)
    assert_no_password(records)
    # A URL may encode some of the characters only.
    assert "Zq9x" not in "".join(records.everything().values())


# Sizes --------------------------------------------------------------------------------------------

OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nConnection: close\r\n\r\n"


def endless_text(sent: list[int], megabytes: int = 64) -> Callable[[Exchange], None]:
    """Sends a well-formed answer whose only text is long, and counts the megabytes sent."""

    def pieces(_: bytes) -> Iterator[bytes]:
        yield b"<?xml version='1.0'?><methodResponse><params><param><value><struct><member><name>server_version</name><value><string>"
        for number in range(megabytes):
            sent.append(number)
            yield b"x" * (1 << 20)
        yield b"</string></value></member></struct></value></param></params></methodResponse>"

    return raw(OK, pieces)


@pytest.mark.parametrize("method", ["version", "authenticate"])
def test_large_answer_before_the_login_is_refused_early(records: Records, erp: ScriptedOdoo, method: str) -> None:
    """Anyone at the address can give this answer, without a login."""
    sent: list[int] = []
    erp.on(method, endless_text(sent))
    found = records.call(CHECK)
    assert found and found.sqlstate == "54000"
    # Buffers on the way take some megabytes.
    assert len(sent) < 24


def test_large_count_is_refused_early(records: Records, erp: ScriptedOdoo) -> None:
    sent: list[int] = []
    erp.on("search_count", endless_text(sent))
    found = records.call("select * from ipai.refresh_counts('sample_metrics')")
    # Three counts are asked for together.
    assert found and found.sqlstate == "54000" and len(sent) < 3 * 24


@pytest.mark.parametrize("uid", [2**31, 2**40, 2**63 - 1, 0, -1])
def test_impossible_user_id_is_refused(records: Records, erp: ScriptedOdoo, uid: int) -> None:
    body = result(7).replace(b"<int>7</int>", b"<i8>%d</i8>" % uid)
    erp.on("authenticate", web_page(body, "text/xml"))
    for call in (CHECK, RUN):
        found = records.call(call)
        assert found and found.sqlstate == "08P01", found and found.message_primary
    assert records.supabase.rows("select from ipai.odoo_logins") == []


def test_endless_pages_stop(supabase: Supabase, erp: ScriptedOdoo) -> None:
    """Each page has other records than those before, far more than Odoo counts."""

    def page(exchange: Exchange) -> None:
        (after,) = (term[2] for term in exchange.request.domain if term[:2] == ["id", ">"])
        rows = [metric(after + n) for n in range(1, exchange.request.kwargs["limit"] + 1)]
        names = ["id", *exchange.request.kwargs["fields"]]
        exchange.send(200, {}, result([{name: row[name] for name in names} for row in rows]))

    supabase.register(page_size=1000)
    supabase.run()
    erp.on("search_read", page)
    session = supabase.connect()
    execute(session, "set statement_timeout = '30s'")
    with pytest.raises(psycopg.Error) as raised:
        execute(session, RUN)
    assert raised.value.sqlstate == "54000", raised.value


# Over time ----------------------------------------------------------------------------------------


def test_repeated_deletions_raise_an_alert(supabase: Supabase, erp: ScriptedOdoo) -> None:
    """Each run stays within the deletion guard. Together they empty the mirror."""
    alerts = "select kind from ipai.sync_alerts where mirror = 'sample_metrics'"
    erp.records = [metric(number) for number in range(1, 601)]
    supabase.register()
    supabase.run()
    erp.records = erp.records[20:]
    assert supabase.run()["deleted"] == 20
    assert supabase.rows(alerts) == []
    for _ in range(3):
        erp.records = erp.records[100:]
        assert supabase.run()["deleted"] == 100
    assert supabase.rows(alerts) == [{"kind": "deletions"}]
    (alert,) = supabase.rows("select message, hint from ipai.sync_alerts where mirror = 'sample_metrics'")
    assert "320" in alert["message"] and alert["hint"]
    # Deletions of earlier days count no longer.
    supabase.rows("update ipai.run_log set started_at = started_at - interval '2 days', finished_at = finished_at - interval '2 days'")
    assert "deletions" not in {row["kind"] for row in supabase.rows(alerts)}


# SQL in hints -------------------------------------------------------------------------------------

EVIL_NAME = "x'); drop table y; --"
QUOTED = "'x''); drop table y; --'"


def assert_quoted(text: str | None) -> None:
    """Checks that a text names the mirror as an SQL literal, wherever it has a statement."""
    assert text and QUOTED in text, text
    assert EVIL_NAME not in text.replace(QUOTED, ""), text


@pytest.fixture
def evil_mirror(supabase: Supabase, erp: ScriptedOdoo) -> Supabase:
    supabase.rows("select * from ipai.create_mirror('ipai.sample.metric', 'ipai.evil', '{name,write_date}', name => %s)", EVIL_NAME)
    return supabase


def evil_error(supabase: Supabase, arguments: str = "%s") -> psycopg.errors.Diagnostic:
    with pytest.raises(psycopg.Error) as raised:
        supabase.rows(f"call ipai.run_sync({arguments})", EVIL_NAME)
    return raised.value.diag


def test_hint_of_the_deletion_guard_quotes_the_mirror(evil_mirror: Supabase, erp: ScriptedOdoo) -> None:
    erp.records = [metric(number) for number in range(1, 301)]
    evil_mirror.rows("call ipai.run_sync(%s)", EVIL_NAME)
    erp.records = erp.records[:10]
    found = evil_error(evil_mirror)
    assert found.sqlstate == "55000"
    assert_quoted(found.message_hint)
    for alert in evil_mirror.rows("select hint from ipai.sync_alerts where mirror = %s", EVIL_NAME):
        assert_quoted(alert["hint"])


def test_hint_of_another_database_quotes_the_mirror(evil_mirror: Supabase, erp: ScriptedOdoo) -> None:
    evil_mirror.rows("call ipai.run_sync(%s)", EVIL_NAME)
    erp.company = "2026-01-02 08:00:00"
    found = evil_error(evil_mirror, "%s, 'full'")
    assert found.sqlstate == "55000"
    assert_quoted(found.message_hint)


def test_hints_of_alerts_quote_the_mirror(evil_mirror: Supabase, erp: ScriptedOdoo) -> None:
    alerts = "select kind, hint from ipai.sync_alerts where mirror = %s"
    evil_mirror.rows("update ipai.mirrors set created_at = now() - interval '1 day' where name = %s", EVIL_NAME)
    found = evil_mirror.rows(alerts, EVIL_NAME)
    erp.on("search_read", fault(1, "x"))
    evil_error(evil_mirror)
    found += evil_mirror.rows(alerts, EVIL_NAME)
    assert {row["kind"] for row in found} == {"never", "failing"}
    for row in found:
        assert_quoted(row["hint"])


def test_hint_to_register_a_table_quotes_the_mirror(evil_mirror: Supabase) -> None:
    evil_mirror.rows(
        "drop table ipai.evil; create table ipai.evil (odoo_id bigint unique, name text, active boolean, write_date timestamptz)"
    )
    found = evil_error(evil_mirror)
    assert found.sqlstate == "42501" and f"select ipai.register_mirror({QUOTED});" in (found.message_hint or "")
