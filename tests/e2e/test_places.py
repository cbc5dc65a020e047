"""Tests the places in which the program `ipai-sync` runs: examples/github-actions, docker, systemd.

Each command of these files runs against a database without the extension and a scripted Odoo.
"""

from __future__ import annotations

import configparser
import hashlib
import json
import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from harness import paths, postgres, shell, versions
from support.documents import build_program
from support.faulty import FaultyOdoo, fault, metric
from support.supabase import Supabase
from support.workflows import commands_in

EXAMPLES = paths.PROJECT / "examples"
WORKFLOW = EXAMPLES / "github-actions/sync-odoo.yml"
DOCKER = EXAMPLES / "docker"
SYSTEMD = EXAMPLES / "systemd"
PASSWORD = "odoo-secret-4711"


@pytest.fixture(scope="module")
def database() -> Iterator[Supabase]:
    with postgres.supabase_cluster(versions.target()) as cluster:
        shell.run([build_program(), "init"], env={"DATABASE_URL": cluster.dsn(user="postgres")}, capture=True)
        postgres.migrate(cluster)
        yield Supabase(cluster)


@pytest.fixture
def odoo(database: Supabase) -> Iterator[FaultyOdoo]:
    """A scripted Odoo with three records, and an empty mirror."""
    with FaultyOdoo([metric(1), metric(2), metric(3)], password=PASSWORD) as odoo:
        database.cluster.psql(
            "truncate ipai.ipai_sample_metrics, ipai.mirrors, ipai.mirror_state, ipai.mirror_objects, ipai.run_log,"
            "ipai.sync_rejects, ipai.odoo_logins;"
            "select ipai.register_sample_metrics()"
        )
        yield odoo


def mirrored(database: Supabase) -> list[int]:
    return [row["odoo_id"] for row in database.mirror("odoo_id")]


def written_settings(example: Path, mounted: str, database: Supabase, odoo: FaultyOdoo) -> Path:
    """Writes an example of ipai-sync.toml for the test, with the secrets in files.

    mounted: the folder in which the example expects the secrets
    """
    folder = paths.run_dir()
    text = example.read_text()
    for old, new in {
        mounted: str(folder),
        "https://erp.example.com": odoo.url,
        "odoo_core": odoo.dbname,
        "api@example.com": odoo.login,
    }.items():
        assert old in text
        text = text.replace(old, new)
    (folder / "ipai-sync.toml").write_text(text)
    (folder / "database-url").write_text(f"{database.cluster.dsn(user='postgres')}\n")
    (folder / "odoo-password").write_text(f"{PASSWORD}\n")
    return folder


def secret_files(example: Path) -> list[str]:
    """The files with secrets that an example of ipai-sync.toml names."""
    settings = tomllib.loads(example.read_text())
    return [settings["database_url_file"], *(server["password_file"] for server in settings["servers"].values())]


