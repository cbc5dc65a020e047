"""Tests that names and texts of others give no commands to the shell or runner that sees them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness import shell
from support.definitions import ScriptedOdoo
from support.faulty import metric
from support.program import ProgramSupabase

#: Names that a shell would execute without quotes.
NAMES = (
    *("$(touch planted)", "`touch planted`", "x; touch planted", "x & touch planted #", "x > planted", "x | touch planted", "* ~ !! {a,b}"),
    *("it's $(touch planted)", '"$(touch planted)"', "'$(touch planted)'", "x'-'$(touch planted)'x'", "x\\'; touch planted; '", "\\"),
)


def words_of(command: str, folder: Path) -> list[str]:
    """Returns the words that a shell passes to a command."""
    shown = shell.run(["bash", "-c", f"printf '%s\\n' {command}"], cwd=folder, capture=True).stdout
    assert list(folder.iterdir()) == []
    return shown.splitlines()


def test_shell_executes_no_name_of_a_field(hosted_supabase: ProgramSupabase, tmp_path: Path) -> None:
    with ScriptedOdoo([metric(1)]) as erp:
        erp.extra_fields = {name: {} for name in NAMES}
        hosted_supabase.server(erp.url)
        ended = hosted_supabase.start("--json", "refresh-mirror", "sample_metrics").wait()
        assert ended.status == 0, ended
        notes = {row["field"]: row["note"] for row in json.loads(ended.stdout) if row["status"] == "new"}
        for name in NAMES:
            command = notes[name].removesuffix(" mirrors it")
            assert words_of(command, tmp_path) == ["--add-fields", name]


@pytest.mark.parametrize("call", ["call ipai.run_sync(%L, 'reconcile');", "select * from ipai.refresh_mirror(%L);"])
def test_shell_executes_no_name_in_a_hint(hosted_supabase: ProgramSupabase, tmp_path: Path, call: str) -> None:
    for name in NAMES:
        row = hosted_supabase.row("select ipai.command_hint(format(%s, %s::text), true) as hint", call, name)
        assert words_of(row["hint"], tmp_path)[0] == "ipai-sync", row
