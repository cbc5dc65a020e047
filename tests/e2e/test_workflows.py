"""Tests .github: what the workflows run, their privileges, and that the checks of them can fail."""

from __future__ import annotations

import json
import re
import tomllib
from importlib.util import find_spec
from itertools import product
from typing import Any

import pytest
import yaml

from harness import paths, test, workflows

GITHUB = {path.stem: yaml.safe_load(path.read_text()) for path in sorted((paths.PROJECT / ".github/workflows").glob("*.yml"))}
#: What may be written, besides reading the repository.
WRITES = {"release": {"contents"}, "docs": {"pages", "id-token"}}


def variants(job: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns the values of a job's matrix, one for each job that GitHub makes of it."""
    matrix = job.get("strategy", {}).get("matrix", {})
    return [dict(zip(matrix, values, strict=True)) for values in product(*matrix.values())]


def executed(workflow: str) -> list[str]:
    """Returns the commands of a workflow, with the values of the matrix and of the environment."""
    found = []
    for job in GITHUB[workflow]["jobs"].values():
        for values in variants(job):
            for step in job["steps"]:
                command = step.get("run", "")
                for name, value in step.get("env", {}).items():
                    command = command.replace(f"${name}", _evaluated(str(value), values))
                found.append(command.replace('"', ""))
    return found


def _evaluated(text: str, matrix: dict[str, Any]) -> str:
    for name, value in matrix.items():
        text = text.replace(f"${{{{ matrix.{name} }}}}", str(value))
    return text


def test_ci_runs_every_layer_and_the_check() -> None:
    commands = executed("ci")
    layers = {command.removeprefix("scripts/test ") for command in commands if re.fullmatch(r"scripts/test \w+", command)}
    shards = {command for command in commands if "--shard" in command}
    assert layers | {"e2e"} == set(test.LAYERS)
    assert shards == {f"scripts/test e2e --shard {number}/4" for number in range(1, 5)}
    assert "scripts/check" in commands


def test_nightly_jobs_together_run_every_part() -> None:
    commands = [command for command in executed("nightly") if command.startswith("scripts/nightly")]
    options = [re.fullmatch(r"scripts/nightly --(only|without) (.+) --page nightly.md", command) for command in commands]
    assert [found and found.groups() for found in options] == [("without", "PostgreSQL 17"), ("only", "PostgreSQL 17")]


def test_workflows_have_least_privileges() -> None:
    for name, workflow in GITHUB.items():
        assert workflow["permissions"] in ({}, {"contents": "read"}), name
        granted = [job.get("permissions", {}) for job in workflow["jobs"].values()]
        written = {scope for permissions in granted for scope, access in permissions.items() if access == "write"}
        assert written == WRITES.get(name, set()), name
        for job in workflow["jobs"].values():
            # A job that may write executes nothing of the repository.
            if "write" in job.get("permissions", {}).values():
                assert not any("checkout" in step.get("uses", "") for step in job["steps"])
            for step in job["steps"]:
                if "checkout" in step.get("uses", ""):
                    assert step["with"] == {"persist-credentials": False}, name
            assert "timeout-minutes" in job, name


def test_commands_run_in_bash() -> None:
    """shellcheck checks them as such; in a container the default is sh."""
    assert all(workflow["defaults"] == {"run": {"shell": "bash"}} for workflow in GITHUB.values())


def test_containers_have_the_rust_of_the_project() -> None:
    toolchain = tomllib.loads((paths.PROJECT / "rust-toolchain.toml").read_text())["toolchain"]
    image = f"rust:{toolchain['channel']}-bookworm"
    used = [job["container"] for workflow in GITHUB.values() for job in workflow["jobs"].values() if "container" in job]
    assert {container if isinstance(container, str) else container["image"] for container in used} == {image}
    # Only jobs that make a system of their own need more than a container has.
    privileged = [
        (name, job)
        for name, workflow in GITHUB.items()
        for job, values in workflow["jobs"].items()
        if not isinstance(values.get("container", ""), str)
    ]
    assert privileged == [("ci", "package"), ("nightly", "nightly"), ("release", "package")]
    assert f'"image": "{image}"' in (paths.PROJECT / ".devcontainer/devcontainer.json").read_text()


def test_templates_and_settings_are_well_formed() -> None:
    for path in (paths.PROJECT / ".github/ISSUE_TEMPLATE").glob("*.yml"):
        form = yaml.safe_load(path.read_text())
        if path.name == "config.yml":
            assert form["blank_issues_enabled"] is False
            continue
        assert form["name"] and form["description"]
        identifiers = [element["id"] for element in form["body"] if element["type"] != "markdown"]
        assert len(identifiers) == len(set(identifiers)) > 0
    assert json.loads((paths.PROJECT / "renovate.json").read_text())["extends"]
    hooks = yaml.safe_load((paths.PROJECT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    for hook in hooks:
        program, *words = hook["entry"].split()
        assert program == "cargo" or program.startswith(".cache/") or (paths.PROJECT / program).is_file()
        assert all(find_spec(word) for word in words if word.startswith("harness."))


def test_expressions_are_not_part_of_commands() -> None:
    """The value of an expression could contain shell code."""
    for name, workflow in GITHUB.items():
        for job in workflow["jobs"].values():
            assert not any("${{" in step.get("run", "") for step in job["steps"]), name


@pytest.mark.parametrize(
    ("action", "pinned"),
    [
        ("actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1", True),
        ("./.github/actions/prepare", True),
        ("actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1", False),
        ("actions/checkout@v7", False),
        ("actions/checkout@v7 # v7.0.1", False),
    ],
)
def test_actions_must_be_pinned(action: str, pinned: bool) -> None:
    assert (list(workflows.unpinned(f"      - uses: {action}\n")) == []) == pinned


def test_commands_of_workflows_are_found() -> None:
    text = (paths.PROJECT / ".github/workflows/release.yml").read_text()
    assert any("gh release create" in command for command in workflows.commands(text))
    assert any(path.name == "bootstrap" for path in workflows.scripts())