def run(command: list[str | Path], folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs a command with these variables alone."""
    return subprocess.run(command, cwd=folder, env=variables, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


# GitHub Actions -----------------------------------------------------------------------------------


def workflow() -> dict[Any, Any]:
    return cast(dict[Any, Any], yaml.safe_load(WORKFLOW.read_text()))


def steps() -> list[dict[str, Any]]:
    """Returns the steps of the only job."""
    (job,) = workflow()["jobs"].values()
    return cast(list[dict[str, Any]], job["steps"])


class Runner:
    """Executes the steps as GitHub does: each one with its own environment, in a common folder."""

    def __init__(self, database: Supabase, odoo: FaultyOdoo) -> None:
        self.folder = paths.run_dir()
        archive = paths.run_dir() / "ipai-sync.tar.gz"
        # A release may have the program in a folder.
        layout = paths.run_dir()
        (layout / "ipai-sync-1.0.0").mkdir()
        (layout / "ipai-sync-1.0.0/ipai-sync").symlink_to(build_program())
        shell.run(["tar", "-chzf", archive, "-C", layout, "ipai-sync-1.0.0"])
        self.values = {
            "vars.IPAI_SYNC_URL": archive.as_uri(),
            "vars.IPAI_SYNC_SHA256": hashlib.sha256(archive.read_bytes()).hexdigest(),
            "vars.DATABASE_CA": "",
            "vars.ODOO_URL": odoo.url,
            "vars.ODOO_DB": odoo.dbname,
            "vars.ODOO_USER": odoo.login,
            "secrets.ODOO_PASSWORD": PASSWORD,
            "secrets.DATABASE_URL": database.cluster.dsn(user="postgres"),
        }

    def step(self, number: int) -> subprocess.CompletedProcess[str]:
        step = steps()[number]
        variables = {name: self.values[value.removeprefix("${{ ").removesuffix(" }}")] for name, value in step["env"].items()}
        command = step["run"].replace("--proto =https", "--proto =file")
        return run(["bash", "-e", "-c", command], self.folder, PATH="/usr/bin:/bin", **variables)


def test_workflow_runs_every_quarter_hour_without_permissions() -> None:
    # YAML 1.1 reads the key `on` as a boolean.
    triggers = workflow()[True]
    assert set(triggers) == {"schedule", "workflow_dispatch"}
    assert triggers["schedule"] == [{"cron": "7-59/15 * * * *"}]
    (job,) = workflow()["jobs"].values()
    assert workflow()["permissions"] == {} and "permissions" not in job
    assert workflow()["concurrency"] == {"group": "sync-odoo", "cancel-in-progress": False}
    # GitHub does not copy variables of a repository into forks.
    assert job["if"] == "vars.IPAI_SYNC_URL != ''"
    (minutes,) = re.findall(r"timeout --signal=TERM (\d+)m ", steps()[1]["run"])
    assert 15 < int(minutes) < job["timeout-minutes"]


def test_workflow_passes_secrets_only_in_variables_of_steps() -> None:
    assert not [step for step in steps() if "uses" in step]
    # GitHub would insert the expression's value into the command without quoting.
    assert not [step for step in steps() if "${{" in step["run"]]
    assert "env" not in workflow() and all("env" not in job for job in workflow()["jobs"].values())
    secrets = {name for step in steps() for name, value in step["env"].items() if "secrets." in value}
    assert secrets == {"DATABASE_URL", "ODOO_PASSWORD"}
    assert not [name for name, value in steps()[0]["env"].items() if "secrets." in value]


def test_workflow_runs_the_mirrors(database: Supabase, odoo: FaultyOdoo) -> None:
    runner = Runner(database, odoo)
    for number in range(len(steps())):
        done = runner.step(number)
        assert done.returncode == 0, done.stdout
        assert PASSWORD not in done.stdout
    assert mirrored(database) == [1, 2, 3]


def test_workflow_runs_no_program_with_another_checksum(database: Supabase, odoo: FaultyOdoo) -> None:
    runner = Runner(database, odoo)
    for wrong in ("0" * 64, ""):
        runner.values["vars.IPAI_SYNC_SHA256"] = wrong
        assert runner.step(0).returncode != 0
        assert not (runner.folder / "ipai-sync").exists()


def test_workflow_fails_if_a_mirror_fails(database: Supabase, odoo: FaultyOdoo) -> None:
    runner = Runner(database, odoo)
    odoo.password = "another"
    assert runner.step(0).returncode == 0
    for number in (1, 2):
        done = runner.step(number)
        assert done.returncode == 1
        assert "Odoo authentication failed" in done.stdout and PASSWORD not in done.stdout


@pytest.mark.parametrize("number", [1, 2])
def test_texts_of_odoo_give_no_commands_to_the_workflow(database: Supabase, odoo: FaultyOdoo, number: int) -> None:
    hostile = "##[set-output name=x]y"
    odoo.on("search_read", fault(2, hostile))
    runner = Runner(database, odoo)
    for step in range(number + 1):
        done = runner.step(step)
    assert hostile in done.stdout
    assert commands_in(done.stdout) == []


# Containers ---------------------------------------------------------------------------------------


def instructions() -> list[tuple[str, str]]:
    """Returns the instructions of the Dockerfile with their arguments."""
    lines = [line for line in (DOCKER / "Dockerfile").read_text().splitlines() if line and not line.startswith("#")]
    return [cast(tuple[str, str], tuple(line.split(" ", 1))) for line in lines]


def last_stage() -> dict[str, str]:
    lines = instructions()
    first = max(number for number, (name, _) in enumerate(lines) if name == "FROM")
    return dict(lines[first:])


def test_image_runs_the_program_without_root_and_shell() -> None:
    stage = last_stage()
    assert int(stage["USER"].split(":")[0]) > 0 and int(stage["USER"].split(":")[1]) > 0
    (program,) = json.loads(stage["ENTRYPOINT"])
    assert stage["COPY"].split()[-1] == program
    assert json.loads(stage["CMD"]) == ["run"]
    bases = [arguments.split()[0] for name, arguments in instructions() if name == "FROM"]
    assert all(":" in base and not base.endswith(":latest") for base in bases)
    # The toolchain of the image is that of the project.
    toolchain = tomllib.loads((paths.PROJECT / "rust-toolchain.toml").read_text())["toolchain"]["channel"]
    assert bases[0].startswith(f"rust:{re.sub(r'[.]0$', '', toolchain)}")


def test_image_receives_the_sources_of_the_program() -> None:
    lines = (DOCKER / "Dockerfile.dockerignore").read_text().splitlines()
    assert [line for line in lines if not line.startswith(("#", "!"))] == ["*"]
    folder = paths.run_dir()
    for name in [line.removeprefix("!") for line in lines if line.startswith("!")]:
        source = paths.PROJECT / name
        (shutil.copytree if source.is_dir() else shutil.copy2)(source, folder / name)
    (build,) = [shlex.split(arguments) for name, arguments in instructions() if name == "RUN"]
    assert build == ["cargo", "build", "--release", "--locked", "--package", "ipai-cli"]
    described = shell.run(["cargo", "metadata", "--locked", "--offline", "--no-deps", "--format-version=1"], cwd=folder, capture=True)
    assert "ipai-cli" in [package["name"] for package in json.loads(described.stdout)["packages"]]
    # What the program includes at build time.
    for path in (folder / "crates").rglob("*.rs"):
        for included in re.findall(r'include_dir!\("\$CARGO_MANIFEST_DIR/([^"]+)"\)', path.read_text()):
            assert (folder / "crates/cli" / included).is_dir(), included


def test_program_runs_without_root_with_nothing_but_its_libraries(database: Supabase, odoo: FaultyOdoo) -> None:
    """As in the image: another root folder, the image's user, and its current folder."""
    program = build_program()
    root = written_settings(DOCKER / "ipai-sync.toml", "/run/secrets", database, odoo)
    settings = (root / "ipai-sync.toml").read_text().replace(str(root), "")
    (root / "ipai-sync.toml").unlink()
    config = root / last_stage()["WORKDIR"].strip("/")
    config.mkdir()
    (config / "ipai-sync.toml").write_text(settings)
    libraries = re.findall(r"(/\S+) \(0x", shell.run(["ldd", program], capture=True).stdout)
    # Those of distroless/cc.
    assert {re.split(r"\.so|-linux", Path(library).name)[0] for library in libraries} <= {"libc", "libgcc_s", "libm", "ld"}
    for file in (str(program), *libraries):
        target = root / "ipai-sync" if file == str(program) else root / file.strip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(Path(file).resolve(), target)
    user, group = last_stage()["USER"].split(":")
    command = ["unshare", f"--root={root}", f"--wd=/{config.name}", f"--setgid={group}", f"--setuid={user}", "/ipai-sync"]
    done = run([*shell.as_root(command), *json.loads(last_stage()["CMD"])], root)
    assert done.returncode == 0, done.stdout
    assert mirrored(database) == [1, 2, 3]


def test_compose_file_gives_the_container_no_more_than_it_needs() -> None:
    compose = yaml.safe_load((DOCKER / "compose.yaml").read_text())
    (service,) = compose["services"].values()
    assert service["user"] == last_stage()["USER"]
    assert service["read_only"] is True and service["cap_drop"] == ["ALL"] and service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "ports", "network_mode", "environment"} & set(service)
    assert (DOCKER / service["build"]["context"] / service["build"]["dockerfile"]).resolve() == DOCKER / "Dockerfile"
    assert secret_files(DOCKER / "ipai-sync.toml") == [f"/run/secrets/{name}" for name in service["secrets"]]
    assert list(compose["secrets"]) == service["secrets"]
    folder = last_stage()["WORKDIR"]
    assert service["volumes"] == [f"./{name}:{folder}/{name}:ro" for name in ("ipai-sync.toml", "database-ca.crt")]


