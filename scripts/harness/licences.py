"""Collects the licences of everything that is linked into the library and the program."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from . import extension, paths, shell

_TEXTS = re.compile(r"(LICEN[CS]E|COPYING|COPYRIGHT|UNLICENSE|NOTICE)([-._].*)?", re.IGNORECASE)

#: The licence MIT, for crates that name it and do not contain its text.
_MIT = """\
Copyright (c) {authors}

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and
associated documentation files (the "Software"), to deal in the Software without restriction,
including without limitation the rights to use, copy, modify, merge, publish, distribute,
sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial
portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT
NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND
NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES
OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN
CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""


@dataclass(frozen=True)
class Crate:
    """A crate of another project that is linked in."""

    name: str
    version: str
    #: The SPDX expression of its manifest.
    licence: str
    authors: tuple[str, ...]
    folder: Path

    def texts(self) -> list[str]:
        """Returns the texts of its licences."""
        # Parts that come from elsewhere have their licences in folders of their own.
        files = sorted(path for path in self.folder.rglob("*") if path.is_file() and _is_licence(path))
        if files:
            return [path.read_text().strip() for path in files]
        if self.licence == "MIT":
            return [_MIT.format(authors=", ".join(self.authors) or f"the authors of {self.name}").strip()]
        raise RuntimeError(f"{self.name} {self.version} ({self.licence}) contains no text of its licence")


def _is_licence(path: Path) -> bool:
    """Returns whether the file has the text of a licence; the folder LICENSES is REUSE's."""
    return path.parent.name == "LICENSES" or (_TEXTS.fullmatch(path.name) is not None and path.suffix != ".rs")


def linked(package: str, *features: str) -> list[Crate]:
    """Returns the crates that are linked into a package of the workspace."""
    host = re.findall(r"^host: (\S+)$", shell.run(["rustc", "-vV"], capture=True).stdout, re.MULTILINE)[0]
    options = ["--locked", "--edges", "normal,no-proc-macro", "--target", host, "--prefix", "none", "--format", "{p}"]
    tree = shell.run(["cargo", "tree", "--quiet", "--package", package, *options, *features], cwd=extension.CRATE, capture=True).stdout
    used = set(re.findall(r"^(\S+) v(\S+)", tree, re.MULTILINE))
    metadata = shell.run(["cargo", "metadata", "--quiet", "--locked", "--format-version", "1"], cwd=extension.CRATE, capture=True).stdout
    return [
        Crate(found["name"], found["version"], found["license"], tuple(found["authors"]), Path(found["manifest_path"]).parent)
        for found in sorted(json.loads(metadata)["packages"], key=lambda found: (found["name"], found["version"]))
        # The packages of this workspace have no source.
        if found["source"] and (found["name"], found["version"]) in used
    ]


def write(folder: Path, crates: list[Crate]) -> None:
    """Writes the licence of this project and those of what is linked in."""
    folder.mkdir(parents=True)
    (folder / "LICENSE").write_text((paths.PROJECT / "LICENSE").read_text())
    (folder / "third-party.txt").write_text("\n".join(_sections(crates)))
    sysroot = Path(shell.run(["rustc", "--print", "sysroot"], cwd=extension.CRATE, capture=True).stdout.strip())
    library = sysroot / "share/doc/rust/COPYRIGHT-library.html"
    (folder / "rust-standard-library.html").write_text(library.read_text())


def _sections(crates: list[Crate]) -> Iterator[str]:
    """Yields the list of the crates, and each text with the crates that it belongs to."""
    yield "What is linked in, besides the standard library of Rust:\n"
    owners: dict[str, list[str]] = {}
    for crate in crates:
        yield f"  {crate.name} {crate.version}: {crate.licence}"
        for text in crate.texts():
            owners.setdefault(text, []).append(f"{crate.name} {crate.version}")
    for text, names in owners.items():
        yield f"\n{'-' * 78}\n{', '.join(names)}\n\n{text}"
    yield ""
