"""Builds the packages of a release; `scripts/package` runs it.

Two builds of the same commit by the same toolchain have the same file names and contents, but for
the paths that the compiler writes into the binaries.
"""

from __future__ import annotations

import argparse
import functools
import gzip
import hashlib
import io
import json
import os
import shutil
import tarfile
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import addons, extension, licences, paths, program, setup, shell, site, versions

#: `scripts/package --write` writes it.
PAGE = paths.PROJECT / "docs/reference/packages.md"
CHECKSUMS = "SHA256SUMS"
#: CloudNativePG loads extensions from images since this version.
IMAGE_VERSION = 18

_HOMEPAGE = site.REPOSITORY
_MAINTAINER = "ipai_sync contributors <ipai-sync@users.noreply.github.com>"
#: The Debian packages that contain the libraries which a Rust binary needs.
_LIBRARIES = {
    "libc.so.6": "libc6",
    "libm.so.6": "libc6",
    "ld-linux-x86-64.so.2": "libc6",
    "ld-linux-aarch64.so.1": "libc6",
    "libgcc_s.so.1": "libgcc-s1",
}


@dataclass(frozen=True)
class Build:
    """Where the packages are written, and cargo's profile."""

    folder: Path
    profile: str


# Parts ------------------------------------------------------------------------------------------


def parts() -> dict[str, Callable[[Build], list[Path]]]:
    """Returns the functions that build the parts, by name. Each returns the written files."""
    return {
        **{f"extension-{major}": functools.partial(_extension, major) for major in extension.supported()},
        f"image-{IMAGE_VERSION}": _image,
        "program": _program,
        "addons": _addons,
        "source": _source,
    }


def _extension(major: int, build: Build) -> list[Path]:
    """The extension for a major version of Postgres, as a Debian package and as an archive."""
    tree = _extension_tree(major, build.profile)
    package = f"postgresql-{major}-ipai-sync"
    root = paths.run_dir() / package
    (root / "usr/lib/postgresql").mkdir(parents=True)
    shutil.copytree(tree / "lib", root / f"usr/lib/postgresql/{major}/lib")
    shutil.copytree(tree / "extension", root / f"usr/share/postgresql/{major}/extension")
    fields = {
        "Section": "database",
        "Depends": ", ".join([f"postgresql-{major}", *_dependencies(tree / "lib/ipai_sync.so")]),
        "Suggests": f"postgresql-{major}-cron",
        "Description": f"mirrors Odoo models into tables of PostgreSQL {major}\n"
        " The extension ipai_sync keeps tables equal to models of Odoo, on a schedule\n"
        " or on demand, called from SQL.",
    }
    return [_debian_package(build, root, tree / "licenses", fields), _archive(build, tree)]


@functools.cache
def _extension_tree(major: int, profile: str) -> Path:
    """Builds the extension, and returns a folder with the content of its archive."""
    tree = paths.run_dir() / f"{extension.NAME}-{extension.version()}-postgresql-{major}-linux-{_architecture()}"
    for folder in ("lib", "extension"):
        (tree / folder).mkdir(parents=True)
    with extension.built(versions.ensure(major), profile) as library:
        extension.place(library, tree / "lib", tree / "extension")
    licences.write(tree / "licenses", licences.linked(extension.NAME, "--no-default-features", f"--features=pg{major}"))
    return tree


