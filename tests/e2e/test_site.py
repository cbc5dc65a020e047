"""Tests the docs site, and the form of the changelog from which releases take their notes."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from harness import changelog, paths, site


@pytest.fixture(scope="module")
def built() -> Path:
    return site.build(paths.run_dir() / "site")


def test_site_has_no_dead_link(built: Path) -> None:
    assert list(site.dead_links(built)) == []


def test_missing_files_and_sections_are_dead_links(built: Path, tmp_path: Path) -> None:
    broken = tmp_path / "site"
    shutil.copytree(built, broken)
    (broken / "docs/images/dashboard-overview.png").unlink()
    (broken / "docs/how-to/operate.html").unlink()
    concepts = broken / "docs/explanation/concepts.html"
    concepts.write_text(concepts.read_text().replace('id="rejects"', 'id="others"'))
    dead = list(site.dead_links(broken))
    for link in (
        "index.html: docs/images/dashboard-overview.png",
        "docs/index.html: how-to/operate.html",
        "docs/how-to/troubleshooting.html: ../explanation/concepts.html#rejects",
    ):
        assert link in dead


def test_contents_begin_with_readme_and_tutorial(built: Path) -> None:
    linked = re.findall(r'href="([^"#]+\.html)"', (built / "toc.html").read_text())
    assert linked[:2] == ["index.html", "docs/tutorial/first-mirror.html"]
    pages = {str(path.relative_to(built)) for path in built.rglob("*.html")}
    assert set(linked) == pages - {"toc.html"}


def test_search_finds_a_page(built: Path) -> None:
    (index,) = built.glob("searchindex-*.js")
    searched = index.read_text()
    for word in ("ipai_monitor", "keyset", "rotate_odoo_key"):
        assert word in searched
    assert json.dumps("docs/how-to/monitoring.html#alerts") in searched


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("# Changelog\n\n## [Unreleased]\n\n### Added\n\n- x\n\n## [1.0.0] - 2026-12-31\n\n### Fixed\n\n- y\n", None),
        ("# Changelog\n\n## [Unreleased]\n\n### News\n", "5: not one of Added"),
        ("# Changelog\n\n## [Unreleased]\n\n- x\n", "5: a change outside"),
        ("# Changelog\n\n## [1.0.0]\n", "3: neither"),
        (
            "# Changelog\n\n## [Unreleased]\n## [1.0.0] - 2026-01-01\n## [1.1.0] - 2026-01-02\n",
            "5: the versions are not in descending order",
        ),
        ("# News\n\n## [Unreleased]\n", "1: the title"),
    ],
    ids=["right", "unknown section", "no section", "no date", "wrong order", "another title"],
)
def test_form_of_the_changelog_is_checked(text: str, finding: str | None) -> None:
    found = list(changelog.findings(text))
    assert (finding is None and found == []) or (finding is not None and found[0].startswith(finding))


def test_all_parts_have_the_newest_version_of_the_changelog() -> None:
    text = "# Changelog\n\n## [Unreleased]\n\n## [1.1.0] - 2026-12-31\n\n## [1.0.0] - 2026-12-01\n"
    assert list(changelog.other_versions(text, {"Cargo.toml": "1.1.0"})) == []
    (finding,) = changelog.other_versions(text, {"Cargo.toml": "1.1.0", "META.json": "1.0.0"})
    assert finding == "1: META.json has version 1.0.0, and the changelog 1.1.0"
    assert len(list(changelog.other_versions("# Changelog\n\n## [Unreleased]\n", changelog.versions()))) == len(changelog.versions()) == 5


def test_notes_of_a_release_are_its_section() -> None:
    text = "# Changelog\n\n## [Unreleased]\n\n## [1.1.0] - 2026-12-31\n\n### Added\n\n- x\n\n## [1.0.0] - 2026-12-01\n\n### Added\n\n- y\n"
    assert changelog.notes(text, "1.1.0") == "### Added\n\n- x"
    assert changelog.notes(text, "1.0.0") == "### Added\n\n- y"
    with pytest.raises(SystemExit, match="has no version"):
        changelog.notes(text, "1.0")
