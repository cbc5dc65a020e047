"""Tests scripts/package: what is in the packages, and a clean Debian 12 that installs them."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import shutil
import subprocess
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import addons, extension, package, paths, pgxn, shell, versions
from harness.clean_debian import CleanDebian, may_mount
from harness.odoo import MODULES, Odoo
from harness.postgres import Cluster, Installation
from support import earlier
from support.documents import blocks

README = paths.PROJECT / "README.md"
VERSION = extension.version()
SCRIPTS = {f"ipai_sync--{VERSION}.sql", *(f"ipai_sync--{start}--{VERSION}.sql" for start in extension.updates())}
DEB = f"postgresql-15-ipai-sync_{VERSION}_amd64.deb"
#: The first sync after the installation of the package, as a user would time it.
MINUTES = 2


def build(folder: Path, *parts: str, profile: str = "release") -> dict[str, Path]:
    """Builds parts of the packages, and returns the files by their names."""
    shell.run([paths.PROJECT / "scripts/package", "--only", *parts, "--to", folder, "--profile", profile], capture=True)
    return {path.name: path for path in folder.iterdir()}


@pytest.fixture(scope="module")
def built() -> dict[str, Path]:
    """The extension for PostgreSQL 15 as it is released, and the program without optimisation."""
    folder = paths.run_dir()
    build(folder, "extension-15")
    return build(folder, "program", "addons", profile="dev")


def unpacked(path: Path) -> Path:
    folder = paths.run_dir()
    shell.run(["dpkg-deb", "--raw-extract", path, folder] if path.suffix == ".deb" else ["tar", "-xf", path, "-C", folder])
    return folder


# Contents ---------------------------------------------------------------------------------------


def test_checksums_list_every_file(built: dict[str, Path]) -> None:
    sums = dict(line.split("  ")[::-1] for line in built["SHA256SUMS"].read_text().splitlines())
    assert sums == {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in built.items() if name != "SHA256SUMS"}
    assert set(sums) == {
        DEB,
        f"ipai_sync-{VERSION}-postgresql-15-linux-amd64.tar.gz",
        f"ipai-sync_{VERSION}_amd64.deb",
        f"ipai-sync-{VERSION}-linux-amd64.tar.gz",
        *(f"ipai_sync-{VERSION}-odoo-{series}-addons.zip" for series in addons.SERIES),
    }


def test_deb_contains_library_sql_and_licences(built: dict[str, Path]) -> None:
    documents = "/usr/share/doc/postgresql-15-ipai-sync"
    assert package.contents(built[DEB]) == sorted(
        {
            "/usr/lib/postgresql/15/lib/ipai_sync.so",
            "/usr/share/postgresql/15/extension/ipai_sync.control",
            *(f"/usr/share/postgresql/15/extension/{name}" for name in SCRIPTS),
            *(f"{documents}/{name}" for name in ("CHANGELOG.md.gz", "copyright", "rust-standard-library.html.gz", "third-party.txt.gz")),
        }
    )
    control = shell.run(["dpkg-deb", "--field", built[DEB]], capture=True).stdout
    assert re.search(r"^Depends: postgresql-15, libc6 \(>= 2\.\d\d\), libgcc-s1$", control, re.MULTILINE)
    assert f"Version: {VERSION}\n" in control
    owners = shell.run(["dpkg-deb", "--contents", built[DEB]], capture=True).stdout
    assert all(line.split()[1] == "root/root" for line in owners.splitlines())


def test_archive_has_the_layout_of_the_install_script(built: dict[str, Path]) -> None:
    name = f"ipai_sync-{VERSION}-postgresql-15-linux-amd64"
    assert {found.removeprefix(f"{name}/") for found in package.contents(built[f"{name}.tar.gz"])} == {
        "lib/ipai_sync.so",
        "extension/ipai_sync.control",
        *(f"extension/{script}" for script in SCRIPTS),
        *(f"licenses/{text}" for text in ("LICENSE", "rust-standard-library.html", "third-party.txt")),
    }


def test_licences_name_every_linked_crate(built: dict[str, Path]) -> None:
    root = unpacked(built[DEB])
    text = gzip.decompress((root / "usr/share/doc/postgresql-15-ipai-sync/third-party.txt.gz").read_bytes()).decode()
    lock = tomllib.loads((paths.PROJECT / "Cargo.lock").read_text())["package"]
    locked = {(crate["name"], crate["version"]) for crate in lock if "source" in crate}
    listed = set(re.findall(r"^  (\S+) (\S+): .+$", text, re.MULTILINE))
    assert {"pgrx", "rustls", "ring", "reqwest", "webpki-roots"} <= {name for name, _ in listed}
    assert listed <= locked
    # What only tests and procedural macros need is not linked in.
    assert not {"proptest", "pgrx-tests", "pgrx-macros", "serde_derive"} & {name for name, _ in listed}
    # Paths of source files of crates are in the library, for messages of panics.
    library = (root / "usr/lib/postgresql/15/lib/ipai_sync.so").read_bytes()
    compiled = re.findall(rb"registry/src/[^/]+/([\w-]+?)-(\d[\w.+-]*)/", library)
    assert compiled and {(name.decode(), version.decode()) for name, version in compiled} <= listed


def test_repeated_build_writes_the_same_bytes(built: dict[str, Path]) -> None:
    again = build(paths.run_dir(), "extension-15")
    for name in again.keys() - {"SHA256SUMS"}:
        assert again[name].read_bytes() == built[name].read_bytes(), name


def test_complete_build_removes_files_of_earlier_versions(tmp_path: Path) -> None:
    old, new, other = (tmp_path / name for name in ("old.deb", "new.deb", "notes.txt"))
    for path in (old, new, other):
        path.write_text(path.name)
    package.write_checksums(tmp_path, [old], complete=False)
    package.write_checksums(tmp_path, [new], complete=False)
    assert len((tmp_path / "SHA256SUMS").read_text().splitlines()) == 2
    package.write_checksums(tmp_path, [new], complete=True)
    assert {path.name for path in tmp_path.iterdir()} == {"new.deb", "notes.txt", "SHA256SUMS"}
    assert (tmp_path / "SHA256SUMS").read_text() == f"{hashlib.sha256(b'new.deb').hexdigest()}  new.deb\n"


def test_archives_of_the_modules_have_their_series(built: dict[str, Path]) -> None:
    for series in addons.SERIES:
        folder = paths.run_dir()
        shutil.unpack_archive(built[f"ipai_sync-{VERSION}-odoo-{series}-addons.zip"], folder)
        assert {path.name for path in folder.iterdir()} == set(MODULES)
        for module in folder.iterdir():
            assert addons.manifest(module)["version"].startswith(f"{series}.")


def test_page_lists_the_files_that_were_built(built: dict[str, Path]) -> None:
    page = package.PAGE.read_text()
    for name, path in built.items():
        if name == "SHA256SUMS":
            continue
        assert f"| `{name}` |" in page
        if path.suffix != ".zip":
            assert f"## {name}\n\n```\n" + "".join(f"{file}\n" for file in package.contents(path)) + "```\n" in page
    # One line for each part of a complete build.
    rows = re.findall(r"^\| `(\S+)` \| [\d.]+ \| \d+ \|$", page, re.MULTILINE)
    assert len(rows) == 2 * (len(extension.supported()) + 1) + len(addons.SERIES) + 2


def test_unknown_parts_and_partial_pages_are_refused() -> None:
    for arguments, message in (
        (["--only", "extension-14"], "invalid choice: 'extension-14'"),
        (["--only", "addons", "--write"], "--write needs all parts"),
    ):
        done = shell.run([paths.PROJECT / "scripts/package", *arguments], check=False, capture=True)
        assert done.returncode == 2 and message in done.stderr


# A clean Debian 12 --------------------------------------------------------------------------------


@pytest.fixture
def debian() -> Iterator[CleanDebian]:
    if os.geteuid() == 0 and not may_mount():
        pytest.skip("this machine allows no mounts")
    with CleanDebian() as clean:
        yield clean


def psql(debian: CleanDebian, sql: str) -> str:
    """Runs SQL as a user would on the machine of the server."""
    (debian.root / "tmp/statements.sql").write_text(sql)
    return debian.run("cd /tmp && sudo -u postgres psql -XAtq -v ON_ERROR_STOP=1 -f statements.sql").strip()


def start_server(debian: CleanDebian) -> None:
    """Starts the server that the package of PostgreSQL has created, as Debian does at its boot."""
    debian.run("pg_lsclusters --no-header | grep -q online || pg_ctlcluster 15 main start")


def test_readme_leads_from_the_package_to_the_first_row(built: dict[str, Path], debian: CleanDebian) -> None:
    readme = README.read_text()
    (command,) = re.findall(r"^## Install\n.*?^```\n(sudo apt install \./\S+)", readme, re.MULTILINE | re.DOTALL)
    assert command.endswith(DEB)
    create, start, _ = (block.text for block in blocks(readme) if block.language == "sql")
    debian.add(built[DEB])
    before = debian.files("*")
    with Odoo(modules=()) as odoo:
        began = time.monotonic()
        debian.run(f"cd /root && {command} -y")
        start_server(debian)
        psql(debian, create)
        for placeholder, value in {
            "https://erp.example.com": odoo.url,
            "odoo_core": odoo.dbname,
            "api@example.com": odoo.admin_user,
            # Without Vault, as a comment of the block says.
            "password_secret 'odoo_api_key'": f"password '{odoo.admin_password}'",
        }.items():
            assert placeholder in start
            start = start.replace(placeholder, value)
        psql(debian, re.sub(r"^select ipai\.set_odoo_password.*\n", "", start, flags=re.MULTILINE))
        seconds = time.monotonic() - began
        assert psql(debian, "select count(*) > 0, (select state from ipai.sync_status) from ipai.res_partner") == "t|ok"
        shell.log_progress(f"From the .deb to the first synced row: {seconds:.1f} s")
        assert seconds < MINUTES * 60
        # Odoo's own contacts, archived ones included.
        everyone = odoo.rpc("res.partner", "search_count", [], context={"active_test": False})
        assert psql(debian, "select count(*) from ipai.res_partner") == str(everyone)

        # The program, with the same Odoo, in a database without the extension.
        program = f"ipai-sync_{VERSION}_amd64.deb"
        debian.add(built[program])
        debian.run(f"cd /root && apt-get -q -y install ./{program}; sudo -u postgres createdb other")
        settings = f"ODOO_URL={odoo.url} ODOO_DB={odoo.dbname} ODOO_USER=admin ODOO_PASSWORD=admin"
        port = psql(debian, "show port")
        psql(debian, "alter role postgres password 'a password'")
        run = (
            f"cd /tmp; export {settings} DATABASE_URL=postgresql://postgres:a%20password@127.0.0.1:{port}/other?sslmode=disable; ipai-sync"
        )
        for words in ("init", "create-mirror res.partner", "run"):
            shown = debian.run(f"{run} {words}")
        assert f"{everyone} inserted" in shown

    psql(debian, "drop extension ipai_sync cascade")
    debian.run("apt-get -q -y remove postgresql-15-ipai-sync ipai-sync")
    assert {name for name in debian.files() if "/doc/" not in name and "/dpkg/" not in name} == set()
    # PostgreSQL is complete, and still runs.
    assert debian.run("dpkg --verify postgresql-15; pg_lsclusters --no-header").split()[3] == "online"
    assert psql(debian, "select count(*) from ipai.res_partner") == str(everyone)
    assert before <= debian.files("*") | {name for name in before if name.startswith("/var/lib/apt/")}


def with_version(deb: Path, version: str, *, earlier_version: bool) -> Path:
    """Returns the package with another version, and with the SQL of the synthetic earlier ones."""
    root = unpacked(deb)
    control = root / "DEBIAN/control"
    control.write_text(re.sub(r"^Version: .*$", f"Version: {version}", control.read_text(), flags=re.MULTILINE))
    folder = root / "usr/share/postgresql/15/extension"
    scripts = earlier.scripts()
    if earlier_version:
        for path in folder.glob("*.sql"):
            path.unlink()
        name = f"ipai_sync--{version}.sql"
        (folder / name).write_text(scripts[name])
        (folder / "ipai_sync.control").write_text((folder / "ipai_sync.control").read_text().replace(VERSION, version))
    else:
        for name, text in scripts.items():
            if name.endswith(f"--{VERSION}.sql"):
                (folder / name).write_text(text)
    target = paths.run_dir() / f"{version}.deb"
    shell.run(["dpkg-deb", "--build", "--root-owner-group", root, target], capture=True)
    return target


def test_new_package_upgrades_an_earlier_version(built: dict[str, Path], debian: CleanDebian) -> None:
    debian.add(
        with_version(built[DEB], earlier.OLDEST, earlier_version=True), with_version(built[DEB], f"{VERSION}+1", earlier_version=False)
    )
    debian.run(f"cd /root && apt-get -q -y install ./{earlier.OLDEST}.deb")
    start_server(debian)
    # The steps of the synthetic versions change privileges of Supabase's role.
    psql(debian, "create role service_role; create extension ipai_sync")
    extension_version = "select extversion from pg_extension where extname = 'ipai_sync'"
    assert psql(debian, extension_version) == earlier.OLDEST
    debian.run(f"cd /root && apt-get -q -y install ./{VERSION}+1.deb")
    # The server has not been restarted.
    psql(debian, "alter extension ipai_sync update")
    assert psql(debian, extension_version) == VERSION
    assert psql(debian, "select count(*) from ipai.sync_status") == "0"
    assert f"/usr/share/postgresql/15/extension/ipai_sync--{earlier.OLDEST}.sql" not in debian.files()


# PGXN -------------------------------------------------------------------------------------------


def validate(file: Path) -> subprocess.CompletedProcess[str]:
    return shell.run([pgxn.ensure_validator(), file], check=False, capture=True)


def test_meta_json_is_valid_and_current(tmp_path: Path) -> None:
    file = paths.PROJECT / "META.json"
    done = validate(file)
    assert done.returncode == 0, done.stdout + done.stderr
    meta = json.loads(file.read_text())
    assert {meta["version"], *(provided["version"] for provided in meta["provides"].values())} == {VERSION}
    for provided in meta["provides"].values():
        assert (paths.PROJECT / provided["file"]).is_file() and (paths.PROJECT / provided["docfile"]).is_file()
    for damaged in ({**meta, "version": "0.2"}, {name: value for name, value in meta.items() if name != "license"}):
        (tmp_path / "META.json").write_text(json.dumps(damaged))
        assert validate(tmp_path / "META.json").returncode != 0


def test_source_archive_has_what_pgxn_needs() -> None:
    files = build(paths.run_dir(), "source")
    names = package.contents(files[f"ipai_sync-{VERSION}.zip"])
    for name in ("META.json", "Makefile", "Cargo.lock", "LICENSE", "README.md", "scripts/install"):
        assert f"ipai_sync-{VERSION}/{name}" in names


def test_make_installs_as_pgxn_calls_it() -> None:
    pg = Installation.default().relocated("pgxn", under=paths.run_dir())
    for target in ("all", "install"):
        shell.run(["make", "-s", target, f"PG_CONFIG={pg.pg_config}"], cwd=paths.PROJECT, capture=True)
    with Cluster(pg) as cluster:
        assert cluster.psql("create extension ipai_sync; select extversion from pg_extension where extname = 'ipai_sync'") == VERSION


# The image for CloudNativePG ----------------------------------------------------------------------


@pytest.mark.slow
def test_image_is_loaded_through_paths_of_postgres_18() -> None:
    """CloudNativePG mounts the image and sets these paths."""
    (image,) = (path for name, path in build(paths.run_dir(), "image-18").items() if name.endswith(".oci.tar"))
    files = package.image_files(image)
    assert {name for name in files if not name.startswith("/licenses/")} == {
        "/lib/ipai_sync.so",
        "/share/extension/ipai_sync.control",
        *(f"/share/extension/{name}" for name in SCRIPTS),
    }
    assert "/licenses/third-party.txt" in files
    mounted = paths.run_dir()
    for name, content in files.items():
        target = mounted / name.removeprefix("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    settings = {"extension_control_path": f"$system:{mounted}/share", "dynamic_library_path": f"$libdir:{mounted}/lib"}
    installation = versions.ensure(18).relocated("image", under=paths.run_dir())
    assert not list(installation.extension_dir.glob("ipai_sync*"))
    with Cluster(installation, settings=settings) as cluster:
        cluster.psql("create extension ipai_sync")
        assert cluster.psql("select ipai.ipai_odoo_validator('{}', 'pg_foreign_data_wrapper'::regclass)::text") == ""
        assert cluster.psql("select count(*) from ipai.sync_status") == "0"


@pytest.mark.slow
@pytest.mark.parametrize("major", extension.supported())
def test_package_of_each_version_creates_the_extension(major: int) -> None:
    files = build(paths.run_dir(), f"extension-{major}")
    root = unpacked(files[f"postgresql-{major}-ipai-sync_{VERSION}_amd64.deb"])
    installation = versions.ensure(major).relocated("package", under=paths.run_dir())
    shutil.copytree(root / f"usr/lib/postgresql/{major}/lib", installation.pkglibdir, dirs_exist_ok=True)
    shutil.copytree(root / f"usr/share/postgresql/{major}/extension", installation.extension_dir, dirs_exist_ok=True)
    with Cluster(installation) as cluster:
        cluster.psql("create extension ipai_sync")
        assert cluster.psql("select count(*) from ipai.sync_status") == "0"