def _image(build: Build) -> list[Path]:
    """The extension for CloudNativePG, as an archive of an OCI image."""
    shell.apt_install("buildah")
    tree = _extension_tree(IMAGE_VERSION, build.profile)
    target = build.folder / f"{extension.NAME}-{extension.version()}-cloudnative-pg-{IMAGE_VERSION}-linux-{_architecture()}.oci.tar"
    work = paths.run_dir()
    # Without a container engine: a storage of its own, and no namespaces.
    buildah: list[str | Path] = ["buildah", "--root", work / "root", "--runroot", work / "run", "--storage-driver", "vfs"]
    dockerfile = paths.PROJECT / "packaging/cloudnative-pg/Dockerfile"
    bud = [
        "bud",
        "--quiet",
        "--isolation",
        "chroot",
        "--timestamp",
        str(_epoch()),
        "--label",
        f"org.opencontainers.image.version={extension.version()}",
    ]
    image = shell.run([*buildah, *bud, "--file", dockerfile, tree], capture=True).stdout.split()[-1]
    target.unlink(missing_ok=True)
    shell.run([*buildah, "push", "--quiet", image, f"oci-archive:{target}:{extension.version()}-{IMAGE_VERSION}"], capture=True)
    shutil.rmtree(work)
    return [target]


def _program(build: Build) -> list[Path]:
    """The program, as a Debian package and as an archive."""
    tree = paths.run_dir() / f"{program.NAME}-{extension.version()}-linux-{_architecture()}"
    tree.mkdir()
    shutil.copy(program.build(build.profile), tree)
    licences.write(tree / "licenses", licences.linked("ipai-cli"))
    root = paths.run_dir() / program.NAME
    (root / "usr/bin").mkdir(parents=True)
    shutil.copy(tree / program.NAME, root / "usr/bin")
    fields = {
        "Section": "database",
        "Depends": ", ".join(_dependencies(tree / program.NAME)),
        "Description": "mirrors Odoo models into tables of a Postgres, from outside\n"
        " For databases that load no extension, such as hosted Supabase projects.",
    }
    return [_debian_package(build, root, tree / "licenses", fields), _archive(build, tree)]


def _addons(build: Build) -> list[Path]:
    """The Odoo modules, as one archive for each series."""
    work = paths.run_dir()
    addons.build(work)
    written = []
    for series in addons.SERIES:
        target = build.folder / f"{extension.NAME}-{extension.version()}-odoo-{series}-addons.zip"
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(path for path in (work / series).rglob("*") if path.is_file()):
                entry = zipfile.ZipInfo(path.relative_to(work / series).as_posix(), time.gmtime(_epoch())[:6])
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.external_attr = 0o644 << 16
                archive.writestr(entry, path.read_bytes())
        written.append(target)
    return written


def _source(build: Build) -> list[Path]:
    """The source of the commit, as PGXN distributes it."""
    name = f"{extension.NAME}-{extension.version()}"
    target = build.folder / f"{name}.zip"
    shell.run(["git", "archive", "--format=zip", f"--prefix={name}/", f"--output={target}", "HEAD"], cwd=paths.PROJECT)
    return [target]


# Formats ----------------------------------------------------------------------------------------


