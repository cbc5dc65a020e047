"""Tests the addons for Odoo 18, 19 and 20: what scripts/addons builds, and the changes of Odoo 20.

Only Odoo 19 can be run here. The addon `ipai_odoo20` brings what Odoo 20 changed into it.
"""

from __future__ import annotations

import ast
import base64
import csv
import re
import subprocess
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import addons, odoo, paths, setup
from harness.odoo import Odoo
from support.supabase import Supabase

#: The oldest Python that runs each series.
PYTHON = {"18.0": (3, 10), "19.0": (3, 10), "20.0": (3, 12)}
#: Ids of Odoo's own records that the addons use. All three versions have them.
BASE_IDS = {"base.group_system", "base.group_user"}
PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")

#: The folders of all built addons.
BUILT = [f"{series}/{name}" for series in addons.SERIES for name in odoo.MODULES]


@pytest.fixture(scope="module")
def dist() -> Path:
    """The built addons, in a folder that the server's user can read."""
    folder = paths.run_dir()
    addons.build(folder)
    return folder


@pytest.mark.parametrize("name", odoo.MODULES)
def test_readme_has_the_fragments(name: str) -> None:
    module = addons.SOURCE / name
    assert (module / "README.rst").read_text() == addons.readme(module), "run scripts/addons --readme"


def test_translation_templates_have_all_terms() -> None:
    for path, text in addons.templates().items():
        assert path.read_text() == text, "run scripts/addons --pot"


@pytest.mark.parametrize("built", BUILT)
def test_built_addon_suits_its_series(dist: Path, built: str) -> None:
    series, name = built.split("/")
    module = dist / built
    manifest = addons.manifest(module)
    assert manifest["version"] == f"{series}.{addons.manifest(addons.SOURCE / name)['version']}"
    for file in (*manifest.get("data", ()), *manifest.get("demo", ())):
        assert (module / file).is_file()
    for path in module.rglob("*.py"):
        ast.parse(path.read_text(), feature_version=PYTHON[series])
    assert "LESSER GENERAL PUBLIC LICENSE" in (module / "LICENSE").read_text()
    assert "<h1 " in (module / "static/description/index.html").read_text()
    lint = [str(setup.ensure_addons_venv()), "-m", "pylint", f"--rcfile={paths.PROJECT / 'addons/.pylintrc'}"]
    options = [f"--valid-odoo-versions={series}", r"--manifest-version-format={valid_odoo_versions}\.\d+\.\d+\.\d+$"]
    found = subprocess.run([*lint, *options, module], capture_output=True, text=True, cwd=paths.PROJECT)
    assert (found.returncode, found.stdout) == (0, "")


@pytest.mark.parametrize("built", BUILT)
def test_built_addon_refers_to_existing_records(dist: Path, built: str) -> None:
    module = dist / built
    documents = [ElementTree.parse(path).getroot() for path in module.rglob("*.xml")]
    models = set(re.findall(r'_name = "([\w.]+)"', "".join(path.read_text() for path in module.rglob("models/*.py"))))
    defined = {element.get("id") for root in documents for element in root.iter() if element.get("id")}
    defined |= {f"model_{model.replace('.', '_')}" for model in models}
    used = {reference for root in documents for element in root.iter() for reference in _references(element)}
    tables = {path: list(csv.DictReader(path.read_text().splitlines())) for path in module.rglob("*.csv")}
    for path, rows in tables.items():
        for row in rows:
            used.add(row.get("group_id:id") or row["group_id/id"])
            if path.name == "ir.access.csv":
                assert row["model_id"] in models
            else:
                used.add(row["model_id:id"])
    assert {reference.removeprefix(f"{module.name}.") for reference in used} - defined <= BASE_IDS
    # A database that was upgraded has the ids of both versions.
    ids = [row["id"] for rows in tables.values() for row in rows]
    assert len(ids) == len(set(ids)) and not defined & set(ids)


def _references(element: ElementTree.Element) -> Iterator[str]:
    for name, value in element.attrib.items():
        if name in ("ref", "action", "parent", "inherit_id"):
            yield value
        elif name == "groups":
            yield from value.split(",")
        elif name == "eval":
            yield from re.findall(r"ref\('([\w.]+)'\)", value)


def test_built_addons_install(dist: Path) -> None:
    with Odoo(odoo.MODULES, addons=dist / "19.0", dbname="built") as server:
        states = server.rpc("ir.module.module", "search_read", [("name", "in", odoo.MODULES)], ["state", "installed_version"])
        versions = [f"19.0.{addons.manifest(addons.SOURCE / name)['version']}" for name in odoo.MODULES]
        assert sorted((row["state"], row["installed_version"]) for row in states) == sorted(("installed", version) for version in versions)
        assert server.rpc("ipai.sync", "info")["protocol"] == 1
        assert server.rpc(odoo.MODEL, "get_sync_stats")["total"] == 0


@pytest.mark.no_mirrors
@pytest.mark.parametrize("modules", [(), ("ipai_sync",)], ids=["xmlrpc", "addon"])
def test_binary_values_of_odoo_20_are_mirrored(supabase: Supabase, modules: tuple[str, ...]) -> None:
    with Odoo(modules, odoo20=True) as server:
        partner = server.rpc("res.partner", "create", {"name": "Pictured", "image_1920": base64.b64encode(PNG).decode()})
        other = server.rpc("res.partner", "create", {"name": "Not pictured"})
        domain = [["id", "in", [partner, other]]]
        [read, _] = server.rpc("res.partner", "search_read", domain, ["image_1920"], order="id")
        assert read["image_1920"] == {"content": base64.b64encode(PNG).decode(), "size": len(PNG)}
        supabase.server(server.url)
        supabase.create_mirror("res.partner", fields=["name", "image_1920", "image_128"], domain=domain, target="ipai.partners")
        supabase.sync("partners")
    assert supabase.row("select addon from ipai.odoo_logins") == {"addon": bool(modules)}
    rows = supabase.rows("select name, image_1920, image_128 from ipai.partners order by odoo_id")
    assert rows[0] == {"name": "Pictured", "image_1920": PNG, "image_128": PNG}
    assert rows[1] == {"name": "Not pictured", "image_1920": None, "image_128": None}
