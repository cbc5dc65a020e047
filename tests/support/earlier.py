"""Makes an earlier version of the extension from this one, and the step back to this one."""

from __future__ import annotations

from pathlib import Path

from harness import extension, paths
from harness.postgres import Installation

#: Two versions before this one. `OLDEST` is upgraded by both steps.
OLDEST, EARLIER = "0.0.1", "0.0.2"

#: A column that the earlier versions lack, which is the last one of its table.
_COLUMN = "safe_page_size integer check (safe_page_size > 0)"

#: What the earlier version has in place of this version's SQL.
_DIFFERENCES = [
    (f"degraded_since < '10000-01-01 00:00:00+00'),\n    {_COLUMN}\n", "degraded_since < '10000-01-01 00:00:00+00')\n"),
    ("comment on column ipai.mirror_state.safe_page_size is", "comment on column ipai.mirror_state.filled_company is"),
    ("degraded_since,\n                      safe_page_size)", "degraded_since)"),
    # A view with other columns in another order.
    (
        "select alert.severity, alert.kind, s.mirror, alert.since, alert.message,\n       ipai.command_hint(alert.hint) as hint\n",
        "select s.mirror, alert.kind, alert.severity, alert.since, alert.message, alert.hint, 1 as position\n",
    ),
    # A view and functions with other definitions.
    ("t.degraded is not null,\n        t.degraded_since,\n", "t.degraded is not null,\n        null::timestamptz,\n"),
    ("when now() - c.finished_at > m.reconcile_every then 'stale'", "when now() - c.finished_at > interval '1 day' then 'stale'"),
    ("payload := jsonb_build_object('raised', raised, 'cleared', cleared);", "payload := raised;"),
    ("alter function ipai.sync_sample_metrics(date, integer, boolean) set statement_timeout = '55s';\n", ""),
    # A Rust function that it lacks, and arguments without their defaults.
    ('create or replace function "odoo_models"(', 'create or replace function "models_of_odoo"('),
    ("comment on function ipai.odoo_models(text) is", "comment on function ipai.models_of_odoo(text) is"),
    ("    \"kwargs\" jsonb DEFAULT '{}'\n", '    "kwargs" jsonb\n'),
    ('    "args" jsonb DEFAULT \'[]\',\n    "kwargs" jsonb\n', '    "args" jsonb,\n    "kwargs" jsonb\n'),
    # Comments and privileges.
    (
        "comment on view ipai.sync_status is 'Health of the mirrors: one row for each mirror.'",
        "comment on view ipai.sync_status is 'Status'",
    ),
    ("            ipai.has_cron(),\n            ipai.secret_binding(", "            ipai.secret_binding("),
    ("grant select, insert, update on ipai.odoo_logins to service_role;", "grant all on ipai.odoo_logins to service_role;"),
    ("grant select on ipai.sync_count_delta, ipai.sample_metrics_count_delta to authenticated;", ""),
]

#: What no idempotent file can do.
_STEP = f"""
    alter table ipai.mirror_state add column {_COLUMN};
    drop view if exists ipai.sync_alerts;
    drop function if exists ipai.models_of_odoo(text);
    revoke all on ipai.odoo_logins from service_role;
"""

#: The oldest version lacks another column, too.
_OLDEST_DIFFERENCE = ("    xmlrpc_until  timestamptz,\n", "")
_OLDEST_COMMENT = ("comment on column ipai.odoo_logins.xmlrpc_until is", "comment on column ipai.odoo_logins.addon is")
_OLDEST_STEP = "alter table ipai.odoo_logins add column xmlrpc_until timestamptz;\n"


def _changed(text: str, *differences: tuple[str, str]) -> str:
    for ours, theirs in differences:
        assert text.count(ours) == 1, f"{text.count(ours)} times in the SQL: {ours}"
        text = text.replace(ours, theirs)
    return text


def steps() -> Path:
    """A folder like sql/updates, with the steps from the earlier versions."""
    folder = paths.run_dir() / "updates"
    folder.mkdir(exist_ok=True)
    (folder / f"{OLDEST}--{EARLIER}.sql").write_text(_OLDEST_STEP)
    (folder / f"{EARLIER}--{extension.version()}.sql").write_text(_STEP)
    return folder


def scripts() -> dict[str, str]:
    """Returns the SQL of both earlier versions and the updates from them, by file name."""
    earlier = _changed(extension.script(), *_DIFFERENCES)
    texts = {EARLIER: earlier, OLDEST: _changed(earlier, _OLDEST_DIFFERENCE, _OLDEST_COMMENT)}
    texts |= {f"{start}--{extension.version()}": text for start, text in extension.updates(steps()).items()}
    return {f"ipai_sync--{name}.sql": text for name, text in texts.items()}


def install(installation: Installation) -> None:
    """Adds both earlier versions and the updates from them to an installation."""
    for name, text in scripts().items():
        (installation.extension_dir / name).write_text(text)
