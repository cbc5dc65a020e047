"""Tests monitoring/: Debian's Prometheus reads a real database through the real SQL exporter.

The role, the queries, the names of the figures and the rules are those of the files and of the
page. Only addresses and intervals differ, and the rules fire without a delay.
"""

from __future__ import annotations

import json
import os
import re
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from harness import paths, prometheus, shell
from harness.prometheus import Prometheus
from support.faulty import MODEL, FaultyOdoo, fault, metric, modified_value, recorded
from support.pages import blocks
from support.supabase import Supabase

MONITORING = paths.PROJECT / "monitoring"
PAGE = paths.PROJECT / "docs/how-to/monitoring.md"
RULES = yaml.safe_load((MONITORING / "rules.yml").read_text())
#: The names of the rules by kind of health alert.
KINDS = {
    kind[1]: rule["alert"]
    for group in RULES["groups"]
    for rule in group["rules"]
    if (kind := re.fullmatch(r'ipai_alert\{kind="(\w+)"\} > 0', rule["expr"]))
}
INTERVAL = "500ms"
RECORDS = [metric(number) for number in range(1, 13)]
MIRROR = "sample_metrics"


@pytest.fixture(scope="module")
def programs() -> Prometheus:
    return prometheus.ensure_prometheus()


@dataclass
class Monitor:
    """A running Prometheus."""

    url: str

    def get(self, path: str, **parameters: str) -> Any:
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}", timeout=10) as answer:
            return json.load(answer)["data"]

    def firing(self) -> set[tuple[str, str | None]]:
        """Returns the rule and the mirror of each alert that fires."""
        alerts = self.get("alerts")["alerts"]
        return {(alert["labels"]["alertname"], alert["labels"].get("mirror")) for alert in alerts if alert["state"] == "firing"}

    def wait_for(self, *expected: tuple[str, str | None]) -> None:
        """Waits until exactly these alerts fire."""
        try:
            shell.wait_until(lambda: self.firing() == set(expected), "", seconds=30, every=0.1)
        except TimeoutError:
            assert self.firing() == set(expected)

    def value(self, query: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get("query", query=query)["result"]
        return found

    def figures(self) -> dict[str, float]:
        """Returns the figures of the mirror, without those that have further labels."""
        found = {}
        for series in self.value('{__name__=~"ipai_(mirror|last_run)_.*", __name__!="ipai_mirror_state"}'):
            labels = series["metric"]
            assert set(labels) == {"__name__", "mirror", "job", "instance"} and labels["mirror"] == MIRROR
            found[labels["__name__"]] = float(series["value"][1])
        return found


@pytest.fixture(scope="module")
def monitor(_supabase: Supabase, programs: Prometheus) -> Iterator[Monitor]:
    """Prometheus and the exporter, which logs in as the role of the page."""
    (role,) = blocks("how-to/monitoring.md", "sql")
    _supabase.rows(role)
    folder = paths.run_dir()
    ports = {"exporter": shell.free_port(), "prometheus": shell.free_port()}
    servers = [_start_exporter(_supabase, programs, folder, ports["exporter"]), _start_prometheus(programs, folder, ports)]
    running = Monitor(f"http://127.0.0.1:{ports['prometheus']}")
    try:
        shell.wait_until(lambda: _answers(f"{running.url}/-/ready"), "Prometheus", seconds=30)
        yield running
    finally:
        for server in servers:
            shell.stop(server)
        _supabase.rows("grant ipai_monitor to postgres; drop owned by ipai_monitor; drop role ipai_monitor")


def _start_exporter(supabase: Supabase, programs: Prometheus, folder: Path, port: int) -> Any:
    written = (MONITORING / "sql_exporter.yml").read_text()
    config = folder / "sql_exporter.yml"
    config.write_text(written.replace("interval: 30s", f"interval: {INTERVAL}"))
    assert config.read_text() != written
    login = {"PGHOST": supabase.cluster.host, "PGPORT": str(supabase.cluster.port), "PGUSER": "ipai_monitor", "PGDATABASE": "postgres"}
    return shell.start(
        [programs.exporter, "-config.file", config, "-web.listen-address", f"127.0.0.1:{port}"],
        env={**{name: None for name in os.environ if name.startswith("PG")}, **login, "PGSSLMODE": "disable", "GOMAXPROCS": "1"},
        log=folder / "exporter.log",
    )


def _start_prometheus(programs: Prometheus, folder: Path, ports: dict[str, int]) -> Any:
    config = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    (job,) = config["scrape_configs"]
    job.update(scrape_interval=INTERVAL, scrape_timeout=INTERVAL, static_configs=[{"targets": [f"127.0.0.1:{ports['exporter']}"]}])
    config["global"] = {"evaluation_interval": INTERVAL}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    prompt = [{**group, "rules": [{**rule, "for": "0s"} for rule in group["rules"]]} for group in RULES["groups"]]
    (folder / "rules.yml").write_text(yaml.safe_dump({"groups": prompt}))
    return shell.start(
        [
            *(programs.server, f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}"),
            f"--web.listen-address=127.0.0.1:{ports['prometheus']}",
        ],
        env={"GOMAXPROCS": "1"},
        log=folder / "prometheus.log",
    )


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.fixture
def erp(supabase: Supabase) -> Iterator[FaultyOdoo]:
    with FaultyOdoo(RECORDS, addon=True) as server:
        supabase.server(server.url)
        yield server


@pytest.fixture
def healthy(supabase: Supabase, erp: FaultyOdoo, monitor: Monitor) -> Supabase:
    """A mirror without an alert, also in Prometheus."""
    supabase.register()
    supabase.run()
    monitor.wait_for()
    return supabase


# Each kind of health alert: how it comes about, and how it ends -----------------------------------

Change = Callable[[Supabase, FaultyOdoo], object]


def _fails(supabase: Supabase, erp: FaultyOdoo) -> None:
    with pytest.raises(psycopg.Error):
        supabase.run()


def _denied(supabase: Supabase, erp: FaultyOdoo) -> None:
    erp.on(None, recorded("fault_access_error_read_portal"))
    _fails(supabase, erp)


def _run(arguments: str = f"'{MIRROR}'") -> Change:
    def change(supabase: Supabase, erp: FaultyOdoo) -> None:
        erp.clear_faults()
        supabase.run(arguments)

    return change


def _sql(*statements: str) -> Change:
    return lambda supabase, erp: [supabase.rows(statement) for statement in statements]


def _records(*numbers: int, **values: Any) -> Change:
    def change(supabase: Supabase, erp: FaultyOdoo) -> None:
        erp.records = [metric(number, **values) for number in numbers]

    return change


def _all(*changes: Change) -> Change:
    return lambda supabase, erp: [change(supabase, erp) for change in changes]


def _drift(supabase: Supabase, erp: FaultyOdoo) -> None:
    erp.on("fields_get", modified_value(lambda fields: {name: field for name, field in fields.items() if name != "notes"}))
    supabase.run(f"'{MIRROR}', 'full'")


def _degraded(supabase: Supabase, erp: FaultyOdoo) -> None:
    erp.on("info", fault(4, "Sorry"))
    supabase.rows("delete from ipai.odoo_logins")
    supabase.run()


def _works_again(supabase: Supabase, erp: FaultyOdoo) -> None:
    erp.clear_faults()
    supabase.rows("select * from ipai.check_connection('odoo')")
    supabase.run()


DAY_AGO = "now() - interval '1 day'"
CHANGES: dict[str, tuple[Change, Change]] = {
    "failing": (_denied, _run()),
    "late": (_sql("update ipai.mirrors set max_age = '1 microsecond', late_after = '0'"), _sql("update ipai.mirrors set max_age = null")),
    "never": (
        _sql(f"delete from ipai.run_log; update ipai.mirrors set created_at = {DAY_AGO}"),
        _run(),
    ),
    "delta": (
        _all(_records(*range(1, 8)), _sql(f"select * from ipai.refresh_counts('{MIRROR}')")),
        _run(f"'{MIRROR}', 'reconcile'"),
    ),
    "drift": (_drift, _run(f"'{MIRROR}', 'full'")),
    "refused": (
        _all(_records(*range(1, 301)), _run(), _records(*range(1, 100)), _fails),
        _run(f"'{MIRROR}', max_delete_ratio => 1"),
    ),
    "flagged": (
        _all(_records(*range(1, 13), is_alert=True, write_date="2026-01-07 08:00:00"), _run()),
        _all(_records(*range(1, 13), write_date="2026-01-08 08:00:00"), _run()),
    ),
    "deletions": (
        _all(
            *(_records(*range(1, 301)), _run()),
            *(_records(*range(90, 301)), _run(f"'{MIRROR}', 'reconcile'"), _records(*range(180, 301)), _run(f"'{MIRROR}', 'reconcile'")),
        ),
        _sql(f"update ipai.run_log set started_at = {DAY_AGO}"),
    ),
    "rejects": (
        _all(_sql("alter table ipai.ipai_sample_metrics add constraint small check (odoo_id < 13)"), _records(*range(1, 14)), _run()),
        _all(_sql("alter table ipai.ipai_sample_metrics drop constraint small"), _run()),
    ),
    "degraded": (_degraded, _works_again),
    # Of the kinds, only this one is not brought about by Odoo: the test's Odoo has no keys that
    # expire.
    "key": (
        _sql("update ipai.mirror_state set key_expires = now() + interval '13 days'"),
        _sql("update ipai.mirror_state set key_expires = null"),
    ),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_health_alert_fires_and_resolves(healthy: Supabase, erp: FaultyOdoo, monitor: Monitor, kind: str) -> None:
    raise_it, clear_it = CHANGES[kind]
    raise_it(healthy, erp)
    assert [row["kind"] for row in healthy.rows("select kind from ipai.sync_alerts")] == [kind]
    monitor.wait_for((KINDS[kind], MIRROR))
    clear_it(healthy, erp)
    assert healthy.rows("select kind from ipai.sync_alerts") == []
    monitor.wait_for()


def test_each_kind_of_health_alert_has_a_rule(supabase: Supabase) -> None:
    kinds = supabase.row(
        """select substring(pg_get_constraintdef(oid) from '{([a-z,]+)}') as listed from pg_constraint
           where conrelid = 'ipai.mirror_state'::regclass and pg_get_constraintdef(oid) like '%failing%'"""
    )["listed"].split(",")
    assert sorted(KINDS) == sorted(CHANGES) == sorted(kinds)
    critical = {rule["alert"] for group in RULES["groups"] for rule in group["rules"] if rule["labels"]["severity"] == "critical"}
    sentence = re.search(r"[^.]* have the severity `critical`", " ".join(PAGE.read_text().split()))
    assert sentence and {KINDS[kind] for kind in re.findall(r"`(\w+)`", sentence[0]) if kind != "critical"} == critical & set(
        KINDS.values()
    )


def test_unreadable_database_fires_and_resolves(healthy: Supabase, monitor: Monitor) -> None:
    healthy.rows("revoke usage on schema ipai from ipai_monitor")
    monitor.wait_for(("IpaiSyncUnreadable", None))
    # The exporter still shows what it read last.
    assert monitor.value("ipai_mirror_state")
    healthy.rows("grant usage on schema ipai to ipai_monitor")
    monitor.wait_for()


def test_missing_figures_fire_and_resolve(healthy: Supabase, monitor: Monitor) -> None:
    healthy.rows("delete from ipai.mirrors")
    monitor.wait_for(("IpaiSyncUnmonitored", None))
    healthy.register()
    monitor.wait_for()


def test_figures_equal_the_views(healthy: Supabase, monitor: Monitor) -> None:
    healthy.rows("select ipai.schedule_sync(%s, '0 0 1 1 *')", MIRROR)
    healthy.run()
    # A follower, and its run.
    healthy.rows("insert into ipai.followers values ('odoo', %s, now() - interval '1 hour', now())", [MIRROR])
    healthy.rows(
        """insert into ipai.run_log (mirror, mode, state, finished_at, cursor_before, newest, odoo_clock, pages, fetched, inserted, updated,
                                     unchanged, deleted, odoo_count, mirror_count, latency, seconds_waiting, seconds_writing)
           values (%s, 'live', 'succeeded', now() + interval '2 seconds', '2026-01-01', '2026-01-02 00:00:00', '2026-01-02 00:00:01', 1, 9, 2, 3, 4, 1, 12, 12, '3 seconds', 0.5, 0.25)""",
        MIRROR,
    )
    run = healthy.last_run()
    status = healthy.row("select * from ipai.sync_status")
    shell.wait_until(lambda: monitor.figures().get("ipai_last_run_number") == run["run"], "the run", seconds=30)
    figures = monitor.figures()
    assert figures == pytest.approx(
        {
            "ipai_mirror_last_success_timestamp_seconds": status["last_success"].timestamp(),
            "ipai_mirror_next_due_timestamp_seconds": status["next_due"].timestamp(),
            "ipai_mirror_last_poll_timestamp_seconds": status["last_poll"].timestamp(),
            "ipai_mirror_latency_seconds": status["latency"].total_seconds(),
            "ipai_mirror_counted_timestamp_seconds": run["finished_at"].timestamp(),
            **{f"ipai_mirror_{name}": status[name] for name in ("failures", "rejects", "rows", "delta")},
            "ipai_mirror_odoo_records": run["odoo_count"],
            "ipai_last_run_number": run["run"],
            "ipai_last_run_seconds": (run["finished_at"] - run["started_at"]).total_seconds(),
            "ipai_last_run_odoo_seconds": run["seconds_waiting"],
            "ipai_last_run_database_seconds": run["seconds_writing"],
            **{f"ipai_last_run_{name}": run[name] for name in ("fetched", "inserted", "updated", "unchanged", "deleted")},
        },
        abs=1e-3,
    )
    assert set(re.findall(r"`(ipai_(?:mirror|last_run)_\w+)[`{]", PAGE.read_text())) == {*figures, "ipai_mirror_state"}
    (state,) = monitor.value("ipai_mirror_state")
    assert (state["metric"]["state"], state["metric"]["model"], state["metric"]["server"]) == ("ok", "ipai.sample.metric", "odoo")
    # `ipai-sync follow --metrics` serves the same.
    served = healthy.rows((paths.PROJECT / "crates/cli/src/sql/metrics.sql").read_text())
    of_mirrors = {row["name"]: row["value"] for row in served if row["labels"] == ["mirror", MIRROR]}
    assert of_mirrors == pytest.approx(figures, abs=1e-3)
    states = [row["labels"] for row in served if row["name"] == "ipai_mirror_state"]
    assert states == [["mirror", MIRROR, "server", "odoo", "model", MODEL, "state", "ok"]]


def test_dashboard_queries_have_results(healthy: Supabase, monitor: Monitor) -> None:
    dashboard = json.loads((MONITORING / "grafana.json").read_text())
    healthy.rows("update ipai.mirrors set max_age = '1 microsecond', late_after = '0'")
    monitor.wait_for(("IpaiSyncLate", MIRROR))
    queries = [target["expr"].replace("$mirror", ".*") for panel in dashboard["panels"] for target in panel["targets"]]
    assert len(queries) > 10
    assert [query for query in queries if not monitor.value(query)] == []


def test_role_of_the_exporter_reads_no_rows_and_writes_nothing(healthy: Supabase, monitor: Monitor) -> None:
    for statement in (
        *(
            "select from ipai.ipai_sample_metrics",
            "select from ipai.odoo_logins",
            "select from vault.decrypted_secrets",
            "select token from ipai.mirror_state",
        ),
        *(
            "call ipai.run_sync()",
            "select ipai.alter_mirror('sample_metrics', enabled => false)",
            "select * from ipai.check_connection('odoo')",
        ),
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            healthy.rows(statement, user="ipai_monitor")
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        healthy.rows("create table public.mine ()", user="ipai_monitor")
    for table in ("mirrors", "mirror_state", "run_log", "sync_rejects", "followers"):
        allowed = f"select has_table_privilege('ipai_monitor', 'ipai.{table}', 'insert, update, delete, truncate') as writes"
        assert healthy.row(allowed) == {"writes": False}


def test_rules_pass_their_own_tests(programs: Prometheus) -> None:
    """promtool tests each rule with its delay and its texts."""
    tested = yaml.safe_load((MONITORING / "rules_test.yml").read_text())["tests"]
    names = {case["alertname"] for test in tested for case in test["alert_rule_test"]}
    assert names == {rule["alert"] for group in RULES["groups"] for rule in group["rules"]}
    shell.run([programs.promtool, "test", "rules", MONITORING / "rules_test.yml"], capture=True)
    shell.run([programs.promtool, "check", "config", MONITORING / "prometheus.yml"], capture=True)
