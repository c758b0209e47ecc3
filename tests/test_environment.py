"""pyproject.toml, environment.yml and requirements.lock say the same thing."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
CONDA_NAMES = {"torch": "pytorch-cpu", "matplotlib": "matplotlib-base", "xxhash": "python-xxhash"}

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
LOCK = [
    line
    for line in (ROOT / "requirements.lock").read_text().splitlines()
    if line and not line.startswith("#")
]


def wanted(*extras: str) -> list[Requirement]:
    project = PROJECT["project"]
    lines = list(project["dependencies"])
    for extra in extras:
        lines += project["optional-dependencies"][extra]
    return [Requirement(line) for line in lines if not line.startswith("bnlab")]


def test_conda_has_the_packages_of_the_lab_in_the_same_ranges() -> None:
    requirements = {CONDA_NAMES.get(r.name, r.name): str(r.specifier) for r in wanted("lab")}
    requirements |= {"python": PROJECT["project"]["requires-python"], "pip": ""}
    conda = [Requirement(line) for line in CONDA if isinstance(line, str)]
    assert {r.name: str(r.specifier) for r in conda} == requirements


def test_conda_installs_the_package_itself_and_nothing_else_by_pip() -> None:
    (pip,) = [entry["pip"] for entry in CONDA if isinstance(entry, dict)]
    assert pip == ["-e ."]


def test_the_lock_pins_exactly_and_starts_with_torch() -> None:
    assert LOCK[0].startswith("torch==")
    loose = [line for line in LOCK if not re.fullmatch(r"[\w.-]+==[\w.]+", line)]
    assert not loose, f"pin these with '==': {loose}"
    names = [canonicalize_name(Requirement(line).name) for line in LOCK]
    assert len(names) == len(set(names)), "a package is pinned twice"


@pytest.mark.parametrize("requirement", wanted("lab", "test"), ids=str)
def test_the_lock_pins_each_requirement_inside_its_range(requirement: Requirement) -> None:
    pins = {canonicalize_name(Requirement(line).name): line.split("==")[1] for line in LOCK}
    name = canonicalize_name(requirement.name)
    assert name in pins, f"{requirement} is not in requirements.lock"
    assert pins[name] in requirement.specifier
