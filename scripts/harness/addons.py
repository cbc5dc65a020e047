"""Builds the Odoo modules for the app store, and writes their generated files.

    scripts/addons [FOLDER]    writes FOLDER/<series>/<module> for each Odoo (default: dist)
    scripts/addons --readme    writes each module's README.rst from its readme/
    scripts/addons --pot       writes each module's i18n/*.pot, with a real Odoo 19

One folder of a module installs on every series. The app store requires a version that begins with
the series, which would make the module uninstallable on the others.
"""

from __future__ import annotations

import argparse
import ast
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

from . import odoo, paths, setup, shell

SERIES = ("18.0", "19.0", "20.0")
SOURCE = paths.PROJECT / "addons/ipai"

#: The fragments of OCA's readme/, and their titles in README.rst.
_FRAGMENTS = {
    "DESCRIPTION": "",
    "INSTALL": "Installation",
    "CONFIGURE": "Configuration",
    "USAGE": "Usage",
    "DEVELOP": "Development",
    "ROADMAP": "Known issues / Roadmap",
}

_VERSION = re.compile(r'^(?: *#.*\n)? *"version": "(?=\d+\.\d+\.\d+")', re.MULTILINE)
#: The lines of a .pot file that differ with each export.
_UNSTABLE = re.compile(r'^"(?:POT-Creation-Date|PO-Revision-Date): .*\n|(?<="Project-Id-Version: Odoo Server 19\.0)[^\\]*', re.MULTILINE)


def manifest(module: Path) -> dict[str, Any]:
    """Returns the manifest of the module in this folder."""
    return dict(ast.literal_eval((module / "__manifest__.py").read_text()))


def build(folder: Path) -> list[Path]:
    """Writes the modules for each series into the folder, and returns the modules' folders."""
    built = []
    for series in SERIES:
        shutil.rmtree(folder / series, ignore_errors=True)
        for name in odoo.MODULES:
            module = folder / series / name
            shutil.copytree(SOURCE / name, module, ignore=shutil.ignore_patterns("__pycache__"))
            shutil.copy(SOURCE / "LICENSE", module)
            text = (module / "__manifest__.py").read_text()
            (module / "__manifest__.py").write_text(_VERSION.sub(f'    "version": "{series}.', text))
            page = module / "static/description/index.html"
            shell.run([setup.ensure_addons_venv(), "-m", "docutils", module / "README.rst", page])
            built.append(module)
    return built


def readme(module: Path) -> str:
    """Returns the README.rst of the module in this folder, in the order of OCA's."""
    described = manifest(module)
    authors = [author.strip() for author in described["author"].split(",")]
    credits = {
        "Authors": _items(authors),
        "Contributors": (module / "readme/CONTRIBUTORS.rst").read_text(),
        "Maintainers": f"Current maintainers: {', '.join(described['maintainers'])}\n\nWebsite: {described['website']}\n",
    }
    parts = [f"{_title(described['name'], '=', above=True)}\n..\n   scripts/addons --readme writes this file. Change readme/ instead.\n"]
    for fragment, title in _FRAGMENTS.items():
        if (path := module / "readme" / f"{fragment}.rst").exists():
            parts.append((_title(title, "=") + "\n" if title else "") + path.read_text())
        if fragment == "DESCRIPTION":
            parts.append("**Table of contents**\n\n.. contents::\n   :local:\n")
    parts.append(_title("Credits", "="))
    parts += [f"{_title(title, '~')}\n{text}" for title, text in credits.items()]
    parts.append(f"{_title('License', '=')}\n{described['license']} or later. The file LICENSE has its text.\n")
    return "\n".join(parts)


def _title(text: str, underline: str, *, above: bool = False) -> str:
    line = underline * len(text)
    return "\n".join([*([line] if above else []), text, line, ""])


def _items(texts: list[str]) -> str:
    return "".join(f"* {text}\n" for text in texts)


def templates() -> dict[Path, str]:
    """Returns the translation templates of the modules by their paths, from a real Odoo."""
    with odoo.Odoo(odoo.MODULES, serve=False) as server:
        return {SOURCE / name / "i18n" / f"{name}.pot": _UNSTABLE.sub("", server.translation_template(name)) for name in odoo.MODULES}


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/addons", description="Builds the Odoo modules for the app store.")
    parser.add_argument("folder", nargs="?", type=Path, default=paths.PROJECT / "dist", help="where to write them (default: dist)")
    parser.add_argument("--readme", action="store_true", help="write each module's README.rst instead")
    parser.add_argument("--pot", action="store_true", help="write each module's i18n/*.pot instead, with a real Odoo 19")
    options = parser.parse_args()
    setup.ensure_system()
    written: dict[Path, str] = {}
    if options.readme:
        written |= {SOURCE / name / "README.rst": readme(SOURCE / name) for name in odoo.MODULES}
    if options.pot:
        written |= templates()
    for path, text in written.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        print(path.relative_to(paths.PROJECT))
    if not options.readme and not options.pot:
        for module in build(options.folder.resolve()):
            print(os.path.relpath(module))
    return 0


if __name__ == "__main__":
    sys.exit(main())