def _debian_package(build: Build, root: Path, texts: Path, fields: dict[str, str]) -> Path:
    """Writes the package with the name and the content of the folder `root`."""
    package, version = root.name, extension.version()
    documents = root / "usr/share/doc" / package
    documents.mkdir(parents=True)
    (documents / "copyright").write_text(_COPYRIGHT.format(homepage=_HOMEPAGE))
    for source in (paths.PROJECT / "CHANGELOG.md", texts / "third-party.txt", texts / "rust-standard-library.html"):
        (documents / f"{source.name}.gz").write_bytes(gzip.compress(source.read_bytes(), mtime=0))
    files = sorted(path for path in root.rglob("*") if path.is_file())
    control = {
        "Package": package,
        "Version": version,
        "Architecture": _architecture(),
        "Maintainer": _MAINTAINER,
        "Installed-Size": str(sum(path.stat().st_size for path in files) // 1024 + 1),
        "Priority": "optional",
        "Homepage": _HOMEPAGE,
        **fields,
    }
    (root / "DEBIAN").mkdir()
    (root / "DEBIAN/control").write_text("".join(f"{name}: {value}\n" for name, value in control.items()))
    sums = (f"{hashlib.md5(path.read_bytes()).hexdigest()}  {path.relative_to(root)}\n" for path in files)
    (root / "DEBIAN/md5sums").write_text("".join(sums))
    target = build.folder / f"{package}_{version}_{_architecture()}.deb"
    command: list[str | Path] = ["dpkg-deb", "--build", "--root-owner-group", "-Zxz", root, target]
    shell.run(command, env={"SOURCE_DATE_EPOCH": str(_epoch())}, capture=True)
    return target


_COPYRIGHT = """\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: ipai_sync
Source: {homepage}
Comment: The binary contains crates of other projects and the standard library of Rust. Their
 licences are in third-party.txt.gz and rust-standard-library.html.gz in this folder.

Files: *
Copyright: 2026 ipai_sync contributors
License: Apache-2.0
 The text of the Apache License, version 2.0, is in /usr/share/common-licenses/Apache-2.0.
"""


def _archive(build: Build, tree: Path) -> Path:
    """Writes the folder as a .tar.gz, in which it is the only top folder."""

    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = "root"
        entry.mtime = _epoch()
        return entry

    target = build.folder / f"{tree.name}.tar.gz"
    with gzip.GzipFile(target, "wb", mtime=0) as compressed, tarfile.open(fileobj=compressed, mode="w") as archive:
        # Folders are added in the order of their names.
        archive.add(tree, tree.name, filter=plain)
    return target


def _dependencies(binary: Path) -> list[str]:
    """Returns the Debian packages that a binary needs, with the version of glibc."""
    needs = extension.needs(binary)
    if needs is None or not set(needs.libraries) <= _LIBRARIES.keys():
        raise RuntimeError(f"{binary.name} needs libraries of unknown packages: {needs}")
    packages = dict.fromkeys(_LIBRARIES[library] for library in needs.libraries)
    return sorted(f"libc6 (>= {needs.glibc})" if package == "libc6" else package for package in packages)


@functools.cache
def _architecture() -> str:
    return shell.run(["dpkg", "--print-architecture"], capture=True).stdout.strip()


@functools.cache
def _epoch() -> int:
    """Returns the time that all files get: the commit's, unless SOURCE_DATE_EPOCH has another."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    return int(given or shell.run(["git", "log", "-1", "--format=%ct"], cwd=paths.PROJECT, capture=True).stdout)


# The folder -------------------------------------------------------------------------------------


def write_checksums(folder: Path, written: Sequence[Path], *, complete: bool) -> None:
    """Writes SHA256SUMS, with the files of earlier builds unless this one is complete.

    A complete build removes the files that an earlier one has listed and that it did not write.
    """
    sums = folder / CHECKSUMS
    earlier = [folder / line.split("  ")[1] for line in sums.read_text().splitlines()] if sums.exists() else []
    kept = {path for path in earlier if path.exists()}
    if complete:
        for stale in kept - set(written):
            stale.unlink()
        kept = set()
    listed = sorted(kept | set(written))
    sums.write_text("".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in listed))


def contents(path: Path) -> list[str]:
    """Returns the names of the files in a package."""
    if path.suffix == ".deb":
        lines = shell.run(["dpkg-deb", "--contents", path], capture=True).stdout.splitlines()
        return sorted(line.split(None, 5)[5].removeprefix(".") for line in lines if not line.startswith("d"))
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            return sorted(name for name in archive.namelist() if not name.endswith("/"))
    if path.name.endswith(".oci.tar"):
        return sorted(image_files(path))
    with tarfile.open(path) as tar:
        return sorted(entry.name for entry in tar if entry.isfile())


def image_files(path: Path) -> dict[str, bytes]:
    """Returns the files of an OCI image by their paths."""
    found: dict[str, bytes] = {}
    with tarfile.open(path) as archive:

        def blob(digest: str) -> bytes:
            content = archive.extractfile(f"blobs/{digest.replace(':', '/')}")
            assert content is not None
            return content.read()

        index = archive.extractfile("index.json")
        assert index is not None
        manifest = json.loads(blob(json.load(index)["manifests"][0]["digest"]))
        for layer in manifest["layers"]:
            with tarfile.open(fileobj=io.BytesIO(blob(layer["digest"]))) as files:
                found |= {f"/{entry.name}": content.read() for entry in files if (content := files.extractfile(entry))}
    return found


# The page ---------------------------------------------------------------------------------------

_PAGE = """\
# Packages

`scripts/package` builds the files of a release into `dist`; `scripts/package --only extension-15`
builds a part. It wrote this page for version {version} on {architecture}. The binaries are built
on Debian 12, and run there and on later systems.

{table}

`SHA256SUMS` has the checksums of all: `sha256sum --check --ignore-missing SHA256SUMS`. A
repeated build writes the same files, and an image of the same digest.

| part | what it is for |
|---|---|
| `extension-15` to `extension-18` | the extension: the `.deb` for PostgreSQL from Debian or apt.postgresql.org, the `.tar.gz` for others, and for [images of Supabase](../how-to/install-supabase.md) |
| `image-18` | the extension as an image that CloudNativePG mounts, for PostgreSQL 18: `skopeo copy oci-archive:FILE docker://REGISTRY/ipai_sync` pushes it |
| `program` | the program [`ipai-sync`](program.md) |
| `addons` | the [Odoo modules](../how-to/bulk-export.md), for each series of Odoo |
| `source` | the source, as PGXN distributes it |

`tests/package` installs the packages for PostgreSQL 15 in a clean Debian 12, follows the
[README](../../README.md#install) to the first synced rows, upgrades from an earlier version, and
removes them. For the other versions, the nightly tests load the files of the packages into a
server, and those of the image through `extension_control_path` and `dynamic_library_path`. No
container engine was available.

`licenses` in the archives, and `/usr/share/doc` in the Debian packages, have the licences of this
project, of each crate that is linked in, and of Rust's standard library.

{files}"""


def page(written: Sequence[Path]) -> str:
    """Returns the page with sizes and files of the packages."""
    rows = [f"| `{path.name}` | {path.stat().st_size / 1e6:.1f} | {len(contents(path))} |" for path in written]
    files = []
    for path in written:
        # The packages for the other versions differ in the number only.
        if path.suffix != ".zip" and not any(f"postgresql-{major}-" in path.name for major in extension.supported()[1:]):
            files.append(f"## {path.name}\n\n```\n" + "".join(f"{name}\n" for name in contents(path)) + "```\n")
    return _PAGE.format(
        architecture=_architecture(),
        version=extension.version(),
        table="\n".join(["| file | MB | files |", "|---|---|---|", *rows]),
        files="\n".join(files),
    )


def main() -> int:
    known = parts()
    parser = argparse.ArgumentParser(
        prog="scripts/package",
        description="Builds the packages of a release, and SHA256SUMS.",
        epilog=f"parts: {', '.join(known)}",
    )
    parser.add_argument("--only", nargs="+", choices=known, metavar="PART", help="build only these parts")
    parser.add_argument("--to", type=Path, default=paths.PROJECT / "dist", metavar="DIR", help="where to write them (default: dist)")
    parser.add_argument("--profile", choices=("release", "dev"), default="release", help="cargo's profile; dev is for tests")
    parser.add_argument("--write", action="store_true", help=f"also write {PAGE.relative_to(paths.PROJECT)}; needs all parts")
    options = parser.parse_args()
    if options.write and options.only:
        parser.error("--write needs all parts")
    setup.ensure_system()
    folder = options.to.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    build = Build(folder, options.profile)
    written = []
    for part in options.only or known:
        shell.log_progress(f"== {part}")
        written += known[part](build)
    write_checksums(folder, written, complete=not options.only)
    if options.write:
        PAGE.write_text(page(written))
    for path in written:
        print(f"{path.stat().st_size / 1e6:6.1f} MB  {os.path.relpath(path)}")
    return 0


if __name__ == "__main__":
    shell.run_main(main)
