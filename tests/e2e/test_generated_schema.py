"""The committed declarations of the Rust functions are those that pgrx generates from the code.

UPDATE_GOLDEN=1 scripts/test generated_schema    writes sql/extension/objects/10_rust_functions.sql
"""

from __future__ import annotations

import os

import pytest

from harness import extension, versions
from harness.postgres import Installation


@pytest.fixture(scope="module")
def generated(extension_pg: Installation) -> str:
    return extension.generated_schema(versions.target())


def test_declarations_of_the_rust_functions_are_current(generated: str) -> None:
    expected = extension.declarations(generated)
    if os.environ.get("UPDATE_GOLDEN"):
        extension.FUNCTIONS.write_text(expected)
    assert "sync_mirror_wrapper" in expected
    assert extension.FUNCTIONS.read_text() == expected


def test_pgrx_installs_the_same_files_as_the_script(generated: str) -> None:
    """In-server tests use pgrx's schema, all other tests `extension.script()`."""
    files = [path for path in sorted(extension.SQL.glob("*/*/*.sql")) if path != extension.FUNCTIONS]
    assert len(files) > 10
    for path in files:
        assert path.read_text().strip() in generated, path.name
        assert extension.script().count(path.read_text()) == 1, path.name
    # The objects have the same order, and follow the tables.
    objects = [generated.index(path.read_text().strip()) for path in extension.objects() if path != extension.FUNCTIONS]
    assert objects == sorted(objects)
    tables = [generated.index(path.read_text().strip()) for path in (extension.SQL / "core/tables").glob("*.sql")]
    assert max(tables) < min(objects)