# systemd ------------------------------------------------------------------------------------------


def unit(name: str) -> Mapping[str, Mapping[str, str]]:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    # The names of settings are case-sensitive.
    parser.optionxform = str  # type: ignore[method-assign, assignment]
    parser.read(SYSTEMD / name)
    return parser


@pytest.fixture(scope="module")
def systemd() -> None:
    """Provides the program systemd-analyze."""
    shell.apt_install("systemd")


@pytest.mark.usefixtures("systemd")
def test_units_are_valid_and_hardened() -> None:
    folder = paths.run_dir()
    for path in SYSTEMD.glob("ipai-sync.*"):
        (folder / path.name).write_text(path.read_text().replace("/usr/local/bin/ipai-sync", str(build_program())))
    units = [folder / "ipai-sync.service", folder / "ipai-sync.timer"]
    verified = shell.run(["systemd-analyze", "verify", *units], capture=True, check=False)
    assert (verified.returncode, verified.stdout, verified.stderr) == (0, "", "")
    rated = shell.run(["systemd-analyze", "security", "--offline=yes", units[0]], capture=True, check=False).stdout
    (exposure,) = re.findall(r"Overall exposure level for ipai-sync.service: ([\d.]+)", rated)
    assert float(exposure) < 1.5
    assert unit("ipai-sync.service")["Service"]["DynamicUser"] == "yes"


