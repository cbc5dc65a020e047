"""The committed declarations of the Rust functions are those that pgrx generates from the code.

UPDATE_GOLDEN=1 scripts/test generated_schema    writes sql/15_rust_functions.sql
"""

from __future__ import annotations

import os

import pytest

from harness import extension
from harness.postgres import Installation


@pytest.fixture(scope="module")
def generated(extension_pg: Installation) -> str:
    return extension.generated_schema(Installation.default())


def test_the_declarations_of_the_rust_functions_are_current(generated: str) -> None:
    expected = extension.declarations(generated)
    if os.environ.get("UPDATE_GOLDEN"):
        extension.FUNCTIONS.write_text(expected)
    assert "sync_mirror_wrapper" in expected
    assert extension.FUNCTIONS.read_text() == expected


def test_pgrx_installs_the_same_files_as_the_script(generated: str) -> None:
    """In-server tests create the extension from what pgrx generates, everything else from `extension.script()`."""
    files = [path for path in sorted(extension.FUNCTIONS.parent.glob("[0-9]*.sql")) if path != extension.FUNCTIONS]
    assert len(files) > 5
    for path in files:
        assert path.read_text().strip() in generated, path.name
        assert path.read_text() in extension.script()