@pytest.mark.usefixtures("systemd")
def test_drop_in_makes_the_service_a_follower() -> None:
    folder = paths.run_dir()
    drop_in = folder / "ipai-sync.service.d/follow.conf"
    drop_in.parent.mkdir()
    for source, target in ((SYSTEMD / "ipai-sync.service", folder / "ipai-sync.service"), (SYSTEMD / "follow.conf", drop_in)):
        target.write_text(source.read_text().replace("/usr/local/bin/ipai-sync", str(build_program())))
    verified = shell.run(["systemd-analyze", "verify", folder / "ipai-sync.service"], capture=True, check=False)
    assert (verified.returncode, verified.stdout, verified.stderr) == (0, "", "")
    service, follower = (unit(name)["Service"] for name in ("ipai-sync.service", "follow.conf"))
    assert follower["ExecStart"] == service["ExecStart"].removesuffix("run") + "follow"
    assert follower["Restart"] == "always" and unit("follow.conf")["Install"]["WantedBy"] == "multi-user.target"


@pytest.mark.usefixtures("systemd")
def test_timer_starts_the_service_every_quarter_hour() -> None:
    schedule = unit("ipai-sync.timer")["Timer"]["OnCalendar"]
    shown = shell.run(["systemd-analyze", "calendar", schedule], capture=True).stdout
    assert re.search(r"Normalized form: \*-\*-\* \*:00/15:00$", shown, re.MULTILINE)
    assert unit("ipai-sync.timer")["Install"]["WantedBy"] == "timers.target"


def test_service_runs_the_mirrors_with_its_credentials(database: Supabase, odoo: FaultyOdoo) -> None:
    loaded = re.findall(r"^LoadCredential=([\w-]+):(\S+)$", (SYSTEMD / "ipai-sync.service").read_text(), re.MULTILINE)
    credentials = "/run/credentials/ipai-sync.service"
    assert secret_files(SYSTEMD / "ipai-sync.toml") == [f"{credentials}/{name}" for name, _ in loaded]
    assert [path for _, path in loaded] == [f"/etc/ipai-sync/{name}" for name, _ in loaded]
    folder = written_settings(SYSTEMD / "ipai-sync.toml", credentials, database, odoo)
    program, *arguments = shlex.split(unit("ipai-sync.service")["Service"]["ExecStart"])
    assert program == "/usr/local/bin/ipai-sync"
    done = run([build_program(), *(word.replace("/etc/ipai-sync", str(folder)) for word in arguments)], folder)
    assert done.returncode == 0, done.stdout
    assert mirrored(database) == [1, 2, 3]
